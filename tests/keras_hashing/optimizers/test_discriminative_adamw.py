import keras
import numpy as np
import pytest

from keras_hashing.models import HashingModel
from keras_hashing.optimizers import DiscriminativeAdamW


def small_model(optimizer: keras.optimizers.Optimizer, method: str = "hashnet") -> HashingModel:
    keras.utils.set_random_seed(3)
    backbone = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, activation="relu")])
    model = HashingModel(backbone, bits=8, method=method, num_classes=3)
    model.compile(optimizer)
    return model


def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 6)).astype("float32"), np.eye(3, dtype="float32")[np.arange(12) % 3]


def changes(optimizer: keras.optimizers.Optimizer) -> dict[str, np.ndarray]:
    model = small_model(optimizer)
    before = [np.array(variable) for variable in model.trainable_variables]
    model.train_on_batch(*batch())
    return {
        variable.path: np.array(variable) - old
        for variable, old in zip(model.trainable_variables, before, strict=True)
    }


def test_backbone_moves_by_its_share_and_the_head_in_full() -> None:
    whole = changes(keras.optimizers.AdamW(0.01, weight_decay=0.0))
    shared = changes(DiscriminativeAdamW(0.01, backbone_rate=0.25, weight_decay=0.0))
    assert {path.startswith("hash_head/") for path in whole} == {True, False}
    for (path, plain), got in zip(whole.items(), shared.values(), strict=True):
        share = 1.0 if path.startswith("hash_head/") else 0.25
        assert np.abs(plain).max() > 0
        np.testing.assert_allclose(got, share * plain, rtol=1e-4, atol=1e-7)


def test_it_is_saved_with_the_model(tmp_path) -> None:
    model = small_model(DiscriminativeAdamW(0.01, backbone_rate=0.5))
    model.train_on_batch(*batch())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, loaded):
        each.train_on_batch(*batch())
    for ours, theirs in zip(model.trainable_variables, loaded.trainable_variables, strict=True):
        np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=1e-6)


def test_layers_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`full_rate` must name layers.*full_rate=\('other',\)"):
        small_model(DiscriminativeAdamW(full_rate=("other",))).train_on_batch(*batch())


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_outside_0_and_1_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="`backbone_rate` must be between 0 and 1"):
        DiscriminativeAdamW(backbone_rate=share)
