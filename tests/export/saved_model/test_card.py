import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml

import keras_hashing
from export.saved_model.export_saved_model import SIGNATURES
from keras_hashing.encoder.card import CARD, MODEL_CARD, Card
from keras_hashing.encoder.model_card import model_card
from training.runs.run_folder import Run


def test_the_card_says_what_the_model_is(colour_run: Run, exports: dict[str, Path]) -> None:
    content = json.loads((exports["colour"] / "assets.extra" / "card.json").read_text())
    created = datetime.fromisoformat(content.pop("created"))
    assert created.utcoffset() == timedelta(0)
    assert datetime.now(UTC) - created < timedelta(hours=1)
    description = content["preprocessing"].pop("description")
    assert "RGB" in description
    assert "12×10" in description
    assert content == {
        "format_version": 1,
        "bits": 16,
        "bit_order": "numpy.packbits: most significant bit first; bit k is 1 when u_k > 0",
        "preprocessing": {"height": 12, "width": 10, "channels": 3, "orientation": "exif"},
        "signatures": SIGNATURES,
        "class_names": ["a", "b", "c", "d"],
        "training": colour_run.config.model_dump(mode="json"),
        "metrics": {"map": 0.5, "protocol": "per-class"},
        "fingerprint": colour_run.encoder.fingerprint,
        "index": None,
        "versions": {
            "keras_hashing": keras_hashing.__version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    }


def test_the_card_for_a_reader_has_figures_limits_and_code_that_runs(
    colour_run: Run, exports: dict[str, Path], tmp_path: Path
) -> None:
    text = (exports["colour"] / MODEL_CARD).read_text()
    _, head, body = text.split("---\n", 2)
    about = yaml.safe_load(head)
    assert about["library_name"] == "keras"
    (result,) = about["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == 0.5
    assert "# colour: 16 bits of images" in body
    assert "| mAP (higher is better) | 0.5000 |" in body
    assert "4 (a, b, c, d)" in body
    assert "resize to 12×10" in body
    (code,) = re.findall(r"```python\n(.*?)```", body, re.DOTALL)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 12, 10, 3), np.uint8)
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    for path, image in zip(paths, pixels, strict=True):
        path.write_bytes(tf.io.encode_png(image).numpy())
    names = {"version": str(exports["colour"]), "paths": paths}
    exec(code, names)
    np.testing.assert_array_equal(names["codes"], colour_run.encoder.encode(pixels))


def test_a_card_of_few_figures_makes_no_claims(card: Card) -> None:
    metrics = {"map": float("nan"), "database": 1000, "unique_codes": 12, "radius": 2}
    name = "\udcff"
    bare = card.model_copy(update={"metrics": metrics, "training": {}, "class_names": [name]})
    text = model_card(bare, name)
    assert "model-index" not in text
    assert "1,000 items of the database have 12 different codes" in text
    assert "is not known here" in text
    assert "`per-class`" not in text
    text.encode()


@pytest.fixture
def card(exports: dict[str, Path]) -> Card:
    return Card.load(exports["grey"])


def test_save_and_load_keep_the_card(card: Card, tmp_path: Path) -> None:
    card.save(tmp_path)
    assert Card.load(tmp_path) == card


def test_a_figure_that_is_none_is_valid_json(card: Card, tmp_path: Path) -> None:
    card.model_copy(update={"metrics": {"map": float("nan")}}).save(tmp_path)
    assert "NaN" not in (tmp_path / CARD).read_text()
    assert Card.load(tmp_path).metrics == {"map": None}


def test_a_missing_card_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no card .*card\.json"):
        Card.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "`format_version`: Input should be 1"),
        ({"bits": 0}, "`bits`: Input should be greater than or equal to 1"),
        ({"fingerprint": None}, "`fingerprint`: Input should be a valid string"),
        ({"created": "2026-01-01T00:00:00"}, "`created`: Input should have timezone info"),
    ],
)
def test_what_is_wrong_with_a_card_is_named(
    card: Card, tmp_path: Path, change: dict, message: str
) -> None:
    card.save(tmp_path)
    content = json.loads((tmp_path / CARD).read_text()) | change
    (tmp_path / CARD).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"card\.json' cannot be read: {message}"):
        Card.load(tmp_path)


def test_a_card_that_is_no_json_is_an_error(card: Card, tmp_path: Path) -> None:
    card.save(tmp_path)
    (tmp_path / CARD).write_text("{")
    with pytest.raises(ValueError, match=r"card\.json' cannot be read: Invalid JSON"):
        Card.load(tmp_path)


def test_a_later_field_does_not_disturb(card: Card, tmp_path: Path) -> None:
    card.save(tmp_path)
    content = json.loads((tmp_path / CARD).read_text()) | {"later": 1}
    (tmp_path / CARD).write_text(json.dumps(content))
    assert Card.load(tmp_path) == card
