from pathlib import Path

import keras
import numpy as np
import pytest

from keras_hashing.encoder.fingerprint import code_space_fingerprint, first_fingerprint
from keras_hashing.images.preprocessing import ImagePreprocessing
from keras_hashing.layers import HashHead

PREPROCESSING = ImagePreprocessing(4, 4, 1)


def make_encoder(scale: float = 1.0, activation: str | None = None) -> keras.Model:
    encoder = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Rescaling(scale),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation),
        ]
    )
    encoder.set_weights([np.ones((16, 8)), np.zeros(8)])
    return encoder


def test_equal_encoders_of_one_process_have_one_fingerprint() -> None:
    assert code_space_fingerprint(make_encoder(), PREPROCESSING) == code_space_fingerprint(
        make_encoder(), PREPROCESSING
    )


def test_whatever_changes_codes_changes_the_fingerprint() -> None:
    other_weights = make_encoder()
    other_weights.set_weights([np.ones((16, 8)), np.full(8, 1e-7)])
    fingerprints = {
        code_space_fingerprint(make_encoder(), PREPROCESSING),
        code_space_fingerprint(other_weights, PREPROCESSING),
        code_space_fingerprint(make_encoder(scale=0.5), PREPROCESSING),
        code_space_fingerprint(make_encoder(activation="tanh"), PREPROCESSING),
        code_space_fingerprint(make_encoder(), ImagePreprocessing(8, 4, 1)),
    }
    assert len(fingerprints) == 5


def test_what_keras_may_add_to_a_configuration_changes_no_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A minor version of Keras once added `quantization_config` to `Dense`."""
    names = [
        make(make_encoder(), PREPROCESSING) for make in (code_space_fingerprint, first_fingerprint)
    ]
    config = keras.layers.Dense.get_config
    monkeypatch.setattr(
        keras.layers.Dense, "get_config", lambda self: {**config(self), "from_the_future": None}
    )
    later = [
        make(make_encoder(), PREPROCESSING) for make in (code_space_fingerprint, first_fingerprint)
    ]
    assert later[0] == names[0]
    assert later[1] != names[1]


@pytest.mark.parametrize(
    "other",
    [
        keras.layers.AveragePooling2D(2),
        keras.layers.MaxPooling2D(2, strides=1),
        keras.layers.MaxPooling2D(2, padding="same"),
        keras.layers.Cropping2D(((1, 0), (0, 0))),
    ],
)
def test_layers_without_weights_count(other: keras.layers.Layer) -> None:
    def encoder(layer: keras.layers.Layer) -> keras.Model:
        layers = [keras.Input((4, 5, 1)), layer, keras.layers.GlobalAveragePooling2D()]
        return keras.Sequential([*layers, HashHead(8, kernel_initializer="ones")])

    plain = code_space_fingerprint(encoder(keras.layers.MaxPooling2D(2)), PREPROCESSING)
    assert code_space_fingerprint(encoder(other), PREPROCESSING) != plain


def test_saving_and_loading_keeps_the_fingerprint(tmp_path: Path) -> None:
    encoder = make_encoder()
    encoder.save(tmp_path / "encoder.keras")
    again = keras.saving.load_model(tmp_path / "encoder.keras")
    assert code_space_fingerprint(again, PREPROCESSING) == code_space_fingerprint(
        encoder, PREPROCESSING
    )
