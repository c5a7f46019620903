"""The encoder: cut out of any Keras model, saved, loaded, and the same bits everywhere."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_hashing.encoder import HashEncoder
from keras_hashing.encoder.fingerprint import first_fingerprint
from keras_hashing.encoder.hash_encoder import encoder_of
from keras_hashing.images.preprocessing import ImagePreprocessing
from keras_hashing.layers import HashHead
from keras_hashing.models import HashingModel
from keras_hashing.retrieval import CodeIndex, pack_codes

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


def backbone(size: int | None = 8) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


def classifier() -> tuple[keras.Model, keras.Model]:
    """A functional classifier on codes, and the part that gives the codes."""
    network, head = backbone(), HashHead(16, quantization="hswd")
    codes = head(network(network.inputs[0]))
    return keras.Model(network.inputs, keras.layers.Dense(3)(codes)), keras.Model(
        network.inputs, codes
    )


def hashing_model() -> tuple[keras.Model, keras.Model]:
    model = HashingModel(backbone(), bits=16, method="dpsh")
    return model, model.encoder


def nested() -> tuple[keras.Model, keras.Model]:
    encoder = keras.Sequential([*backbone().layers, HashHead(16)])
    encoder.build((None, 8, 8, 3))
    return keras.Sequential([encoder, keras.layers.Dense(3)]), encoder


def without_head() -> tuple[keras.Model, keras.Model]:
    model = keras.Sequential([*backbone().layers, keras.layers.Dense(16)])
    model.build((None, 8, 8, 3))
    return model, model


@pytest.mark.parametrize("make", [classifier, hashing_model, nested, without_head])
def test_any_model_gives_its_encoder(
    make: Callable[[], tuple[keras.Model, keras.Model]], tmp_path: Path
) -> None:
    model, expected = make()
    model.build((None, 8, 8, 3))
    model.save(tmp_path / "model.keras")
    encoder = HashEncoder.from_file(tmp_path / "model.keras")
    assert encoder.bits == 16
    assert encoder.preprocessing == ImagePreprocessing(8, 8, 3)
    want = expected.predict(IMAGES, verbose=0)
    np.testing.assert_array_equal(encoder.continuous(IMAGES), want)
    np.testing.assert_array_equal(encoder.encode(IMAGES), pack_codes(want))


def test_save_and_load_in_a_program_that_imports_nothing_else(tmp_path: Path) -> None:
    encoder = HashEncoder(
        classifier()[1], ImagePreprocessing(8, 8, 3), ["a", "b"], {"epochs": 3}, {"map": 0.5}
    )
    encoder.save(tmp_path / "encoder")
    loaded = HashEncoder.load(tmp_path / "encoder")
    assert loaded.fingerprint == encoder.fingerprint
    assert (loaded.class_names, loaded.training) == (["a", "b"], {"epochs": 3})
    assert loaded.metrics == {"map": 0.5}
    np.testing.assert_array_equal(loaded.encode(IMAGES), encoder.encode(IMAGES))
    program = (
        "import sys, numpy as np; from keras_hashing.encoder import HashEncoder; "
        "print(HashEncoder.load(sys.argv[1]).encode(np.zeros((1, 8, 8, 3), np.uint8)).tolist())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "encoder")], capture_output=True, text=True
    )
    assert ran.stdout.strip() == str(encoder.encode(np.zeros((1, 8, 8, 3), np.uint8)).tolist())


def test_the_name_that_was_written_down_holds_and_the_first_one_is_known(tmp_path: Path) -> None:
    model = classifier()[1]
    encoder = HashEncoder(model, ImagePreprocessing(8, 8, 3), known_as="as before")
    encoder.save(tmp_path)
    loaded = HashEncoder.load(tmp_path)
    assert loaded.fingerprint == "as before"
    assert loaded.has_fingerprint(first_fingerprint(model, encoder.preprocessing))
    assert not loaded.has_fingerprint("another")


def test_the_size_is_the_models_or_must_be_given(tmp_path: Path) -> None:
    backbone_of_any_size = keras.Sequential([*backbone(None).layers, HashHead(16)])
    backbone_of_any_size.build((None, None, None, 3))
    backbone_of_any_size.save(tmp_path / "any.keras")
    with pytest.raises(ValueError, match="images of any size.*--height and --width"):
        HashEncoder.from_file(tmp_path / "any.keras")
    encoder = HashEncoder.from_file(tmp_path / "any.keras", height=8, width=6)
    assert encoder.preprocessing == ImagePreprocessing(8, 6, 3)
    classifier()[1].save(tmp_path / "fixed.keras")
    with pytest.raises(ValueError, match="`height` must be 8, that of the model's input"):
        HashEncoder.from_file(tmp_path / "fixed.keras", height=9)


def two_heads() -> keras.Model:
    inputs = keras.Input((4, 4, 3))
    features = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, [HashHead(8)(features), HashHead(8)(features)])


def of_sequences() -> keras.Model:
    return keras.Sequential([keras.Input((5, 7)), keras.layers.Flatten(), HashHead(8)])


def of_feature_maps() -> keras.Model:
    return keras.Sequential([keras.Input((5, 5, 3)), keras.layers.Conv2D(8, 3)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_heads, "must have one HashHead"),
        (of_sequences, r"takes images.*vectors.*shape \(None, 5, 7\)"),
        (of_feature_maps, r"gives continuous codes.*\(None, 3, 3, 8\)"),
    ],
)
def test_what_is_no_encoder_is_refused(make: Callable[[], keras.Model], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder_of(make())


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no Keras model '.*absent"):
        HashEncoder.from_file(tmp_path / "absent.keras")
    (tmp_path / "text.keras").write_text("nothing")
    with pytest.raises(ValueError, match="cannot be read|is no Keras model"):
        HashEncoder.from_file(tmp_path / "text.keras")
    with pytest.raises(FileNotFoundError, match=r"neither config\.json nor encoder\.json"):
        HashEncoder.load(tmp_path)


def test_codes_of_a_hashing_model_are_those_of_its_encoder() -> None:
    model, expected = hashing_model()
    encoder = HashEncoder(expected, ImagePreprocessing(8, 8, 3))
    index = CodeIndex(model.encode(IMAGES), range(len(IMAGES)), model.fingerprint)
    assert encoder.has_fingerprint(index.fingerprint)
    model.head.projection.bias.assign_add(keras.ops.ones(16))
    assert not encoder.has_fingerprint(index.fingerprint)
