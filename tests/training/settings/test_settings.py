"""Settings: their rules, where they come from, and the options made from them."""

import json
from pathlib import Path

import keras
import pytest
from typer.testing import CliRunner

from keras_hashing import losses, methods, names
from training.backbones.application_names import application_names
from training.cli import app
from training.compare.recipe import FineTuning, Recipe, digest_of
from training.settings import FitSettings
from training.settings.config_file import read_config

# Written by the first version, 0.1.0.
OLD = {
    "dataset": "digits", "data_dir": None, "image_root": None, "download": False,
    "on_bad_image": "error", "height": None, "width": None, "channels": None,
    "protocol": "per-class", "query_per_class": None, "train_per_class": None, "query_part": None,
    "backbone": "small-cnn", "weights": None, "frozen": False, "feature_cache": None, "hidden": 0,
    "dropout": 0.2, "bits": 16, "method": "csq", "memory_size": 0, "quantization": "hswd",
    "quantization_weight": 0.3, "quantize": None, "epochs": 2, "batch_size": 128,
    "class_balanced": False, "learning_rate": 0.001, "backbone_rate": 1.0, "weight_decay": 0.0001,
    "average_weights": 0.0, "flip": False, "shift": 0, "crop": 1.0, "colour": 0.0, "erase": 0.0,
    "cache": "memory", "precision": "float32", "seed": 0, "evaluate_every": 0, "k": None,
    "radius": 2,
}  # fmt: skip


def test_settings_of_the_first_version_are_read_and_written_as_they_were() -> None:
    later = {"quantization_memory": 0, "train_classes": None, "query_share": None}
    later |= {"recipe": None, "unlabelled": None, "index_all": False}
    later |= {"unlabelled_dir": None, "label_share": None}
    later |= {"instance_method": None, "instance_weight": 0.3, "view_neighbours": 0}
    later |= {
        "train_from": None,
        "standardise": None,
        "remember_all": False,
        "continuation_epochs": 0,
    }
    later |= {"optimizer": "adamw", "validation_share": 0.0, "distribute": "auto"}
    assert FitSettings.check(OLD).model_dump(mode="json") == {**OLD, **later}


def test_recipes_have_the_digests_of_the_first_version() -> None:
    assert digest_of({"recipe": Recipe().model_dump(mode="json")}) == "ead74cb5dd99d289"
    plain, flipped = (Recipe(fine_tuning=FineTuning(flip=flip)) for flip in (False, True))
    digests = {digest_of(one.model_dump(mode="json")) for one in (Recipe(), plain, flipped)}
    assert len(digests) == 3
    assert Recipe(**flipped.model_dump(mode="json")) == flipped


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "`epochs`: Input should be greater than or equal to 1. Received: 0"),
        ({"quantization_weight": float("inf")}, "`quantization_weight`.*finite number"),
        ({"epoch": 5}, "Unknown setting `epoch`; did you mean `epochs`?"),
        ({"epochs": 0, "bits": 0}, r"`bits` must be a .*\n`epochs`: "),
        ({"radius": 33}, "`radius` must be at most `bits`. Received: radius=33, bits=32"),
        ({"method": "csq", "memory_size": 9}, "`memory_size` must be 0: CSQ compares no pairs"),
        ({"method": "dpsh:memory_size=1", "memory_size": 9}, "`memory_size` must be given once"),
        ({"method": "itq:iterations=9"}, "`frozen` must be set with the method 'itq:iterations=9'"),
        ({"method": "none:a=1"}, "`method` must be one of dch.*'none'"),
        ({"protocol": "lists", "query_per_class": 5}, "takes no option query_per_class"),
    ],
)
def test_what_breaks_a_rule_is_named(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitSettings.check(values)


def test_every_setting_is_an_option_with_its_default_and_help() -> None:
    help_of = CliRunner(env={"COLUMNS": "400", "NO_COLOR": "1"}).invoke(app, ["fit", "--help"])
    for name, field in FitSettings.model_fields.items():
        option = f"│ --{name.replace('_', '-')} "
        (line,) = [one for one in help_of.output.splitlines() if one.startswith(option)]
        assert field.description is not None
        assert field.description[:40] in line
        if field.default not in (None, False):
            assert f"default: {field.default}]" in help_of.output
    for name in (*methods.available(), *names.QUANTIZATIONS):
        assert f"'{name}'" in help_of.output
    assert "Annotated" not in help_of.output


def test_names_without_keras_are_those_of_the_registries() -> None:
    for labels, names_of in ((True, names.METHODS), (False, names.LABEL_FREE_METHODS)):
        assert sorted(names_of) == methods.available(labels=labels)
        assert all(methods.METHODS[name].needs_labels == labels for name in names_of)
    assert {
        name for name, kind in methods.METHODS.items() if issubclass(kind, methods.PairwiseMethod)
    } == set(names.PAIRWISE_METHODS)
    assert all(
        issubclass(kind, losses.QuantizationLoss)
        for kind in losses.quantization.QUANTIZATION_LOSSES.values()
    )
    assert set(names.WITH_MEMORY) == {
        name for name, kind in losses.quantization.QUANTIZATION_LOSSES.items() if kind.takes_memory
    }
    expected = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(application_names()) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "epochs: 5\nlearning_rate: 1e-3\n"),
        ("a.yml", "\ufeff# of mine\nepochs: 5\nlearning_rate: 0.001\n"),
        ("a.json", '{"epochs": 5, "learning_rate": 0.001}'),
        (
            "config.json",
            json.dumps({"settings": {"epochs": 5, "learning_rate": 1e-3}, "images": {}}),
        ),
    ],
)
def test_a_file_gives_settings(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    settings = FitSettings.check(read_config(tmp_path / name))
    assert (settings.epochs, settings.learning_rate) == (5, 0.001)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- epochs", "must hold names of settings with their values"),
        ("a: [", r"a\.yaml cannot be read: .*line 1"),
        ("", "must hold names of settings"),
    ],
)
def test_a_file_that_gives_none_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path / "a.yaml")


def test_a_folder_named_as_a_kind_of_weights_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    kinds = {
        name: FitSettings(weights=name).weights_of_a_run
        for name in ("imagenet", "none", "mine", "other")
    }
    assert kinds == {"imagenet": None, "none": None, "mine": Path("mine"), "other": None}
