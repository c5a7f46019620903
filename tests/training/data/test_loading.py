from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data import load_dataset


def test_digits_keep_their_order_and_fill_the_range() -> None:
    dataset = load_dataset("digits")
    original = load_digits()
    pixels = dataset.images.pixels
    assert pixels.shape == (1797, 8, 8, 1)
    assert (pixels.min(), pixels.max()) == (0, 255)
    np.testing.assert_allclose(pixels[..., 0], original.images * 255 / 16, atol=0.5)
    np.testing.assert_array_equal(dataset.labels.argmax(axis=1), original.target)
    assert dataset.single_label
    assert dataset.ids[17] == "train/17"
    assert set(dataset.part) == {"train"}
    assert dataset.preprocessing() == ImagePreprocessing(8, 8, 1)


@pytest.mark.prepared_data("cifar10")
def test_cifar10_is_read_encoded_with_both_parts(prepared_data: Path) -> None:
    dataset = load_dataset("cifar10", prepared_data)
    assert len(dataset) == 60_000
    assert dataset.labels.sum(axis=0, dtype=int).tolist() == [6000] * 10
    assert dataset.class_names[:2] == ["airplane", "automobile"]
    assert (dataset.part[49_999], dataset.part[50_000]) == ("train", "test")
    assert (dataset.ids[49_999], dataset.ids[50_000]) == ("train/49999", "test/0")
    assert dataset.preprocessing() == ImagePreprocessing(32, 32, 3)
    builder = tfds.builder("cifar10", data_dir=prepared_data)
    originals = builder.as_dataset(split="test[:3]", shuffle_files=False)
    images = dataset.images.images([50_000, 50_001, 50_002], dataset.preprocessing())
    for original, image in zip(originals, images, strict=True):
        assert np.abs(original["image"].numpy().astype(int) - image).max() <= 1


class Shapes(tfds.core.GeneratorBasedBuilder):
    """A small data set of this test's own; `features` and `parts` are set by each test."""

    VERSION = tfds.core.Version("1.0.0")
    features: dict[str, Any]
    parts: dict[str, list[dict[str, Any]]]

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(self.features)
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {part: enumerate(examples) for part, examples in self.parts.items()}

    def _generate_examples(self) -> Iterator[Any]:
        raise NotImplementedError


def picture(level: int) -> np.ndarray:
    return np.full((3, 4, 3), level, np.uint8)


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., Path]:
    def prepare(features: dict[str, Any], parts: dict[str, list[dict[str, Any]]]) -> Path:
        Shapes.features, Shapes.parts = features, parts
        Shapes(data_dir=tmp_path).download_and_prepare()
        return tmp_path

    return prepare


IMAGE = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
CLASS = tfds.features.ClassLabel(names=["round", "square", "flat"])


def test_a_sequence_of_class_labels_is_multi_hot(prepare: Callable[..., Path]) -> None:
    examples = [
        {"image": picture(i), "labels": labels} for i, labels in enumerate([[0, 2], [], [1]])
    ]
    data = prepare({"image": IMAGE, "labels": tfds.features.Sequence(CLASS)}, {"train": examples})
    dataset = load_dataset("shapes", data)
    levels = [
        int(image[0, 0, 0])
        for image in dataset.images.images(range(3), dataset.preprocessing(3, 4))
    ]
    want = {0: [1, 0, 1], 1: [0, 0, 0], 2: [0, 1, 0]}
    np.testing.assert_array_equal(dataset.labels, [want[level] for level in levels])
    assert dataset.class_names == ["round", "square", "flat"]
    assert dataset.image_shape == (None, None, 3)


def test_a_validation_split_is_read_after_train_and_test(prepare: Callable[..., Path]) -> None:
    parts = {
        part: [{"image": picture(0), "label": label}]
        for label, part in enumerate(["train", "validation", "test"])
    }
    dataset = load_dataset("shapes", prepare({"image": IMAGE, "label": CLASS}, parts))
    assert dataset.ids == ["train/0", "test/0", "validation/0"]
    assert dataset.part.tolist() == ["train", "test", "validation"]
    assert dataset.labels.argmax(axis=1).tolist() == [0, 2, 1]


def test_the_feature_named_label_is_preferred(prepare: Callable[..., Path]) -> None:
    coarse = tfds.features.ClassLabel(names=["x", "y"])
    examples = {"train": [{"image": picture(0), "label": 2, "coarse": 1}]}
    data = prepare({"image": IMAGE, "label": CLASS, "coarse": coarse}, examples)
    assert load_dataset("shapes", data).labels.tolist() == [[0, 0, 1]]


def test_images_without_a_label_are_left_out(prepare: Callable[..., Path]) -> None:
    parts = {
        "train": [{"image": picture(0), "label": 1}],
        "test": [{"image": picture(0), "label": -1}],
    }
    data = prepare({"image": IMAGE, "label": CLASS}, parts)
    with pytest.warns(UserWarning, match="1 of 1 images of 'test'"):
        dataset = load_dataset("shapes", data)
    assert dataset.ids == ["train/0"]


def test_data_without_class_labels_names_its_features(prepare: Callable[..., Path]) -> None:
    example = {"image": picture(0), "caption": "a"}
    data = prepare({"image": IMAGE, "caption": tfds.features.Text()}, {"train": [example]})
    with pytest.raises(
        ValueError, match=r"class label.*(caption: Text, image: Image|image: Image, caption: Text)"
    ):
        load_dataset("shapes", data)


def test_data_without_images_names_its_features(prepare: Callable[..., Path]) -> None:
    data = prepare({"label": CLASS}, {"train": [{"label": 0}]})
    with pytest.raises(ValueError, match=r"image feature.*label: ClassLabel"):
        load_dataset("shapes", data)


def test_data_without_a_known_split_names_those_it_has(prepare: Callable[..., Path]) -> None:
    example = {"image": picture(0), "label": 0}
    data = prepare({"image": IMAGE, "label": CLASS}, {"everything": [example]})
    with pytest.raises(ValueError, match=r"none of the splits.*\['everything'\]"):
        load_dataset("shapes", data)


def test_data_that_is_not_prepared_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'mnist'.*download=True.*tfds build mnist"):
        load_dataset("mnist", tmp_path)


def test_data_is_prepared_when_a_download_is_asked_for(tmp_path: Path) -> None:
    Shapes.features = {"image": IMAGE, "label": CLASS}
    Shapes.parts = {"train": [{"image": picture(0), "label": 1}]}
    with pytest.raises(FileNotFoundError):
        load_dataset("shapes", tmp_path)
    assert len(load_dataset("shapes", tmp_path, download=True)) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifra10", r"Unknown data set 'cifra10'. Did you mean one of \['cifar10'"),
        ("digit", "'digits'"),
        ("my photos", r"Unknown data set 'my photos'.*'digits', 'folder'.*TFDS"),
        ("", "Unknown data set ''"),
        ("mnist/none", r"'mnist/none' cannot be loaded: .*none not found"),
        ("mnist:9.9.9", r"'mnist:9.9.9' cannot be loaded: .*9.9.9"),
    ],
)
def test_an_unknown_name_lists_what_is_possible(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load_dataset(name, tmp_path)
