"""`python -m export page`, up to where it would wait for a browser."""

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.testclient import TestClient
from typer.testing import CliRunner

from export.cli.app import app
from training.runs.run_data import RunData
from training.settings import FitSettings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be served, instead of serving it."""
    apps: list[Any] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: apps.append(self.config.app))
    return apps


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["page", *map(str, arguments)])


@pytest.fixture
def run_with_data(run_folder: Path) -> Path:
    config = json.loads((run_folder / "config.json").read_text())
    settings = FitSettings.check(config["settings"] | {"dataset": "digits"})
    config = {"settings": settings.model_dump(mode="json"), **RunData.load(settings).describe()}
    (run_folder / "config.json").write_text(json.dumps(config))
    return run_folder


def test_the_pictures_of_a_run_are_those_of_its_data(
    run_with_data: Path, exports: dict[str, Path], digits: np.ndarray, served: list[Any],
    encode_image: Callable[..., bytes],
) -> None:  # fmt: skip
    model = ("--model", exports["grey"])
    result = call(*model, "--index", run_with_data, "--port", 0)
    assert result.exit_code == 0, result.output
    port = re.search(r"Search page: http://127\.0\.0\.1:(\d+)/", result.stdout)[1]
    page = TestClient(served[0], base_url=f"http://127.0.0.1:{port}")
    content = encode_image(digits[7][..., 0])
    found = page.post("/search?k=2", content=content, headers={"content-type": "image/png"})
    nearest = found.json()["results"][0]
    assert (nearest["id"], nearest["distance"]) == ("train/7", 0)
    assert page.get(f"/picture/{nearest['item']}").headers["content-type"] == "image/png"


def test_a_wrong_command_is_one_line_of_error(
    run_folder: Path, exports: dict[str, Path], tmp_path: Path, served: list[Any]
) -> None:
    index = ("--index", run_folder / "database.npz")
    model = ("--model", exports["grey"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "some").mkdir()
        for arguments, message in (
            ((*model, *index), "Name the folder of the images: --images FOLDER"),
            ((*model, *index, "--images", tmp_path / "none"), "`--images` must be a folder"),
            ((*model, *index, "--images", tmp_path / "some"), "holds no image file"),
            ((*index, "--images", tmp_path), "Name what encodes"),
            ((*model, "--images", tmp_path), "Name what to search in: --index, or --server"),
            ((*model, "--server", "localhost:1"), "--server goes without --model"),
            (("--server", "localhost:1", "--name", "shop"), "--server needs .* --images FOLDER"),
            ((*model, "--index", run_folder, "--port", port), "name another --port"),
        ):
            result = call(*arguments)
            assert (result.exit_code, result.stdout) == (1, ""), result.output
            assert re.fullmatch(rf"Error: .*{message}.*\n", result.stderr), result.stderr
    assert not served
