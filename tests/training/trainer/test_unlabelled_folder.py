"""A folder of images without labels, from `fit` to its index."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from keras_hashing.retrieval import CodeIndex, neighbour_recall
from training.backbones import native_size
from training.cli import app
from training.data import load_dataset
from training.runs.run_folder import RunFolder, load_run
from training.settings import Augmentation, FitSettings
from training.trainer.fit import fit
from training.trainer.frozen_features import frozen_features, reference_vectors
from training.trainer.model import new_backbone

SMALL = {
    "dataset": "folder",
    "backbone": "small-cnn",
    "bits": 12,
    "epochs": 2,
    "query_share": 0.2,
    "batch_size": 20,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number in range(30):
        pixels = random.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "unlabelled"
    with pytest.warns(UserWarning, match="random weights"):
        fit(FitSettings.check({**SMALL, "data_dir": str(photos)}), folder, verbose=0)
    return folder


def test_its_index_holds_every_image_and_its_codes_are_those_of_the_files(
    finished: Path, photos: Path
) -> None:
    run = load_run(finished)
    index = CodeIndex.load(run.index_path)
    assert sorted(index.ids) == sorted(path.name for path in photos.iterdir())
    assert index.labels is None
    index.check_fingerprint(run.encoder.fingerprint)
    files = [(photos / name).read_bytes() for name in index.ids]
    np.testing.assert_array_equal(run.encoder.encode_bytes(files), index.codes)


def test_it_is_measured_by_neighbours_and_evaluate_finds_the_same(
    finished: Path, photos: Path
) -> None:
    run = load_run(finished)
    assert (run.metrics["queries"], run.metrics["database"]) == (6, 24)
    assert run.metrics["map"] is None
    data = run.data()
    _, features = frozen_features(run.config, data, RunFolder(finished))
    index = CodeIndex.load(run.index_path)
    query, database = data.split.query, data.split.database
    assert data.dataset.ids == list(index.ids)
    recall = neighbour_recall(
        features[query], index.codes[query], features[database], index.codes[database]
    )
    assert run.metrics["neighbour_recall_at_10"] == pytest.approx(recall[10], abs=1e-9)
    result = CliRunner().invoke(app, ["evaluate", "--run", str(finished), "--json"])
    assert result.exit_code == 0, result.output
    again = json.loads(result.stdout[result.stdout.index("{") :])
    assert again["neighbour_recall_at_10"] == pytest.approx(recall[10], abs=1e-9)
    report = (finished / "report.html").read_text()
    assert "has no labels" in report
    assert report.count('class="query"') == 6
    assert 'class="hit"' not in report


def test_a_whole_network_learns_from_two_augmented_views(photos: Path, tmp_path: Path) -> None:
    settings = FitSettings.check(
        {**SMALL, "data_dir": str(photos), "frozen": False, "learning_rate": 0.1}
    )
    assert settings.augmentation == Augmentation(crop=0.5, colour=0.4, flip=True)
    whole = fit(settings, tmp_path / "run", verbose=0)
    assert (whole["queries"], whole["map"]) == (6, None)
    assert 0 < whole["neighbour_recall_at_10"] <= 1
    run = load_run(tmp_path / "run")
    data = run.data()
    vectors = reference_vectors(run.config, data, RunFolder(run.folder), run.model)
    pixels = np.stack([np.asarray(Image.open(photos / name)) for name in data.dataset.ids])
    np.testing.assert_allclose(vectors, run.model.backbone.predict(pixels), atol=1e-4)
    untrained = new_backbone(run.config, pixels.shape[1:], dropout=0)
    assert np.abs(vectors - untrained.predict(pixels)).max() > 0.01
    shown = EventAccumulator(str(tmp_path / "run" / "logs" / "train")).Reload().Tags()["tensors"]
    assert "first training batch" in shown
    assert "epoch_training_bit_balance" in shown


def test_subfolders_are_classes_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    for name in ("cats/a.png", "cats/b.png", "dogs/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), len(name), np.uint8)).save(tmp_path / name)
    common = {"dataset": "folder", "data_dir": str(tmp_path)}
    assert FitSettings.check(common).unlabelled is None
    settings = FitSettings.check({**common, "unlabelled": True, "bits": 16})
    assert (settings.recipe, settings.bits, settings.protocol) == (
        "unlabelled",
        16,
        "held-out-share",
    )
    dataset = load_dataset("folder", tmp_path, unlabelled=True)
    assert (dataset.ids, dataset.class_names) == (["cats/a.png", "cats/b.png", "dogs/c.png"], [])
    for path in (tmp_path / "dogs").iterdir():
        path.unlink()
    (tmp_path / "dogs").rmdir()
    with pytest.raises(ValueError, match="one class folder, 'cats'.*`unlabelled`"):
        load_dataset("folder", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "hashnet"}, "`method` must be one that needs no labels"),
        ({"protocol": "per-class", "query_share": None}, "`protocol` must be 'held-out-share'"),
        ({"dataset": "digits"}, "`unlabelled` goes with data set 'folder' only"),
        ({"frozen": False, "method": "pca"}, "`frozen` must be set with the method 'pca'"),
    ],
)
def test_what_needs_labels_is_refused_without_them(
    photos: Path, changes: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        FitSettings.check({**SMALL, "data_dir": str(photos), "unlabelled": True, **changes})


def test_photographs_get_the_size_that_the_network_was_pretrained_on(photos: Path) -> None:
    assert native_size("efficientnet-lite0") == native_size("MobileNetV2") == 224
    assert native_size("efficientnet-lite2") == 260
    assert native_size("efficientnet-lite0", "none") is native_size("small-cnn") is None
    photographs = load_dataset("folder", photos, unlabelled=True)
    assert photographs.preprocessing(native_size=224).shape == (224, 224, 3)
    assert photographs.preprocessing(height=96, native_size=224).shape == (96, 224, 3)
    assert photographs.preprocessing().shape == (16, 16, 3)
    assert load_dataset("digits").preprocessing(native_size=224).shape == (8, 8, 1)
