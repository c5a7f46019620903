"""Encoders of vectors: the same unit as those of images, without preprocessing."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_hashing.encoder import HashEncoder, VectorInput
from keras_hashing.layers import HashHead
from keras_hashing.retrieval import pack_codes


@pytest.fixture(scope="module")
def encoder() -> HashEncoder:
    model = keras.Sequential([keras.Input((5,)), HashHead(12)])
    return HashEncoder(model, VectorInput(5))


def test_codes_are_the_signs_of_what_the_model_gives(encoder: HashEncoder) -> None:
    vectors = np.random.default_rng(0).normal(size=(7, 5))
    codes = pack_codes(encoder.model.predict(vectors.astype(np.float32), verbose=0))
    np.testing.assert_array_equal(encoder.encode(vectors), codes)
    assert encoder.takes_vectors
    assert encoder.encode(np.zeros((0, 5))).shape == (0, 2)


def test_it_is_saved_and_loaded_alone_and_from_a_file_of_any_program(
    encoder: HashEncoder, tmp_path: Path
) -> None:
    encoder.save(tmp_path / "encoder")
    loaded = HashEncoder.load(tmp_path / "encoder")
    assert loaded.preprocessing == VectorInput(5)
    assert loaded.fingerprint == encoder.fingerprint
    read = HashEncoder.from_file(tmp_path / "encoder" / "model.keras")
    assert read.preprocessing == VectorInput(5)
    assert read.fingerprint == encoder.fingerprint
    with pytest.raises(ValueError, match="`height` must be left out: the model takes vectors"):
        HashEncoder.from_file(tmp_path / "encoder" / "model.keras", height=8)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.zeros((3, 4)), r"`vectors` must have shape \[n, 5\]. Received: shape=\(3, 4\)"),
        (np.zeros(5), r"`vectors` must have shape \[n, 5\]. Received: shape=\(5,\)"),
        (np.array([["a"] * 5]), "`vectors` must hold real numbers"),
        (np.array([[1.0] * 5, [1, np.nan, 1, 1, 1]]), "must be finite.*in row 1"),
        (np.full((1, 5), 1e39), "must be finite.*in row 0"),
    ],
)
def test_other_arrays_are_refused(encoder: HashEncoder, vectors: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder.encode(vectors)


def test_what_only_images_have_is_refused(encoder: HashEncoder) -> None:
    with pytest.raises(ValueError, match="encoder of images. Received: one of vectors of width 5"):
        encoder.encode_bytes([b""])
    with pytest.raises(ValueError, match="`width` must be a positive integer"):
        VectorInput(0)
