"""Vectors of another model, from `fit` to their index."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from keras_hashing.encoder import HashEncoder, VectorInput
from keras_hashing.retrieval import CodeIndex, mean_average_precision, neighbour_recall
from training.cli import app
from training.runs.run_folder import load_run
from training.settings import FitSettings
from training.trainer.fit import fit, resume

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 5, 300)
VECTORS = (3 * RANDOM.normal(size=(5, 6))[LABELS] + RANDOM.normal(size=(300, 6))).astype(np.float32)
IDS = [f"product {number}" for number in range(300)]
SMALL = {"dataset": "vectors", "bits": 12, "epochs": 2, "batch_size": 64, "query_share": 0.2}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vectors") / "products.npz"
    np.savez(path, vectors=VECTORS, ids=np.array(IDS), labels=np.array([f"c{n}" for n in LABELS]))
    return path


@pytest.fixture(scope="module")
def finished(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "vectors"
    fit(FitSettings.check({**SMALL, "data_dir": str(file)}), folder, verbose=0)
    return folder


def test_its_index_holds_the_codes_that_the_encoder_gives_for_the_vectors(finished: Path) -> None:
    index = CodeIndex.load(finished / "database.npz")
    assert list(index.ids) == IDS
    assert list(index.labels or ()) == [f"c{number}" for number in LABELS]
    encoder = HashEncoder.load(finished)
    assert encoder.preprocessing == VectorInput(6)
    index.check_fingerprint(encoder.fingerprint)
    np.testing.assert_array_equal(encoder.encode(VECTORS), index.codes)
    # The length of a vector does not matter: neighbours are by the cosine.
    differing = np.unpackbits(encoder.encode(7 * VECTORS) ^ index.codes).sum()
    assert differing <= 2  # rounding next to 0


def test_it_is_measured_by_labels_and_by_neighbours(finished: Path) -> None:
    run = load_run(finished)
    split = run.data().split
    index = CodeIndex.load(run.index_path)
    assert len(split.query) == run.metrics["queries"]
    one_hot = np.eye(5)[LABELS]
    sides = [(index.codes[part], one_hot[part]) for part in (split.query, split.database)]
    expected = mean_average_precision(*sides[0], *sides[1])
    assert run.metrics["map"] == pytest.approx(expected, abs=1e-9)
    recall = neighbour_recall(
        VECTORS[split.query], sides[0][0], VECTORS[split.database], sides[1][0]
    )
    assert run.metrics["neighbour_recall_at_10"] == pytest.approx(recall[10], abs=1e-9)
    result = CliRunner().invoke(app, ["evaluate", "--run", str(finished), "--json"])
    assert result.exit_code == 0, result.output
    again = json.loads(result.stdout[result.stdout.index("{") :])
    for name in ("map", "neighbour_recall_at_10", "fingerprint"):
        assert again[name] == run.metrics[name]


@pytest.mark.parametrize("method", ["hashnet", "itq"])
def test_any_method_trains_on_vectors_and_they_may_lie_elsewhere_later(
    method: str, tmp_path: Path
) -> None:
    data = {"vectors": VECTORS, "labels": LABELS}
    np.savez(tmp_path / "here.npz", **data)
    settings = FitSettings.check(
        {**SMALL, "bits": 5, "data_dir": str(tmp_path / "here.npz"), "method": method}
    )
    metrics = fit(settings, tmp_path / "run", verbose=0)
    assert metrics["map"] > 0.3  # 0.2 by chance
    (tmp_path / "here.npz").rename(tmp_path / "there.npz")
    (tmp_path / "run" / "metrics.json").unlink()
    (tmp_path / "run" / "checkpoints").mkdir(exist_ok=True)
    if method == "itq":  # has no checkpoint to go on from, and needs none
        assert (
            resume(tmp_path / "run", {"data_dir": str(tmp_path / "there.npz")}, verbose=0)["map"]
            == metrics["map"]
        )
    (tmp_path / "run" / "metrics.json").unlink(missing_ok=True)
    data["vectors"] = VECTORS + 1
    np.savez(tmp_path / "there.npz", **data)
    with pytest.raises(ValueError, match="data set has changed since the run was begun"):
        resume(tmp_path / "run", {"data_dir": str(tmp_path / "there.npz")}, verbose=0)


def test_views_that_are_neighbours_teach_kinds(file: Path, finished: Path, tmp_path: Path) -> None:
    changes = {"data_dir": str(file), "method": "crovca", "view_neighbours": 10}
    settings = FitSettings.check({**SMALL, **changes})
    metrics = fit(settings, tmp_path / "run", verbose=0)
    assert metrics["map"] > load_run(finished).metrics["map"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "small-cnn"}, "`backbone` must be 'none' for the data set 'vectors'"),
        (
            {"dataset": "digits", "backbone": "none", "query_share": None},
            "`backbone` must be 'none' for the data set",
        ),
        ({"frozen": False, "method": "hashnet"}, "`frozen` must be set for vectors"),
        ({"height": 8}, "`height` is for images"),
        ({"view_neighbours": 3, "method": "itq"}, "`view_neighbours` goes with a method of two"),
        ({"flip": True}, "cannot be changed at random"),
    ],
)
def test_what_is_for_images_is_refused(file: Path, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitSettings.check({**SMALL, "data_dir": str(file), **changes})


def test_a_single_vector_to_train_on_leaves_nothing_to_measure_meanwhile(tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", VECTORS[:2])
    settings = FitSettings.check({**SMALL, "data_dir": str(tmp_path / "two.npy"), "epochs": 1})
    assert fit(settings, tmp_path / "run", verbose=0)["database"] == 1


def test_bad_vectors_are_refused_before_a_run_is_made(tmp_path: Path) -> None:
    def refused(message: str, **arrays: np.ndarray) -> None:
        np.savez(tmp_path / "bad.npz", **arrays)
        settings = FitSettings.check({**SMALL, "data_dir": str(tmp_path / "bad.npz")})
        with pytest.raises(ValueError, match=message):
            fit(settings, tmp_path / "run", verbose=0)
        assert not (tmp_path / "run").exists()

    broken = VECTORS.copy()
    broken[7, 2], broken[9] = np.nan, 0
    refused("'product 7'.* is not finite.*'product 9'.* is zero", vectors=broken, ids=np.array(IDS))
    long, short = (VECTORS * np.float32(scale) for scale in (1e25, 1e-25))
    refused("row 0 has a length outside 1e-12 to 1e19", vectors=long)
    refused("row 0 has a length outside 1e-12 to 1e19", vectors=short)
    refused("ids must differ", vectors=VECTORS, ids=np.array(["a"] * 300))
    refused("labels must be one for each vector", vectors=VECTORS, labels=LABELS[:-1])
    refused("never loaded", vectors=np.array([[object()] * 2] * 300))
    settings = FitSettings.check({**SMALL, "data_dir": str(tmp_path / "v.npy"), "method": "csq"})
    np.save(tmp_path / "v.npy", VECTORS)
    narrow = settings.model_copy(update={"method": "itq"})
    with pytest.raises(ValueError, match="at least 12 dimensions and 13 rows for 12 bits"):
        fit(narrow, tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="`method` must be one that needs no labels"):
        fit(settings, tmp_path / "run", verbose=0)
