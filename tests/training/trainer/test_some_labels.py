"""Training on images of which some have labels and others have none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_hashing.retrieval import CodeIndex
from training.data import ImageDataset, load_dataset
from training.data.protocols import make_split
from training.runs.run_folder import RunFolder, load_run
from training.settings import FitSettings
from training.trainer.fit import fit
from training.trainer.preparation import Preparation
from training.trainer.trainer import Trainer


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images in each of two classes, six of none in a folder beside and six elsewhere."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name, count in (("shop/cats", 12), ("shop/dogs", 12), ("shop/more", 6), ("phone", 6)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.mark.parametrize("place", ["shop/more", "phone"])
def test_images_without_labels_train_and_are_in_no_figure(photos: Path, place: str) -> None:
    (photos / "shop" / "more").rename(photos / "hidden")
    if place == "shop/more":
        (photos / "hidden").rename(photos / place)
    dataset = load_dataset("folder", photos / "shop", unlabelled_dir=photos / place)
    if place == "phone":
        (photos / "hidden").rename(photos / "shop" / "more")
    assert dataset.class_names == ["cats", "dogs"]
    prefix = Path(place).name
    without = np.array([name.startswith(f"{prefix}/") for name in dataset.ids])
    assert dataset.labelled is not None
    np.testing.assert_array_equal(~dataset.labelled, without)
    assert without.sum() == 6
    assert dataset.single_label
    for protocol in (
        {"protocol": "per-class", "query_per_class": 3},
        {"protocol": "held-out-share"},
    ):
        split = make_split(dataset, seed=0, **protocol)
        assert set(np.flatnonzero(without)) <= set(split.train)
        assert dataset.labelled[split.query].all()
        assert dataset.labelled[split.database].all()
    labels = dataset.training_labels(split.train, None, 0)
    assert (labels[without] == -1).all()
    np.testing.assert_array_equal(labels[~without], dataset.labels[~without])


def test_a_run_indexes_them_and_its_figures_know_nothing_of_them(
    photos: Path, tmp_path: Path
) -> None:
    settings = {"dataset": "folder", "data_dir": str(photos / "shop"), "backbone": "small-cnn"}
    settings |= {"unlabelled_dir": str(photos / "shop" / "more"), "method": "orthohash"}
    settings |= {"instance_method": "ntxent", "frozen": True, "query_per_class": 3, "epochs": 1}
    metrics = fit(FitSettings.check({**settings, "batch_size": 12}), tmp_path / "run", verbose=0)
    assert (metrics["queries"], metrics["trained_on"], metrics["database"]) == (6, 24, 18)
    run = load_run(tmp_path / "run")
    index = CodeIndex.load(run.index_path)
    assert sum(name.startswith("more/") for name in index.ids) == 6
    assert len(index) == 24
    files = [(photos / "shop" / name).read_bytes() for name in index.ids]
    np.testing.assert_array_equal(run.encoder.encode_bytes(files), index.codes)
    (photos / "shop" / "more" / "0.png").rename(photos / "0.png")
    with pytest.raises(ValueError, match="data set has changed"):
        run.data()
    (photos / "0.png").rename(photos / "shop" / "more" / "0.png")


def test_digits_learn_from_a_tenth_of_their_labels(tmp_path: Path) -> None:
    settings = FitSettings(
        frozen=True, method="csq", instance_method="ntxent", label_share=0.1, epochs=3, hidden=64
    )
    metrics = fit(settings, tmp_path / "run", verbose=0)
    assert metrics["map"] > 0.3  # chance is 0.1
    assert metrics["database"] == 1597  # the labels that were not used count in figures
    trainer = Trainer(Preparation.load(settings), RunFolder(tmp_path / "run"), None)
    labels = np.concatenate([labels for _, labels in trainer.batches.take(3)])
    hidden = (labels == -1).all(axis=1)
    assert ((labels[~hidden].sum(axis=1)) == 1).all()
    assert 0.8 < hidden.mean() < 0.97


def test_the_share_is_of_each_class_and_the_seed_draws_it(
    labelled: Callable[..., ImageDataset],
) -> None:
    dataset = labelled(np.repeat(np.arange(3), [40, 20, 3]))
    train = np.arange(2, 63)
    labels = dataset.training_labels(train, 0.25, seed=1)
    np.testing.assert_array_equal((labels == 1).sum(axis=0), [2 + 10, 5, 1])  # 2 do not train
    again, other = (dataset.training_labels(train, 0.25, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(labels, again)
    assert (labels != other).any()
    assert dataset.training_labels(train, None, seed=1) is dataset.labels


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_share": 0.1, "quantization": "none"}, "`label_share` needs a term that"),
        (
            {"label_share": 0.1, "method": "ntxent", "flip": True},
            "`label_share` goes with a method",
        ),
        ({"label_share": 0.1, "class_balanced": True}, "leave it out, or `label_share`"),
        ({"unlabelled_dir": "phone"}, "`unlabelled_dir` goes with images in class folders"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitSettings(**changes)


def test_a_folder_of_classes_is_no_folder_without_labels(photos: Path) -> None:
    for place in (photos, photos / "shop"):
        with pytest.raises(ValueError, match="`unlabelled_dir` must be no class folder's"):
            load_dataset("folder", photos / "shop", unlabelled_dir=place)
