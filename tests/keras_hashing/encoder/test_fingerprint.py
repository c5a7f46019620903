import keras
import numpy as np

from keras_hashing.encoder.fingerprint import code_space_fingerprint
from keras_hashing.images.preprocessing import ImagePreprocessing

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


def test_saving_and_loading_keeps_the_fingerprint(tmp_path) -> None:
    encoder = make_encoder()
    encoder.save(tmp_path / "encoder.keras")
    again = keras.saving.load_model(tmp_path / "encoder.keras")
    assert code_space_fingerprint(again, PREPROCESSING) == code_space_fingerprint(
        encoder, PREPROCESSING
    )
