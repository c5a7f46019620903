"""Heads that are computed from features."""

import keras
import numpy as np
import pytest
from scipy.linalg import svd

from keras_hashing import methods
from keras_hashing.models import HashingModel
from keras_hashing.retrieval import pack_codes, unpack_codes


@pytest.fixture
def features(rng):
    """All positive, as after a ReLU, with variances from 1 to 20."""
    return (100 + rng.normal(size=(300, 20)) * np.sqrt(np.arange(1, 21))).astype("float32")


def codes_of(name, features, **options):
    kernel, bias = methods.get(name, bits=8).closed_form(features, **options)
    return features @ kernel + bias


def test_lsh_differs_in_a_share_of_the_bits_that_is_the_angle_from_the_mean(features):
    kernel, bias = methods.LSH(4096).closed_form(features[:3])
    bits = features[:3] @ kernel + bias > 0
    from_mean = (features[:3] - features[:3].mean(axis=0)).astype("float64")
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        lengths = np.linalg.norm(from_mean[[i, j]], axis=1).prod()
        angle = np.arccos(from_mean[i] @ from_mean[j] / lengths)
        np.testing.assert_allclose((bits[i] != bits[j]).mean(), angle / np.pi, atol=0.03)


def test_pca_is_a_rotation_of_the_principal_components(features):
    centred = features.astype("float64") - features.mean(axis=0, dtype="float64")
    directions = svd(centred, full_matrices=False)[2][:8].T
    codes = codes_of("pca", features)
    components = centred @ directions
    np.testing.assert_allclose(codes @ codes.T, components @ components.T, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(codes.mean(axis=0), 0, atol=1e-3)


def test_itq_is_closer_to_its_signs_than_a_random_rotation(features):
    def error(codes):  # of codes at unit scale: ITQ's objective without the scale of the data
        codes = codes / np.abs(codes).mean()
        return np.mean((np.abs(codes) - 1) ** 2)

    codes, rotated = codes_of("itq", features), codes_of("pca", features)
    np.testing.assert_allclose(codes @ codes.T, rotated @ rotated.T, rtol=1e-3, atol=1e-1)
    assert error(codes) < error(rotated)


def test_itq_learns_its_rotation_on_a_part_of_many_rows(features, monkeypatch):
    monkeypatch.setattr("keras_hashing.methods.itq._ROTATED_ROWS", 100)
    part, again = codes_of("itq", features), codes_of("itq", features)
    np.testing.assert_array_equal(part, again)
    monkeypatch.undo()
    whole = codes_of("itq", features)
    assert not np.allclose(part, whole)
    np.testing.assert_allclose(part @ part.T, whole @ whole.T, rtol=1e-3, atol=1e-1)


@pytest.mark.parametrize("name", ["itq", "lsh", "pca"])
def test_blocks_of_a_file_give_what_the_array_gives(name, features, tmp_path, monkeypatch):
    whole = codes_of(name, features, seed=3)
    np.save(tmp_path / "features.npy", features)
    monkeypatch.setattr("keras_hashing.methods.closed_form_method._BLOCK", 7)
    blocks = codes_of(name, np.load(tmp_path / "features.npy", mmap_mode="r"), seed=3)
    np.testing.assert_allclose(blocks, whole, rtol=1e-6, atol=1e-4)
    if name != "itq":
        assert not np.allclose(codes_of(name, features, seed=4), whole)


@pytest.mark.parametrize("name", ["itq", "lsh", "pca"])
def test_model_encodes_with_the_computed_head_and_keeps_it(name, make_backbone, blobs, tmp_path):
    images, labels = blobs
    model = HashingModel(make_backbone(), 8, name)
    model.compile("adam")
    features = model.backbone.predict(images, verbose=0)
    model.solve_head(features, seed=5)
    kernel, bias = methods.get(name, bits=8).closed_form(features, seed=5)
    expected = features @ kernel + bias
    codes = model.encoder.predict(images, verbose=0)
    np.testing.assert_allclose(codes, expected, rtol=1e-4, atol=1e-4)
    assert set(np.unique(unpack_codes(model.encode(images), 8))) == {-1, 1}
    evaluated = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert evaluated["similarity_loss"] == 0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.encode(images), pack_codes(codes))


def test_what_cannot_be_computed_is_refused(features, make_backbone, blobs):
    for name in ("pca", "itq"):
        with pytest.raises(ValueError, match=r"at least 24 dimensions and 25 rows.*\(300, 20\)"):
            methods.get(name, bits=24).closed_form(features)
        with pytest.raises(ValueError, match=r"9 rows for 8 bits.*\(8, 20\)"):
            methods.get(name, bits=8).closed_form(features[:8])
    bad = features.copy()
    bad[3, 3] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        methods.LSH(8).closed_form(bad)
    with pytest.raises(ValueError, match=r"shape \(n, features\). Received: shape=\(300,\)"):
        methods.LSH(8).closed_form(features[:, 0])
    model = HashingModel(make_backbone(), 8, "lsh")
    model.compile("adam")
    with pytest.raises(ValueError, match="LSH trains nothing: `solve_head"):
        model.fit(*blobs, verbose=0)
    model = HashingModel(make_backbone(), 8, "dpsh")
    with pytest.raises(ValueError, match="train this one by `fit`. Received: method=DPSH"):
        model.solve_head(features)
