"""The search page over HTTP, as a browser and as those who mean no good ask it."""

import asyncio
import http.client
import io
import socket
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import numpy as np
import pytest
import uvicorn
from bright_parts import COLOURS, BrightParts, picture
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.testclient import TestClient

from export.index.duplicates import find_duplicates
from export.page.app import make_app
from export.page.guard import LARGEST_UPLOAD, MOST_READ, UploadError
from export.page.guard import upload as read_upload
from export.page.index_collection import IndexCollection
from export.page.pictures import FolderPictures
from export.page.served_collection import ServedCollection
from keras_hashing.files.image_verdict import DAMAGED, verdict
from keras_hashing.retrieval import CodeIndex, hamming_distance
from keras_hashing.retrieval.near_pairs import pairs_to_compare

ADDRESS = "http://127.0.0.1:8600"


@pytest.fixture
def page(app: Starlette) -> TestClient:
    return TestClient(app, base_url=ADDRESS)


def upload(page: TestClient, content: bytes, kind: str = "image/jpeg", **more: Any):
    headers = {"content-type": kind, **more}
    return page.post("/search", content=content, headers=headers)


def test_the_page_is_small_and_names_nothing_elsewhere(page: TestClient) -> None:
    parts = {path: page.get(path) for path in ("/", "/page.css", "/page.js")}
    assert all(part.status_code == 200 for part in parts.values())
    assert sum(len(part.content) for part in parts.values()) < 50_000
    for part in parts.values():
        outside = part.text.replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in outside
        assert "https:" not in outside
        assert "default-src 'none'" in part.headers["content-security-policy"]


def test_a_picture_finds_its_neighbours_with_the_bits_that_differ(
    page: TestClient, index: CodeIndex
) -> None:
    content = picture(COLOURS["red"], 3)
    answer = upload(page, content).json()
    code = BrightParts().encode_bytes([content])
    assert bytes.fromhex(answer["code"]) == code.tobytes()
    distances = hamming_distance(code, index.codes)[0]
    assert [found["distance"] for found in answer["results"]] == sorted(distances)
    for found in answer["results"]:
        differing = np.unpackbits(code[0] ^ index.codes[found["item"]])
        assert found["differs"] == np.flatnonzero(differing).tolist()
        assert found["distance"] == len(found["differs"])
        assert found["id"] == index.ids[found["item"]]
        assert found["label"] == found["id"].split("/")[0]
    assert answer["results"][0]["label"] == "red"


def test_k_and_the_largest_distance_limit_what_is_found(page: TestClient) -> None:
    code = upload(page, picture(COLOURS["blue"])).json()["code"]
    assert len(page.get(f"/search?code={code}&k=5").json()["results"]) == 5
    near = page.get(f"/search?code={code}&distance=0").json()["results"]
    assert {found["label"] for found in near} == {"blue"}
    assert {found["distance"] for found in near} == {0}


def test_an_item_is_searched_with_and_left_out(page: TestClient, index: CodeIndex) -> None:
    answer = page.get("/search?item=4&k=3").json()
    assert answer["query"]["id"] == index.ids[4]
    assert [found["item"] for found in answer["results"]] == [
        item for item in index.search(index.codes[4], k=4)[0][0].tolist() if item != 4
    ]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("code=12", "`code` must be 16 bits"),
        ("code=zzzz", "`code` must be 16 bits"),
        ("item=0&k=0", "`k` must be at least 1"),
        ("item=0&k=1000000", "`k` must be at least 1 and at most 200"),
        ("item=0&distance=17", "`distance` must be at least 0 and at most 16"),
        ("item=0&k=many", "Received: many"),
        ("item=99", "There is no such item. Received: item=99"),
        ("item=-1", "Received: item=-1"),
    ],
)
def test_a_question_that_breaks_a_rule_is_told_so(
    page: TestClient, asked: str, message: str
) -> None:
    answer = page.get(f"/search?{asked}")
    assert answer.status_code in (400, 404)
    assert message in answer.json()["error"]


