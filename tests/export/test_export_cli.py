import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from export.cli.app import _print_answer, app
from keras_hashing.encoder.card import Card
from keras_hashing.retrieval import IVF, CodeIndex, MultiHash, hamming_distance, pack_codes
from training.runs.run_folder import Run


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_one_line_of_error(result: Any, message: str) -> None:
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert re.fullmatch(rf"Error: .*{message}.*\n", result.stderr), result.stderr
    assert result.stdout == ""


@pytest.fixture
def photos(tmp_path: Path, digits: np.ndarray, encode_image: Callable[..., bytes]) -> Path:
    """A folder of two digits of the database, one of them in a subfolder, and a hidden file."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    (folder / "3.png").write_bytes(encode_image(digits[3][..., 0]))
    (folder / "more" / "5.png").write_bytes(encode_image(digits[5][..., 0]))
    (folder / ".hidden").touch()
    return folder


def test_a_run_becomes_a_saved_model(run_folder: Path, grey_run: Run, tmp_path: Path) -> None:
    for version, arguments in ((1, []), (7, ["--version", 7])):
        result = call("saved-model", "--run", run_folder, "--output", tmp_path / "m", *arguments)
        assert result.exit_code == 0, result.output
        assert str(tmp_path / "m" / str(version)) in result.stdout
        assert grey_run.encoder.fingerprint in result.stdout
        card = Card.load(tmp_path / "m" / str(version))
        assert card.fingerprint == grey_run.encoder.fingerprint


def test_an_existing_version_is_one_line_of_error(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    result = call("saved-model", "--run", run_folder, "--output", tmp_path / "m", "--version", 1)
    assert_one_line_of_error(result, "Version 1 exists already")


def test_what_is_no_finished_run_is_one_line_of_error(run_folder: Path, tmp_path: Path) -> None:
    result = call("saved-model", "--run", tmp_path / "absent", "--output", tmp_path / "m")
    assert_one_line_of_error(result, "Not a run folder .*absent")
    (run_folder / "metrics.json").unlink()
    result = call("saved-model", "--run", run_folder, "--output", tmp_path / "m")
    assert_one_line_of_error(result, "run is not finished")
    assert not (tmp_path / "m").exists()


def test_a_full_disk_is_one_line_of_error(
    monkeypatch: pytest.MonkeyPatch, run_folder: Path, tmp_path: Path
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "rename", fail)
    result = call("saved-model", "--run", run_folder, "--output", tmp_path / "m")
    assert_one_line_of_error(result, "No space left on device")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("as_file", [True, False])
def test_query_finds_the_images_themselves(
    as_file: bool,
    run_folder: Path,
    exports: dict[str, Path],
    photos: Path,
    grey_run: Run,
    digits: np.ndarray,
) -> None:
    index = run_folder / "database.npz" if as_file else run_folder
    model = exports["grey"].parent
    result = call("query", "--model", model, "--index", index, "--k", 4, "--json", photos)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["bits"], answer["skipped"]) == (32, [])
    assert answer["fingerprint"] == grey_run.encoder.fingerprint
    database = CodeIndex.load(run_folder / "database.npz")
    for query, position in zip(answer["queries"], (3, 5), strict=True):
        continuous = grey_run.encoder.continuous(digits[position : position + 1])
        code = pack_codes(continuous)
        positions, distances = database.search(code, k=4, continuous=continuous)
        assert query["code"] == code.tobytes().hex()
        assert query["image"].endswith(f"{position}.png")
        assert query["neighbours"] == [
            {"rank": rank, "id": f"train/{at}", "label": "[red]cat[/], dog", "distance": distance}
            for rank, (at, distance) in enumerate(
                zip(positions[0].tolist(), distances[0].tolist(), strict=True), start=1
            )
        ]
        assert query["neighbours"][0]["distance"] == 0


def test_query_finds_all_within_a_radius(
    exports: dict[str, Path], run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    flat = CodeIndex.load(run_folder / "database.npz")
    tables, poor = tmp_path / "tables.npz", tmp_path / "poor.npz"
    flat.as_kind(MultiHash.of(flat.codes, 3)).save(tables)
    flat.as_kind(IVF(lists=4, probes=1)).save(poor)
    found = []
    for index in (run_folder, tables, poor):
        common = ("query", "--model", exports["grey"], "--index", index, "--radius", 3)
        result = call(*common, "--json", photos)
        assert ("The index is approximate (ivf" in result.stderr) == (index == poor)
        found.append([query["neighbours"] for query in json.loads(result.stdout)["queries"]])
    assert found[0] == found[1] == found[2]
    distances = hamming_distance(flat.codes[[3, 5]], flat.codes)
    assert [len(row) for row in found[0]] == (distances <= 3).sum(axis=1).tolist()
    two = json.loads(call(*common, "--k", 2, "--json", photos).stdout)["queries"]
    assert [len(query["neighbours"]) for query in two] == [min(2, len(row)) for row in found[0]]


def test_query_writes_a_sheet_of_pictures(
    exports: dict[str, Path], run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    index = run_folder / "database.npz"
    common = ("query", "--model", exports["grey"], "--index", index, "--k", 4)
    assert_one_line_of_error(call(*common, "--html", tmp_path / "s.html", photos), "--pictures")
    assert_one_line_of_error(call(*common, "--pictures", photos, photos), "goes with --html")
    pictures = tmp_path / "pictures"
    (pictures / "train").mkdir(parents=True)
    (pictures / "train" / "3").write_bytes((photos / "3.png").read_bytes())
    sheet = tmp_path / "sheet.html"
    result = call(*common, "--html", sheet, "--pictures", pictures, photos)
    assert result.exit_code == 0, result.output
    written = sheet.read_text()
    for answer in json.loads(call(*common, "--json", photos).stdout)["queries"]:
        for one in answer["neighbours"]:
            assert f"<span>{one['id']}</span>" in written
    assert "[red]cat[/], dog, 0 bits" in written
    assert written.count("data:image/png;base64") == 2 + written.count("<span>train/3</span>")
    assert written.count("no picture") == 8 - written.count("<span>train/3</span>")


def test_query_prints_code_and_table(
    run_folder: Path, exports: dict[str, Path], photos: Path, grey_run: Run, digits: np.ndarray
) -> None:
    image = photos / "3.png"
    result = call("query", "--model", exports["grey"], "--index", run_folder, "--k", 3, image)
    assert result.exit_code == 0, result.output
    assert f"{image}  code {grey_run.model.encode(digits[3:4]).tobytes().hex()}" in result.stdout
    rows = [line.strip("│ ").split("│") for line in result.stdout.splitlines() if "train/" in line]
    assert [row[0].strip() for row in rows] == ["1", "2", "3"]
    assert {row[2].strip() for row in rows} == {"[red]cat[/], dog"}
    assert rows[0][3].strip() == "0"


def test_a_long_id_is_in_one_piece(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "folder/" * 20 + "picture [1].jpg"
    found = {"rank": 1, "id": name, "label": "cat", "distance": 3}
    _print_answer({"image": "a.png", "neighbours": [found]})
    assert f" {name} " in capsys.readouterr().out


def test_radius_limits_by_distance(
    run_folder: Path, exports: dict[str, Path], photos: Path
) -> None:
    common = ("query", "--model", exports["grey"], "--index", run_folder, "--k", 60)
    result = call(*common, "--radius", 3, "--json", photos)
    distances = [
        found["distance"]
        for query in json.loads(result.stdout)["queries"]
        for found in query["neighbours"]
    ]
    assert 0 in distances
    assert max(distances) <= 3
    assert len(distances) < 120
    assert_one_line_of_error(
        call(*common, "--radius", 33, photos), "`radius` must be .* 32 bits. Received: radius=33"
    )


def test_nothing_within_the_radius_is_said(
    run_folder: Path, exports: dict[str, Path], tmp_path: Path, encode_image: Callable[..., bytes]
) -> None:
    checks = np.indices((8, 8)).sum(axis=0) % 2 * 255
    (tmp_path / "checks.png").write_bytes(encode_image(checks.astype(np.uint8)))
    result = call(
        "query", "--model", exports["grey"], "--index", run_folder, "--radius", 0,
        tmp_path / "checks.png",
    )  # fmt: skip
    assert "nothing within the radius" in result.stdout


def test_codes_of_another_model_are_refused(
    exports: dict[str, Path], run_folder: Path, photos: Path, grey_run: Run, colour_run: Run
) -> None:
    result = call("query", "--model", exports["colour"], "--index", run_folder, photos)
    grey, colour = grey_run.encoder.fingerprint, colour_run.encoder.fingerprint
    assert_one_line_of_error(
        result, f"{grey}.*{colour}.*{run_folder}.* index build --model {exports['colour']} "
    )


@pytest.mark.parametrize("index", ["photos", "photos/3.png", "absent.npz"])
def test_what_is_no_index_is_one_line_of_error(
    exports: dict[str, Path], photos: Path, index: str
) -> None:
    path = photos.parent / index
    result = call("query", "--model", exports["grey"], "--index", path, photos)
    assert_one_line_of_error(result, re.escape(str(path)))


def test_a_model_is_no_index(exports: dict[str, Path], photos: Path) -> None:
    result = call("query", "--model", exports["grey"], "--index", exports["grey"], photos)
    assert_one_line_of_error(result, f"Neither an index file nor a run folder.*{exports['grey']}")


def test_a_bad_image_stops_the_query_or_is_skipped(
    exports: dict[str, Path], run_folder: Path, photos: Path
) -> None:
    (photos / "notes.png").write_text("no image")
    common = ("query", "--model", exports["grey"], "--index", run_folder)
    assert re.search(r"1 of 3 files .*\n +1  is no image.*notes\.png", call(*common, photos).stderr)
    result = call(*common, "--on-bad-image", "skip", "--json", photos)
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["queries"]) == 2
    assert [Path(found["image"]).name for found in json.loads(result.stdout)["skipped"]] == [
        "notes.png"
    ]
    assert re.search(r"1 of 3 files .*\n +1  is no image.*notes\.png", result.stderr)


def test_a_folder_without_images_is_one_line_of_error(
    exports: dict[str, Path], run_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    common = ("query", "--model", exports["grey"], "--index", run_folder)
    assert_one_line_of_error(call(*common, tmp_path / "empty"), "empty' holds no image file")


@pytest.mark.parametrize(
    "arguments",
    [
        ["saved-model"],
        ["saved-model", "--run", "r", "--output", "o", "--version", "0"],
        ["query", "--model", "m", "--index", "i"],
        ["query", "--model", "m", "--index", "i", "absent.png"],
        ["query", "--model", "m", "--index", "i", "--on-bad-image", "ignore", "."],
        ["no-such-command"],
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert "Usage:" in result.output


@pytest.mark.parametrize("command", ["saved-model", "publish", "query"])
def test_help_shows_an_example(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"Example: python -m export {command}" in result.stdout


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    checkout = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=checkout, check=False
    )


def test_help_does_not_wait_for_tensorflow() -> None:
    script = (
        "import sys, export.cli.app; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    assert run_python("-c", script).stdout.split() == ["False", "False"]


def test_tensorflow_adds_nothing_to_the_output(tmp_path: Path) -> None:
    run = run_python(
        "-m", "export", "saved-model", "--run", str(tmp_path), "--output", str(tmp_path / "m")
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert re.fullmatch(r"Error: Not a run folder .*\n", run.stderr)
