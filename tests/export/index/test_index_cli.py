"""`python -m export index …`, and the commands that take an index."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from export.cli.app import app
from keras_hashing.encoder.card import Card
from keras_hashing.retrieval import CodeIndex
from training.runs.run_folder import Run


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeeded(*arguments: object) -> Any:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result


def assert_one_line_of_error(result: Any, message: str) -> None:
    assert result.exit_code == 1, result.output
    assert re.fullmatch(rf"Error: .*{message}.*\n", result.stderr), result.stderr
    assert result.stdout == ""


@pytest.fixture
def photos(tmp_path: Path, digits: np.ndarray, encode_image: Callable[..., bytes]) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for at in range(5):
        (folder / f"{at}.png").write_bytes(encode_image(digits[at][..., 0]))
    return folder


def test_the_life_of_an_index(
    exports: dict[str, Path], photos: Path, grey_run: Run, digits: np.ndarray, tmp_path: Path
) -> None:
    index, model = tmp_path / "index.npz", exports["grey"]
    (photos / "notes.png").touch()
    build = ("index", "build", "--model", model, "--images", photos, "--id-from", "stem")
    result = call(*build, "--output", index)
    assert re.search(r"1 of \d+ images .*\n +1  is empty: 'notes'\n.*--resume keeps", result.stderr)
    result = succeeded(*build, "--output", index, "--resume", "--on-bad-image", "skip")
    assert "1  is empty: 'notes'" in result.stderr
    assert index.with_name("index.npz.skipped.txt").read_text() == "notes\tis empty\n"
    assert grey_run.encoder.fingerprint in result.stdout
    for again in ((), ("--resume",)):
        assert_one_line_of_error(
            call(*build, "--output", index, *again),
            "exists already: .*index.npz. `--replace` replaces it; `index add` extends it",
        )

    (tmp_path / "list.txt").write_text("more/7.png 0 1 0 0\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "7.png").write_bytes((photos / "2.png").read_bytes())
    add = ("index", "add", "--index", index, "--model", model, "--list", tmp_path / "list.txt")
    assert_one_line_of_error(call(*add), "'more/7.png'")  # the index has integers for ids
    added = succeeded(*add, "--id-from", "stem").stdout
    assert re.search(r"added  1\n +items  6\n", added)
    (tmp_path / "ids.txt").write_text("3\n0\n")
    assert_one_line_of_error(call("index", "remove", "--index", index, "--id", "99"), "99")
    remove = ("index", "remove", "--index", index, "--ids-file", tmp_path / "ids.txt")
    succeeded(*remove, "--id", "1")
    (tmp_path / "ids.txt").write_text("")  # of an index without near-duplicates
    assert re.search(r"removed  0\n +items  3\n", succeeded(*remove).stdout)

    info = json.loads(succeeded("index", "info", "--index", index, "--json").stdout)
    assert info == {
        "kind": "flat",
        "items": 3,
        "bits": 32,
        "different_codes": 2,
        "ids": "int64",
        "first_ids": ["2", "4", "7"],
        "labels": False,
        "fingerprint": grey_run.encoder.fingerprint,
    }
    loaded = CodeIndex.load(index)
    np.testing.assert_array_equal(loaded.codes, grey_run.model.encode(digits[[2, 4, 2]]))


def test_a_data_set_and_a_run_make_an_index(run_folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.npz"
    succeeded("index", "build", "--run", run_folder, "--dataset", "digits", "--output", index)
    loaded = CodeIndex.load(index)
    assert len(loaded) == 1797
    database = CodeIndex.load(run_folder / "database.npz")
    np.testing.assert_array_equal(loaded.codes[:60], database.codes)
    assert loaded.ids[:60] == list(database.ids)
    shown = succeeded("index", "info", "--index", index).stdout
    assert "string, such as train/0, train/1, train/2" in shown
    assert str(database.fingerprint) in shown


def test_a_list_shows_the_names_of_the_models_classes(
    exports: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_text("0.png 1 0 0 1\n1.png 0 1 0 0\n")
    index = tmp_path / "index.npz"
    succeeded(
        "index", "build", "--model", exports["grey"], "--list", tmp_path / "list.txt",
        "--root", photos, "--output", index,
    )  # fmt: skip
    loaded = CodeIndex.load(index)
    assert (loaded.ids, loaded.labels) == (["0.png", "1.png"], ["a, d", "b"])


def test_list_files_of_a_data_set_find_their_images_elsewhere(
    exports: dict[str, Path], photos: Path, tmp_path: Path
) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    for part, lines in {"test": "0.png 1 0", "train": "1.png 0 1", "database": "1.png 0 1"}.items():
        (lists / f"{part}.txt").write_text(lines + "\n")
    index, common = tmp_path / "index.npz", ("index", "build", "--model", exports["grey"])
    succeeded(
        *common, "--dataset", "lists", "--data-dir", lists, "--root", photos, "--part", "database",
        "--output", index,
    )  # fmt: skip
    assert CodeIndex.load(index).ids == ["1.png"]
    refused = call(*common, "--dataset", "digits", "--root", photos, "--output", tmp_path / "no")
    assert_one_line_of_error(refused, "goes with data set 'lists' only")


def test_an_index_is_served_and_published(run_folder: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    result = succeeded("saved-model", "--run", run_folder, "--output", models)
    assert "search" not in result.stdout
    publish = ("publish", "--output", models)
    index = ("--index", run_folder / "database.npz", "--rerank")
    result = succeeded(*publish, "--run", run_folder, *index, "--keep", 1)
    assert "search, search_code" in result.stdout
    assert "60 items, ids string" in result.stdout
    assert "deleted  version 1" in result.stdout
    card = Card.load(models / "2")
    assert card.index is not None
    assert card.index.rerank
    assert result.stderr == ""
    assert_one_line_of_error(call(*publish, "--rollback"), "no version to go back to")
    succeeded("saved-model", "--run", run_folder, "--output", models, "--index", run_folder)
    result = succeeded(*publish, "--rollback")
    assert str(models / "3.rolled-back") in result.stdout
    assert sorted(path.name for path in models.iterdir()) == ["2", "3.rolled-back"]
    result = succeeded(*publish, "--run", run_folder, "--keep", 1)
    assert "deleted  version 2, 3.rolled-back" in result.stdout
    assert result.stderr == (
        "Warning: Version 2 has an index, this one has none: it does not answer search\n"
    )


def test_an_index_of_another_model_is_one_line_of_error(
    exports: dict[str, Path], run_folder: Path, photos: Path, colour_run: Run, tmp_path: Path
) -> None:
    codes = np.zeros((1, 4), np.uint8)
    CodeIndex(codes, ["a"], colour_run.encoder.fingerprint).save(tmp_path / "other.npz")
    name = colour_run.encoder.fingerprint
    message = f"Codes of two models do not mix.*{name}.*other.npz.* index build "
    to_models = ("--output", tmp_path / "models", "--index", tmp_path / "other.npz")
    for command in ("saved-model", "publish"):
        result = call(command, "--run", run_folder, *to_models)
        assert_one_line_of_error(result, f"{message}--run {run_folder} ")
    add = ("index", "add", "--index", tmp_path / "other.npz", "--images", photos)
    result = call(*add, "--model", exports["grey"])
    assert_one_line_of_error(result, f"{message}--model {exports['grey']} ")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "--images", ".", "--output", "i.npz"], "Name what encodes: --model or --run"),
        (["add", "--index", "i", "--model", "m", "--run", "r"], "--model or --run, one of them"),
        (["remove", "--index", "i.npz"], "Name what to remove"),
        (["info", "--index", "absent.npz"], "There is no index"),
    ],
)
def test_what_is_missing_is_named(arguments: list[str], message: str) -> None:
    assert_one_line_of_error(call("index", *arguments), message)


def test_the_database_of_a_run_is_not_changed(run_folder: Path, photos: Path) -> None:
    for change in (("remove", "--id", "train/0"), ("add", "--run", run_folder, "--images", photos)):
        result = call("index", *change, "--index", run_folder)
        assert_one_line_of_error(result, "A run's database cannot be changed; build an index file")


def test_images_are_named_once(exports: dict[str, Path], tmp_path: Path) -> None:
    build = ("index", "build", "--model", exports["grey"], "--output", tmp_path / "i.npz")
    for images in ((), ("--images", ".", "--dataset", "digits")):
        assert_one_line_of_error(call(*build, *images), "Name what to encode: .*one of them")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name what to publish"),
        (["--rollback", "--run", "r"], "--rollback takes --output and --wait only"),
    ],
)
def test_publish_publishes_or_rolls_back(arguments: list[str], message: str) -> None:
    assert_one_line_of_error(call("publish", "--output", "m", *arguments), message)


@pytest.mark.parametrize(
    "command", [["index", "build"], ["index", "add"], ["index", "remove"], ["index", "info"]]
)
def test_help_shows_an_example(command: list[str]) -> None:
    result = succeeded(*command, "--help")
    assert f"Example: python -m export {' '.join(command)}" in result.stdout