def bomb() -> bytes:
    """A PNG of a few kilobytes that would take 30 GB."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(10**6))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@pytest.mark.parametrize(
    ("content", "kind", "status", "message"),
    [
        (b"<svg onload='alert(1)'/>", "image/svg+xml", 400, "The picture is an SVG file"),
        (bomb(), "image/png", 400, "has more than 67,108,864 pixels"),
        (b"", "image/png", 400, "The picture is empty"),
        (b"GIF89a and no more", "image/gif", 400, DAMAGED),
        (b"hello", "image/jpeg", 400, "The picture is no image"),
        (picture((0, 0, 0)), "text/html", 415, "Received: text/html"),
        (picture((0, 0, 0)), "multipart/form-data", 415, "must be sent as image/"),
        (bytes(50 * 2**20), "image/jpeg", 413, "more than 32 MB"),
    ],
)
def test_what_is_no_good_picture_is_refused_and_the_page_goes_on(
    page: TestClient, content: bytes, kind: str, status: int, message: str
) -> None:
    answer = upload(page, content, kind)
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text
    if status == 400 and (problem := verdict(content)):
        assert answer.json()["error"] == f"The picture {problem}"
    assert upload(page, picture(COLOURS["red"])).status_code == 200


def test_of_an_upload_that_goes_on_and_on_no_more_is_kept_or_read_than_allowed() -> None:
    asked = 0

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": bytes(2**20), "more_body": True}

    scope = {"type": "http", "headers": [(b"content-type", b"image/png")]}
    tracemalloc.start()
    try:
        with pytest.raises(UploadError, match="more than 32 MB"):
            asyncio.run(read_upload(Request(scope, receive)))
        assert tracemalloc.get_traced_memory()[1] < 3 * LARGEST_UPLOAD
    finally:
        tracemalloc.stop()
    assert asked == MOST_READ // 2**20 + 1


@pytest.fixture(scope="module")
def port(app: Starlette) -> Iterator[int]:
    """Of a server on a socket, whose connections end as a browser's do."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize(
    ("kind", "asked", "status", "message"),
    [
        ("image/jpeg", "", 413, "The picture has more than 32 MB"),
        ("text/html", "", 415, "Received: text/html"),
        ("image/jpeg", "?k=0", 413, "The picture has more than 32 MB"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_who_sends_50_mb_reads_why_they_are_refused(
    port: int, chunked: bool, kind: str, asked: str, status: int, message: str
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    body = [bytes(2**20)] * 50 if chunked else bytes(50 * 2**20)
    headers = {"content-type": kind} | ({"transfer-encoding": "chunked"} if chunked else {})
    connection.request("POST", f"/search{asked}", body, headers, encode_chunked=chunked)
    answer = connection.getresponse()
    assert (answer.status, message in answer.read().decode()) == (status, True)


def test_who_asks_before_sending_is_refused_at_once(port: int) -> None:
    head = (
        f"POST /search HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: image/png\r\n"
        f"Content-Length: {LARGEST_UPLOAD + 1}\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(head.encode())
        assert connection.makefile().readline().startswith("HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"host": "evil.example:8600"},  # a name that points here: DNS rebinding
        {"host": "127.0.0.1.evil.example"},
    ],
)
def test_another_site_is_refused(page: TestClient, headers: dict[str, str]) -> None:
    answer = upload(page, picture(COLOURS["red"]), **headers)
    assert answer.status_code == 403
    assert "results" not in answer.text
    if "host" in headers:
        assert page.get("/about", headers=headers).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8600", "localhost:8600", "[::1]:8600", "10.1.2.3"])
def test_the_own_address_is_answered(page: TestClient, host: str) -> None:
    headers = {"host": host, "origin": f"http://{host}"}
    assert upload(page, picture(COLOURS["red"]), **headers).status_code == 200


def test_pictures_come_small_and_whole(page: TestClient, shop: Path) -> None:
    small = page.get("/thumbnail/0")
    assert small.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(small.content)).size == (256, 192)
    assert page.get("/picture/0").content == (shop / "blue" / "0.jpg").read_bytes()


def test_nothing_outside_the_folder_is_reached(shop: Path, tmp_path: Path) -> None:
    secret = shop.parent / "secret.jpg"
    secret.write_bytes(picture((1, 2, 3)))
    (shop / "notes.jpg").write_text("no picture")
    ids = [
        "red/0.jpg",
        "../secret.jpg",
        str(secret),
        "red/../../secret.jpg",
        "notes.jpg",
        "a\0\udcff",
    ]
    index = CodeIndex(np.zeros((6, 2), np.uint8), ids, BrightParts.fingerprint)
    collection = IndexCollection(BrightParts(), index, FolderPictures(shop))
    page = TestClient(make_app(collection, "shop"), base_url=ADDRESS)
    for kind in ("thumbnail", "picture"):
        assert [page.get(f"/{kind}/{at}").status_code for at in range(6)] == [200] + [404] * 5
    assert len(page.get("/search?item=0").json()["results"]) == 5
    (shop / "notes.jpg").unlink()
    for path in ("/picture/../secret.jpg", "/picture/%2e%2e%2fsecret.jpg", "/../pyproject.toml"):
        assert page.get(httpx2.URL(ADDRESS + path)).status_code == 404


def test_ids_may_be_stems(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir(parents=True)
    (tmp_path / "more" / "17.jpg").write_bytes(picture((9, 9, 9)))
    pictures = FolderPictures(tmp_path)
    pictures.check(["17", "18"])
    assert pictures.content("17") == picture((9, 9, 9))
    with pytest.raises(FileNotFoundError, match="no file of the folder has the name '18'"):
        pictures.content("18")
    with pytest.raises(ValueError, match=r"None of 1 ids is a file in .*such as 18"):
        pictures.check(["18"])


def test_an_index_of_vectors_is_searched_by_its_items(shop: Path, index: CodeIndex) -> None:
    encoder = BrightParts()
    encoder.takes_vectors = True
    collection = IndexCollection(encoder, index, FolderPictures(shop))
    collection.warm_up()
    page = TestClient(make_app(collection, "shop"), base_url=ADDRESS)
    assert "takes vectors" in upload(page, picture(COLOURS["red"])).json()["error"]
    assert page.get("/search?item=0").json()["results"]


def test_a_served_model_must_take_images_and_have_an_index(shop: Path) -> None:
    served = {"index": SimpleNamespace(items=18, largest_k=10), "vector_width": None, "bits": 16}
    for changed, message in (({"index": None}, "has no index"), ({"vector_width": 5}, "width 5")):
        card = SimpleNamespace(**served | changed)
        with pytest.raises(ValueError, match=message):
            ServedCollection(SimpleNamespace(model_card=lambda card=card: card), shop)


@pytest.mark.parametrize(
    ("centres", "noise", "largest"),
    [(1, 0.0, 8), (100_000, 0.5, 6), (10, 0.1, 3)],  # all equal; all far apart; ten heaps
)
def test_near_duplicates_are_looked_for_as_far_as_a_person_waits(
    centres: int, noise: float, largest: int, shop: Path
) -> None:
    random = np.random.default_rng(0)
    codes = random.integers(0, 256, (centres, 8), dtype=np.uint8)[
        random.integers(0, centres, 100_000)
    ] ^ np.packbits(random.random((100_000, 64)) < noise, axis=1)
    index = CodeIndex(codes, np.arange(100_000), "space")
    radius = IndexCollection(BrightParts(), index, FolderPictures(shop)).largest_radius
    assert radius == largest
    different = np.unique(codes, axis=0)
    assert radius == 8 or pairs_to_compare(different, radius + 1) > 0.8e8
    assert pairs_to_compare(different, radius) < 1.2e8


def test_near_duplicates_are_those_of_the_command(
    page: TestClient, index: CodeIndex, tmp_path: Path
) -> None:
    found = find_duplicates(index, 0, tmp_path, keep_first=True)
    answer = page.get("/duplicates?distance=0").json()
    assert answer["clusters"] == len(found.clusters) > 1
    assert answer["removable"] == len(found.removable)
    clusters = [[one["item"] for one in cluster["items"]] for cluster in answer["shown"]]
    assert clusters == [cluster.tolist() for cluster in found.clusters]
    assert page.get("/duplicates?distance=0&start=1").json()["shown"] == answer["shown"][1:]
    largest = page.get("/duplicates/0?distance=0&start=1").json()["items"]
    assert largest == answer["shown"][0]["items"][1:]
    assert page.get("/duplicates/99?distance=0").status_code == 404
    listed = page.get("/duplicates.txt?distance=0").text.splitlines()
    assert listed == (tmp_path / "delete.txt").read_text().splitlines()
