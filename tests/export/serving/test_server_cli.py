"""`python -m export server-config` and `query --server`, against the test server."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image
from prediction_server import Batching, LoadedVersion, ModelServer
from starlette.testclient import TestClient
from typer.testing import CliRunner

from export.cli.app import app
from export.index.index_builder import build_index
from export.index.index_items import folder_items
from export.saved_model.export_saved_model import export_saved_model
from export.saved_model.served_encoder import ServedEncoder
from keras_hashing.client import Client, InvalidRequestError
from keras_hashing.files.image_verdict import DAMAGED, NO_IMAGE
from keras_hashing.retrieval import CodeIndex
from training.data.sources.image_folder import load_image_folder
from training.runs.run_folder import Run

NAME = "digits"
CHECKOUT = Path(__file__).resolve().parents[3]


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_one_line_of_error(result: Any, message: str) -> None:
    assert result.exit_code == 1, result.output
    assert re.fullmatch(rf"Error: .*{message}.*\n", result.stderr), result.stderr
    assert result.stdout == ""


@pytest.fixture(scope="module")
def models(grey_run: Run, digits: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / NAME
    codes = grey_run.model.encode(digits[:60])
    ids = [f"train/{position}" for position in range(60)]
    export_saved_model(
        grey_run.encoder, folder, index=CodeIndex(codes, ids, grey_run.encoder.fingerprint)
    )
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[ModelServer]:
    with ModelServer(models, NAME) as running:
        yield running


@pytest.fixture
def photos(tmp_path: Path, digits: np.ndarray, encode_image: Callable[..., bytes]) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for position in (3, 5):
        (folder / f"{position}.png").write_bytes(encode_image(digits[position][..., 0]))
    return folder


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_a_server_answers_as_the_library_does(
    transport: str,
    server: ModelServer,
    models: Path,
    photos: Path,
    grey_run: Run,
    digits: np.ndarray,
) -> None:
    target = {"grpc": server.target, "rest": server.rest_target}[transport]
    result = call(
        *("query", "--server", target, "--name", NAME, "--transport", transport),
        *("--k", 60, "--radius", 4, "--version", 1, "--json", photos),
    )
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["fingerprint"], answer["bits"]) == (grey_run.encoder.fingerprint, 32)
    index = CodeIndex(
        grey_run.model.encode(digits[:60]), list(map(str, range(60))), grey_run.encoder.fingerprint
    )
    found = index.search(grey_run.model.encode(digits[[3, 5]]), k=60, radius=4)
    for query, name, *row in zip(answer["queries"], ("3.png", "5.png"), *found, strict=True):
        assert query["image"] == str(photos / name)
        assert [(one["id"], one["distance"]) for one in query["neighbours"]] == [
            (f"train/{position}", distance)
            for position, distance in zip(*row, strict=True)
            if position >= 0
        ]
        assert [one["rank"] for one in query["neighbours"]] == list(
            range(1, len(query["neighbours"]) + 1)
        )


def test_a_table_is_printed(server: ModelServer, photos: Path) -> None:
    result = call("query", "--server", server.target, "--name", NAME, "--k", 2, photos / "3.png")
    assert result.stdout.startswith(f"{photos / '3.png'}\n")
    assert "code" not in result.stdout.splitlines()[0]
    rows = [line.strip("│ ").split("│") for line in result.stdout.splitlines() if "train/" in line]
    assert [cell.strip() for cell in rows[0]] == ["1", "train/3", "0"]
    assert len(rows) == 2


def test_the_search_page_asks_a_server(
    server: ModelServer,
    digits: np.ndarray,
    encode_image: Callable[..., bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "train").mkdir()
    for position in range(60):
        (tmp_path / "train" / str(position)).write_bytes(encode_image(digits[position][..., 0]))
    pages: list[Any] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: pages.append(self.config.app))
    at = ("page", "--server", server.target, "--name", NAME, "--images", tmp_path, "--port", 0)
    result = call(*at)
    assert result.exit_code == 0, result.output
    page = TestClient(pages[0], base_url="http://127.0.0.1")
    sent = {"content": encode_image(digits[5][..., 0]), "headers": {"content-type": "image/png"}}
    found = page.post("/search?k=60", **sent).json()
    with Client(server.target, NAME) as client:
        ids, distances = client.search([sent["content"]], k=60)
    assert [one["id"] for one in found["results"]] == ids[0].tolist()
    assert [one["distance"] for one in found["results"]] == distances[0].tolist()
    first = found["results"][0]
    assert page.get(f"/picture/{first['item']}").content.startswith(b"\x89PNG")
    on = page.get(f"/search?item={first['item']}&k=7").json()
    assert (on["query"]["id"], on["code"]) == (first["id"], found["code"])
    assert first["id"] not in [one["id"] for one in on["results"]]
    assert page.get("/search?item=random").json()["query"]["id"].startswith("train/")
    assert page.post("/search", **(sent | {"content": b"<svg/>"})).json() == {
        "error": "The picture is an SVG file: convert it to JPEG or PNG"
    }
    assert page.get("/duplicates").status_code == 404
    assert_one_line_of_error(
        call(*at[:3], "--name", "none", *at[5:]), "serves no model 'none'.*by --name"
    )


def test_a_bad_image_stops_the_query_or_is_skipped(server: ModelServer, photos: Path) -> None:
    (photos / "notes.txt").write_text("no image")
    common = ("query", "--server", server.target, "--name", NAME)
    named = [photos / "3.png", photos / "notes.txt"]
    assert re.search(r"1 of 2 files .*\n +1  is no image.*notes\.txt", call(*common, *named).stderr)
    result = call(*common, "--on-bad-image", "skip", "--json", *named)
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert [Path(query["image"]).name for query in answer["queries"]] == ["3.png"]
    assert answer["skipped"][0]["problem"] == NO_IMAGE
    assert "1 of 2 files" in result.stderr


def test_what_a_server_cannot_do_is_one_line_of_error(
    server: ModelServer, photos: Path, exports: dict[str, Path]
) -> None:
    at = ("query", "--server", server.target)
    assert_one_line_of_error(
        call(*at, "--name", "absent", photos),
        f"{server.target} serves no model 'absent': Servable not found .* by --name",
    )
    assert_one_line_of_error(
        call(*at, "--name", NAME, "--version", 9, photos),
        f"serves no version 9 of the model '{NAME}': Servable not found .* by --name and --version",
    )
    assert_one_line_of_error(call(*at, "--name", NAME, "--k", 5000, photos), "at most 1000")
    nobody = ("query", "--server", "127.0.0.1:1", "--deadline", "0.5", "--name", NAME)
    assert_one_line_of_error(call(*nobody, photos), "127.0.0.1:1 cannot be reached")
    with ModelServer(exports["grey"].parent, "grey") as bare:
        result = call("query", "--server", bare.target, "--name", "grey", photos)
        assert_one_line_of_error(result, "'grey' has no index: publish it with --index")


@pytest.mark.parametrize(
    "target", ["localhost", "::1", "http://localhost:8500", "localhost:8500/v1", "localhost:"]
)
def test_grpc_needs_host_and_port(target: str, photos: Path) -> None:
    result = call("query", "--server", target, "--name", NAME, photos)
    assert_one_line_of_error(result, "HOST:PORT for gRPC.* a URL needs --transport rest. Received")


def test_grpc_finds_an_ipv6_address(photos: Path) -> None:
    nobody = ("query", "--server", "[::1]:1", "--deadline", "0.2", "--name", NAME)
    assert_one_line_of_error(call(*nobody, photos), "cannot be reached")


def test_rest_on_the_port_of_grpc_is_told(server: ModelServer, photos: Path) -> None:
    at = ("query", "--server", server.target, "--transport", "rest", "--deadline", "0.5")
    assert_one_line_of_error(call(*at, "--name", NAME, photos), "is this the gRPC port. REST is")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--server", "host:1"],
        ["--name", "shop"],
        ["--server", "host:1", "--name", "shop", "--model", "models"],
        ["--model", "models"],
        ["--index", "shop.npz"],
        [],
        ["--server", "host:1", "--name", "shop", "--transport", "udp"],
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str], photos: Path) -> None:
    result = call("query", *arguments, photos)
    assert result.exit_code == 2
    assert "Usage:" in result.output


def test_a_server_is_asked_without_tensorflow(server: ModelServer, photos: Path) -> None:
    script = (
        "import sys\n"
        "from export.cli.app import app\n"
        "try:\n"
        "    app()\n"
        "finally:\n"
        "    assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    arguments = ["query", "--server", server.target, "--name", NAME, str(photos)]
    subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=CHECKOUT, check=True, capture_output=True
    )


def test_the_set_up_of_a_server_is_written(models: Path, tmp_path: Path) -> None:
    output = tmp_path / "serving"
    result = call("server-config", "--model", models, "--output", output, "--grpc-port", 9500)
    assert result.exit_code == 0, result.output
    assert sorted(os.listdir(output)) == [
        "batching.config",
        "docker-compose.yml",
        "models.config",
        "monitoring.config",
    ]
    assert "tensorflow_model_server --port=9500 --rest_api_port=8501 " in result.stdout
    assert f"docker compose --file {output}/docker-compose.yml up" in result.stdout
    assert f"query --server localhost:9500 --name {NAME}" in result.stdout


def test_the_set_up_is_that_of_the_versions_named(
    models: Path, exports: dict[str, Path], tmp_path: Path
) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(models / "1", mixed / "1")
    shutil.copytree(exports["grey"], mixed / "2")
    common = ("server-config", "--model", mixed, "--output", tmp_path / "serving")
    assert "query --server" not in call(*common).stdout
    assert "query --server" in call(*common, "--version", 1).stdout


def test_a_set_up_that_cannot_be_is_one_line_of_error(
    models: Path, exports: dict[str, Path], tmp_path: Path
) -> None:
    common = ("server-config", "--output", tmp_path / "serving", "--model")
    assert_one_line_of_error(call(*common, models, "--version", 4), r"`versions` must be among")
    assert_one_line_of_error(call(*common, tmp_path), "no numbered version")
    assert not (tmp_path / "serving").exists()
    assert call(*common, models, "--batching").exit_code == 0
    result = call(*common, exports["grey"].parent, "--batching")
    assert "--enable_batching=true" in result.stdout
    assert "query --server" not in result.stdout  # there is nothing to search in


def test_publish_says_whether_the_server_took_the_version(
    exports: dict[str, Path],
    grey_run: Run,
    digits: np.ndarray,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also an index under a server that joins requests."""
    folder = tmp_path / "shop"
    shutil.copytree(exports["grey"], folder / "1")
    codes = grey_run.model.encode(digits[:5])
    CodeIndex(codes, list("abcde"), grey_run.encoder.fingerprint).save(tmp_path / "shop.npz")
    with ModelServer(folder, "shop", batching=Batching(256)) as server:
        common = ("publish", "--run", run_folder, "--output", folder, "--wait-until-serving")
        result = call(*common, server.target, "--index", tmp_path / "shop.npz")
        assert result.exit_code == 0, result.output
        assert f"shop version 2 at {server.target}" in result.stdout
        with Client(server.target, "shop") as client:
            assert client.search(codes, k=1).ids.ravel().tolist() == list("abcde")

        result = call(*common, server.target, "--name", "absent", "--serving-timeout", 0.5)
        assert result.exit_code == 1
        assert "'absent' version 3 is not ready after 0.5 s" in result.stderr

        def cannot_load(self: LoadedVersion, *arguments: object) -> None:
            raise ValueError("out of memory")

        monkeypatch.setattr(LoadedVersion, "__init__", cannot_load)
        result = call(*common, server.target)
        assert result.exit_code == 1
        assert "version 4 is END (out of memory)" in result.stderr
        assert_one_line_of_error(call(*common, "nowhere"), "HOST:PORT for gRPC")


