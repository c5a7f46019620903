"""The search page: from a picture's upload to the results, over HTTP and in a browser.

An index of random codes and the SavedModel of a small untrained network, served as by `python -m
export page`. Each upload is another JPEG of 1024×768; its results are others each time, so that
their thumbnails are made anew from JPEGs of 640×480. Over HTTP the time is that of the answer and
of the answer with its thumbnails; in Chromium, where there is one, from the choice of the file to
the frame after the last thumbnail on the screen has been loaded.

    python -m benchmarks.serving.search_page --items 1000000
"""

import argparse
import io
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import urllib3
import uvicorn
from PIL import Image
from rich.console import Console
from rich.table import Table

from export.page.app import make_app
from export.page.index_collection import IndexCollection
from export.saved_model.export_saved_model import export_saved_model
from export.saved_model.served_encoder import ServedEncoder
from keras_hashing.encoder import HashEncoder
from keras_hashing.images.preprocessing import ImagePreprocessing
from keras_hashing.layers import HashHead
from keras_hashing.retrieval import CodeIndex

BITS = 64
# In the browser: when every picture in the window has been loaded, and painted.
PAINTED = """() => new Promise(done => {
    const seen = () => [...document.querySelectorAll('#results img')].filter(
        image => image.getBoundingClientRect().top < innerHeight);
    const look = () => seen().length && seen().every(image => image.complete)
        ? requestAnimationFrame(() => setTimeout(done)) : requestAnimationFrame(look);
    look();
})"""


def jpegs(count: int, width: int, height: int, seed: int) -> list[bytes]:
    """Smooth random pictures with some grain, which compress as photographs do."""
    rng = np.random.default_rng(seed)
    files = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        grainy = np.clip(pixels + rng.integers(-8, 9, (height, width, 1)), 0, 255)
        buffer = io.BytesIO()
        Image.fromarray(grainy.astype(np.uint8)).save(buffer, "JPEG", quality=85)
        files.append(buffer.getvalue())
    return files


class Repeated:
    """Pictures of an index of any size, from a few files."""

    def __init__(self, files: list[bytes]) -> None:
        self._files = files

    def content(self, name: str) -> bytes:
        """The file of an item."""
        return self._files[int(name) % len(self._files)]


def make_collection(items: int, folder: Path) -> IndexCollection:
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((64, 64, 3), dtype="uint8"),
            keras.layers.Rescaling(1 / 127.5, offset=-1.0),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            HashHead(BITS),
        ]
    )
    version = export_saved_model(HashEncoder(network, ImagePreprocessing(64, 64, 3)), folder)
    encoder = ServedEncoder.load(version)
    codes = np.random.default_rng(1).integers(0, 256, (items, BITS // 8), dtype=np.uint8)
    index = CodeIndex(codes, np.arange(items), encoder.fingerprint)
    collection = IndexCollection(encoder, index, Repeated(jpegs(200, 640, 480, seed=2)))
    collection.warm_up()
    return collection


@contextmanager
def served(collection: IndexCollection) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(collection, "benchmark"), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join()


def over_http(address: str, uploads: list[bytes]) -> dict[str, list[float]]:
    answered, shown = [], []
    pool = urllib3.PoolManager(maxsize=6)  # as many connections as a browser makes
    with ThreadPoolExecutor(6) as threads:
        for content in uploads:
            start = time.perf_counter()
            headers = {"Content-Type": "image/jpeg"}
            answer = pool.request("POST", f"{address}search?k=24", body=content, headers=headers)
            answered.append(time.perf_counter() - start)
            urls = [f"{address}thumbnail/{one['item']}" for one in answer.json()["results"]]
            for picture in threads.map(lambda url: pool.request("GET", url), urls):
                assert picture.status == 200, picture.data
            shown.append(time.perf_counter() - start)
    return {"HTTP: the answer": answered, "HTTP: the answer and 24 thumbnails": shown}


def in_browser(address: str, uploads: list[bytes], folder: Path) -> dict[str, list[float]]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        return {}
    from playwright.sync_api import sync_playwright

    shown = []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.wait_for_selector("#results .card")
        for number, content in enumerate(uploads):
            name = f"{number}.jpg"
            (folder / name).write_bytes(content)
            start = time.perf_counter()
            page.set_input_files("#file", folder / name)
            page.wait_for_selector(f"#query-name:text-is('{name}')")
            page.evaluate(PAINTED)
            shown.append(time.perf_counter() - start)
        browser.close()
    return {"Chromium: the results on the screen": shown}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--uploads", type=int, default=100)
    arguments = parser.parse_args()
    table = Table(title=f"{arguments.items:,} codes of {BITS} bits, {arguments.uploads} uploads")
    for heading in ("", "median ms", "p95 ms", "longest ms"):
        table.add_column(heading, justify="left" if not heading else "right")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uploads = jpegs(arguments.uploads, 1024, 768, seed=3)
        with served(make_collection(arguments.items, folder / "model")) as address:
            seconds = over_http(address, uploads) | in_browser(address, uploads, folder)
    for what, times in seconds.items():
        figures = [*np.percentile(times, (50, 95)), max(times)]
        table.add_row(what, *(f"{1000 * one:.0f}" for one in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
