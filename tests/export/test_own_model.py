"""A model trained by somebody's own script: exported, indexed, served, and put on a phone."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import keras_hashing
from export.cli.app import app
from export.saved_model.served_encoder import ServedEncoder
from keras_hashing.device import DeviceEncoder
from keras_hashing.retrieval import CodeIndex, pack_codes

COUNT = 60


def call(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, digits: np.ndarray) -> Path:
    """A folder with photos of the digits and a model trained by ten lines."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "photos").mkdir()
    for at in range(COUNT):
        Image.fromarray(digits[at][..., 0]).save(folder / "photos" / f"{at:03}.png")

    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    features = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    features = keras.layers.Dense(32, "relu")(features)
    codes = keras_hashing.layers.HashHead(bits=16, quantization="hswd")(features)
    model = keras.Model(inputs, keras.layers.Dense(10, "softmax")(codes))
    model.compile("adam", "sparse_categorical_crossentropy")
    labels = np.arange(COUNT) % 10
    model.fit(digits[:COUNT], labels, epochs=2, verbose=0)
    model.save(folder / "model.keras")
    return folder


@pytest.fixture(scope="module")
def expected(shop: Path, digits: np.ndarray) -> np.ndarray:
    """The codes by `model.predict`."""
    model = keras.saving.load_model(shop / "model.keras")
    (head,) = [one for one in model.layers if isinstance(one, keras_hashing.layers.HashHead)]
    encoder = keras.Model(model.inputs, head.output)
    return pack_codes(encoder.predict(digits[:COUNT], verbose=0))


def test_the_whole_way(shop: Path, expected: np.ndarray, digits: np.ndarray) -> None:
    model = ("--model", shop / "model.keras", "--height", 8, "--width", 8)
    index = shop / "shop.npz"
    call("index", "build", *model, "--images", shop / "photos", "--output", index)
    np.testing.assert_array_equal(CodeIndex.load(index).codes, expected)

    call("saved-model", *model, "--index", index, "--output", shop / "exported")
    served = ServedEncoder.load(shop / "exported")
    files = sorted((shop / "photos").iterdir())
    np.testing.assert_array_equal(served.encode_files(files).codes, expected)

    call("publish", *model, "--index", index, "--output", shop / "models")
    assert (shop / "models" / "1" / "saved_model.pb").exists()

    found = json.loads(call("query", *model, "--index", index, "--json", files[7]).stdout)
    nearest = found["queries"][0]["neighbours"][0]
    assert (found["queries"][0]["code"], nearest["distance"]) == (expected[7].tobytes().hex(), 0)

    call("litert", *model, "--image-folder", shop / "photos", "--output", shop / "phone",
         "--kind", "float32", "--kind", "int8")  # fmt: skip
    device = DeviceEncoder(shop / "phone" / "encoder-float32.tflite")
    np.testing.assert_array_equal(device.encode(digits[:COUNT]), expected)

    figures = shop / "figures.json"
    photos = ("--image-folder", shop / "photos", "--latency-rounds", 2, "--json", figures)
    files = ("--litert", shop / "phone", "--saved-model", shop / "exported")
    result = call("verify", *model, *photos, *files)
    report = json.loads(figures.read_text())
    assert report["server_map"] is None
    assert report["broken"] == []
    served_report, float32, int8 = report["encoders"]
    assert served_report["neighbours"] == float32["neighbours"] == 1
    assert 0.5 < int8["neighbours"] <= 1
    assert "neighbours" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("saved-model", "--output", "x"), "Name what encodes"),
        (("saved-model", "--model", "absent.keras", "--output", "x"), "There is no Keras model"),
        (("saved-model", "--model", "SHOP", "--output", "x"), "a file that ends in .keras"),
        (("litert", "--model", "SHOP/model.keras", "--output", "x"), "needs representative images"),
        (("verify", "--model", "SHOP/model.keras", "--litert", "x"), "brings no images"),
        (("index", "build", "--run", "SHOP", "--height", "8", "--images", "x", "--output", "y"),
         "go with --model FILE.keras, not with --run"),
    ],
)  # fmt: skip
def test_mistakes_are_refused(arguments: tuple, message: str, shop: Path) -> None:
    given = [argument.replace("SHOP", str(shop)) for argument in arguments]
    result = CliRunner().invoke(app, given)
    assert result.exit_code in (1, 2)
    assert message in result.stderr