def test_help_shows_an_example() -> None:
    result = call("server-config", "--help")
    assert "Example: python -m export server-config" in result.stdout


def written(picture: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


PICTURE = Image.effect_noise((40, 30), 50).convert("RGB")
FLAT = PICTURE.resize((8, 8))
BAD_FILES = {
    "empty": (b"", "is empty"),
    "text": (b"Dear Sir or Madam", NO_IMAGE),
    "cut JPEG": (written(PICTURE, "JPEG")[:700], DAMAGED),
    "cut PNG": (written(PICTURE, "PNG")[:200], DAMAGED),
    "cut WebP": (written(PICTURE, "WEBP")[:100], DAMAGED),
    "TIFF": (written(FLAT, "TIFF"), "is a TIFF file: convert it to JPEG or PNG"),
    "AVIF": (b"\0\0\0\x20ftypavif\0\0\0\0", "is an AVIF file: convert it to JPEG or PNG"),
    "HEIC": (b"\0\0\0\x20ftypheic\0\0\0\0", "is a HEIC file: convert it to JPEG or PNG"),
    "JPEG XL": (b"\xff\x0a\xfa\x7f", "is a JPEG XL file: convert it to JPEG or PNG"),
    "Photoshop": (b"8BPS\0\1", "is a Photoshop file: convert it to JPEG or PNG"),
    "SVG": (b"<?xml version='1.0'?><svg/>", "is an SVG file: convert it to JPEG or PNG"),
    "animation": (
        written(FLAT, "WEBP", save_all=True, append_images=[FLAT.rotate(180)]),
        "is an animated WebP: convert it to JPEG or PNG",
    ),
    "palette": (
        written(FLAT.quantize(8), "BMP"),
        "is a BMP with a colour palette: convert it to JPEG or PNG",
    ),
    "bomb": (
        written(Image.new("1", (8193, 8192)), "PNG"),
        "has more than 67,108,864 pixels: make it smaller",
    ),
    "nowhere": (None, "cannot be read (No such file or directory)"),
}
GOOD_FILES = {
    "WebP.jpg": written(FLAT, "WEBP"),
    "JPEG.webp": written(FLAT, "JPEG"),
    "alpha.webp": written(FLAT.convert("RGBA").rotate(45), "WEBP"),
    "grey.bmp": written(FLAT.convert("L"), "BMP"),
    "moving.gif": written(FLAT, "GIF", save_all=True, append_images=[FLAT.rotate(90)]),
}


@pytest.mark.filterwarnings("ignore:Passed over 1 file")
def test_the_same_verdict_everywhere(
    server: ModelServer, exports: dict[str, Path], tmp_path: Path
) -> None:
    """Training, index, query and client say the same of the same files, in the same words."""
    photos = tmp_path / "photos"
    (photos / "a").mkdir(parents=True)
    for name, content in GOOD_FILES.items():
        (photos / "a" / name).write_bytes(content)
    want = {}
    for name, (content, problem) in BAD_FILES.items():
        path = photos / "a" / f"{name}.jpg"
        want[f"a/{path.name}"] = problem
        if content is None:
            path.symlink_to(tmp_path / "absent")
        else:
            path.write_bytes(content)
    (photos / "notes.md").write_text("passed over")
    (photos / "Thumbs.db").write_text("in silence")

    with pytest.raises(ValueError, match="15 of 20 files") as of_training:
        load_image_folder(photos, labels="none")
    encoder = ServedEncoder.load(exports["grey"])
    with pytest.raises(ValueError, match="15 of 20 images") as of_index:
        build_index(encoder, folder_items(photos), tmp_path / "index.npz")
    for message in (str(of_training.value), str(of_index.value)):
        for name, problem in want.items():
            assert re.search(rf"\d  {re.escape(problem)}: .*{re.escape(repr(name))}", message)
    on_bad = ("--on-bad-image", "skip")
    index = tmp_path / "index.npz"
    build = ("index", "build", "--model", exports["grey"], "--images", photos, "--resume")
    result = call(*build, "--output", index, *on_bad)
    assert result.exit_code == 0, result.output
    listed = (tmp_path / "index.npz.skipped.txt").read_text().splitlines()
    assert dict(line.split("\t") for line in listed) == want
    for answers in (
        ("--model", exports["grey"], "--index", index),
        ("--server", server.target, "--name", NAME),
    ):
        result = call("query", *answers, "--json", *on_bad, photos)
        assert result.exit_code == 0, result.output
        skipped = json.loads(result.stdout)["skipped"]
        found = {
            Path(one["image"]).relative_to(photos).as_posix(): one["problem"] for one in skipped
        }
        assert found == want
        result = call("query", *answers, photos)
        assert result.exit_code == 1
        assert "15 of 20 files cannot be used:\n" in result.stderr
    with Client(server.target, NAME) as client:
        for name, problem in want.items():
            if not problem.startswith("cannot be read"):
                with pytest.raises(InvalidRequestError) as caught:
                    client.encode([photos / name])
                assert str(caught.value) == f"{str(photos / name)!r} {problem}"
