"""From mosaics to a measured and exported run: several labels an image, all the way."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from export.index.index_items import dataset_items
from keras_hashing import methods
from keras_hashing.retrieval import CodeIndex
from training.cli import app
from training.data import load_dataset

RUNNER = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"})
MOSAICS = ["--dataset", "digits", "--query", "40", "--train", "120", "--database", "200"]
QUICK = ["--epochs", "1", "--bits", "16", "--batch-size", "40", "--protocol", "lists"]


def call(*arguments: str | Path, code: int = 0) -> str:
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stderr if code else result.stdout


@pytest.fixture(scope="module")
def mosaics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multi") / "mosaics"
    output = call("mosaics", "--output", folder, *MOSAICS)
    assert "40 mosaics to search with and 200 to search in, 120 of them to train on" in output
    return folder


@pytest.fixture(scope="module")
def run(mosaics: Path) -> Path:
    folder = mosaics.parent / "run"
    call(
        "fit", "--dataset", "lists", "--data-dir", mosaics, "--output", folder, "--k", "50",
        "--method", "csq", *QUICK,
    )  # fmt: skip
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["native", "hswd"])
@pytest.mark.parametrize("method", sorted(set(methods.available()) - {"csq", "greedyhash"}))
def test_every_method_of_several_labels_trains_on_mosaics(
    method: str, quantization: str, mosaics: Path, tmp_path: Path
) -> None:
    if (method, quantization) == ("orthohash", "native"):
        pytest.skip("OrthoHash has no native quantization")
    call(
        "fit", "--dataset", "lists", "--data-dir", mosaics, "--output", tmp_path / "run",
        "--method", method, "--quantization", quantization, *QUICK,
    )  # fmt: skip
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["map"] > _map_of_chance(mosaics)


def _map_of_chance(mosaics: Path) -> float:
    """The share of pairs of query and database that have a label in common."""
    dataset = load_dataset("lists", mosaics)
    split = dataset.given_split
    assert split is not None
    labels = dataset.labels.astype(int)
    return float((labels[split.query] @ labels[split.database].T > 0).mean())


def test_a_run_keeps_query_train_and_database_of_the_lists(run: Path, mosaics: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    images = config["images"]
    assert (images["all"], images["query"], images["train"], images["database"]) == (
        240, 40, 120, 200
    )  # fmt: skip
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["trained_on"], metrics["k"]) == (120, 50)
    assert 0 < metrics["map_at_k"] <= 1


def test_the_database_keeps_all_labels_of_an_image(run: Path, mosaics: Path) -> None:
    dataset = load_dataset("lists", mosaics)
    items = dataset_items(dataset, part="database")
    index = CodeIndex.load(run / "database.npz")
    assert list(index.ids) == list(items.ids) == dataset.ids[:200]
    labels = [
        ", ".join(dataset.class_names[column] for column in np.flatnonzero(row))
        for row in dataset.labels[:200]
    ]
    assert list(items.labels or []) == labels
    assert [str(label) for label in index.labels] == labels


def test_measuring_again_finds_lists_and_images_that_moved(
    run: Path, mosaics: Path, tmp_path: Path
) -> None:
    (tmp_path / "lists").mkdir()
    for file in mosaics.glob("*.txt"):
        (tmp_path / "lists" / file.name).write_bytes(file.read_bytes())
    moved = ["--data-dir", tmp_path / "lists", "--image-root", mosaics, "--json"]
    again = json.loads(call("evaluate", "--run", run, *moved))
    assert again["map"] == json.loads((run / "metrics.json").read_text())["map"]


def test_an_image_that_changes_lists_is_another_data_set(
    run: Path, mosaics: Path, tmp_path: Path
) -> None:
    """All numbers, ids and labels stay the same; only who was trained on differs."""
    for file in mosaics.glob("*.txt"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    train = (mosaics / "train.txt").read_text().splitlines()
    others = set((mosaics / "database.txt").read_text().splitlines()) - set(train)
    (tmp_path / "train.txt").write_text("\n".join([*train[1:], min(others)]))
    moved = ["--data-dir", tmp_path, "--image-root", mosaics]
    assert "data set has changed" in call("evaluate", "--run", run, *moved, code=1)


def test_a_method_for_one_label_is_refused_with_the_reason(mosaics: Path, tmp_path: Path) -> None:
    output = call(
        "fit", "--dataset", "lists", "--data-dir", mosaics, "--output", tmp_path / "run",
        "--method", "greedyhash", *QUICK, code=1,
    )  # fmt: skip
    assert "GreedyHash needs exactly one label per image" in output
    assert not (tmp_path / "run").exists()


def test_errors_of_the_lists_reach_the_command_line(mosaics: Path, tmp_path: Path) -> None:
    common = ["fit", "--dataset", "lists", "--output", tmp_path / "run", *QUICK]
    assert "has no database.txt, train.txt, test.txt" in call(
        *common, "--data-dir", tmp_path, code=1
    )
    assert "has 80 classes" in call(*common, "--data-dir", mosaics, "--protocol", "coco", code=1)
    assert "exists and is not empty" in call("mosaics", "--output", mosaics, *MOSAICS, code=1)
