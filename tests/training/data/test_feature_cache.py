"""Features of a frozen backbone: computed once, found again, never wrong."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from training.data import ImageDataset, feature_cache
from training.data.feature_cache import cached_features, features_key


def make_backbone(seed: int = 0, scale: float = 1.0, dropout: float = 0.5) -> keras.Model:
    keras.utils.set_random_seed(seed)
    images = keras.Input((4, 4, 3), dtype="uint8")
    x = keras.layers.Rescaling(scale / 255)(images)
    x = keras.layers.Conv2D(5, 3)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dropout(dropout)(x))


class Counted:
    """A backbone that counts the images it is shown, and can break after some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, breaks_after: int | None = None) -> None:
        self.images = 0
        original = feature_cache.evaluation_batches

        def batches(dataset, indices, *rest):
            for images, labels in original(dataset, indices, *rest):
                if breaks_after is not None and self.images >= breaks_after:
                    raise KeyboardInterrupt
                self.images += len(images)
                yield images, labels

        monkeypatch.setattr(feature_cache, "evaluation_batches", batches)


@pytest.fixture
def dataset(labelled: Callable[..., ImageDataset]) -> ImageDataset:
    return labelled([0, 1] * 20, size=4)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "_BATCH", 8)
    monkeypatch.setattr(feature_cache, "_BATCHES_BETWEEN_SAVES", 1)


def expected(dataset: ImageDataset, backbone: keras.Model) -> np.ndarray:
    return backbone.predict(dataset.images.pixels, verbose=0)


def test_features_are_those_of_the_backbone_in_the_order_of_the_data_set(
    dataset: ImageDataset, tmp_path: Path
) -> None:
    backbone = make_backbone()
    features = cached_features(dataset, dataset.preprocessing(), backbone, tmp_path / "new")
    assert features.dtype == np.float16
    assert not features.flags.writeable
    np.testing.assert_allclose(features, expected(dataset, backbone), atol=1e-3)
    exact = cached_features(
        dataset, dataset.preprocessing(), backbone, tmp_path / "new", dtype="float32"
    )
    np.testing.assert_allclose(exact, expected(dataset, backbone), atol=1e-6)


def test_features_are_computed_once(
    dataset: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    first = cached_features(dataset, dataset.preprocessing(), make_backbone(), tmp_path)
    again = cached_features(dataset, dataset.preprocessing(), make_backbone(), tmp_path)
    assert counted.images == len(dataset)
    np.testing.assert_array_equal(first, again)


def test_other_weights_images_labels_or_sizes_have_another_key(
    dataset: ImageDataset, labelled: Callable[..., ImageDataset]
) -> None:
    other = labelled([1, 0] * 20, size=4)
    changed = labelled([0, 1] * 20, size=4)
    changed.images.pixels[0] ^= 255
    backbone = make_backbone()
    larger = dataset.preprocessing(height=5)
    keys = {
        features_key(dataset, dataset.preprocessing(), backbone),
        features_key(dataset, dataset.preprocessing(), make_backbone(seed=1)),
        features_key(dataset, dataset.preprocessing(), make_backbone(scale=2.0)),
        features_key(dataset, dataset.preprocessing(), backbone, "float32"),
        features_key(dataset, larger, backbone),
        features_key(other, other.preprocessing(), backbone),
        features_key(changed, changed.preprocessing(), backbone),
    }
    assert len(keys) == 7
    assert features_key(dataset, dataset.preprocessing(), make_backbone()) in keys
    assert features_key(dataset, dataset.preprocessing(), make_backbone(dropout=0.1)) in keys


@pytest.mark.parametrize("damage", ["truncated", "changed", "not an array", "seal lost"])
def test_a_damaged_file_is_computed_again(
    damage: str, dataset: ImageDataset, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    backbone = make_backbone()
    preprocessing = dataset.preprocessing()
    before = np.array(cached_features(dataset, preprocessing, backbone, tmp_path))
    path = next(tmp_path.glob("*.npy"))
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[:-10])
    elif damage == "changed":
        content[-10] ^= 1
        path.write_bytes(content)
    elif damage == "not an array":
        path.write_bytes(b"x" * 500)
    else:
        path.with_suffix(".json").unlink()
    after = cached_features(dataset, preprocessing, backbone, tmp_path, verbose=1)
    np.testing.assert_array_equal(after, before)
    assert "damaged" in capsys.readouterr().err


def test_an_interrupted_computation_goes_on_where_it_was(
    dataset: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = make_backbone()
    with monkeypatch.context() as interrupted:
        Counted(interrupted, breaks_after=24)
        with pytest.raises(KeyboardInterrupt):
            cached_features(dataset, dataset.preprocessing(), backbone, tmp_path)
    assert not [path for path in tmp_path.glob("*.npy") if "partial" not in path.name]
    counted = Counted(monkeypatch)
    features = cached_features(dataset, dataset.preprocessing(), backbone, tmp_path)
    assert counted.images == len(dataset) - 24
    np.testing.assert_allclose(features, expected(dataset, backbone), atol=1e-3)
    assert not list(tmp_path.glob("*partial*"))


def test_features_that_do_not_fit_half_precision_are_refused(
    dataset: ImageDataset, tmp_path: Path
) -> None:
    backbone = make_backbone(scale=1e8)
    with pytest.raises(ValueError, match="not finite as float16.*float32"):
        cached_features(dataset, dataset.preprocessing(), backbone, tmp_path)
    assert np.isfinite(
        cached_features(dataset, dataset.preprocessing(), backbone, tmp_path, dtype="float32")
    ).all()


def test_a_folder_that_cannot_be_written_is_an_os_error(
    dataset: ImageDataset, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        cached_features(dataset, dataset.preprocessing(), make_backbone(), tmp_path / "file")
    with pytest.raises(ValueError, match="`dtype` must be"):
        cached_features(
            dataset, dataset.preprocessing(), make_backbone(), tmp_path, dtype="bfloat16"
        )
