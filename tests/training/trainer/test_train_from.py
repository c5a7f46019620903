"""Runs that train the last stages of a backbone on what the frozen first ones gave once."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_hashing.models import HashingModel
from training.backbones import make_backbone
from training.backbones.cut import cut_network
from training.compare.recipe import Recipe, digest_of
from training.data.pipeline import evaluation_batches, training_batches
from training.runs.run_folder import RunFolder, load_run
from training.settings import FitSettings
from training.trainer.evaluate import evaluate_model
from training.trainer.fit import _settings_of, fit, resume
from training.trainer.optimizer import new_optimizer
from training.trainer.preparation import Preparation
from training.trainer.trainer import Trainer

STAGE = "stage1"
SETTINGS = FitSettings(
    epochs=2, bits=16, batch_size=64, train_per_class=30, hidden=24, dropout=0.0, train_from=STAGE
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    fit(SETTINGS, folder, verbose=0)
    return folder


def figures(metrics: dict) -> dict:
    return {name: value for name, value in metrics.items() if not name.endswith("_seconds")}


def test_training_is_that_of_the_whole_network_with_its_first_stages_frozen(
    finished: Path,
) -> None:
    prepared = Preparation.load(SETTINGS)
    training = Trainer(prepared, RunFolder(finished.parent / "new"), checkpoint=None)
    begun = training.whole_model()
    whole = HashingModel.from_config(begun.get_config())
    whole.set_weights(begun.get_weights())
    for layer in whole.backbone.layers:
        if layer.name.startswith(STAGE):
            break
        layer.trainable = False
    images, preprocessing = prepared.data.images
    batches, steps = training_batches(
        images, prepared.split.train, preprocessing, batch_size=64, epochs=2, seed=SETTINGS.seed
    )
    whole.compile(new_optimizer(SETTINGS, steps, whole))
    whole.fit(batches, epochs=2, steps_per_epoch=steps, verbose=0)

    trained = load_run(finished).model
    for before, with_images, on_features in zip(
        begun.backbone.get_weights(),
        whole.backbone.get_weights(),
        trained.backbone.get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(on_features, with_images, rtol=1e-4, atol=1e-5)
        assert with_images.shape == before.shape
    first, last = (
        [model.backbone.get_layer(f"{name}_conv").kernel for model in (begun, trained)]
        for name in ("stage0_0", "stage1_1")
    )
    np.testing.assert_array_equal(*first)
    moved = last[1] - last[0]
    assert np.abs(moved).max() > 1e-3


def test_the_run_holds_the_whole_network_and_measures_as_it_was_measured(finished: Path) -> None:
    run = load_run(finished)
    assert run.model.encoder.input_shape == (None, 8, 8, 1)
    names = [layer.name for layer in run.model.backbone.layers]
    plain = make_backbone("small-cnn", (8, 8, 1))
    assert [name for name in names if name.startswith("stage")] == [
        layer.name for layer in plain.layers if layer.name.startswith("stage")
    ]
    data = Preparation.load(SETTINGS).data
    again = evaluate_model(run.model, data.dataset, data.split, run.preprocessing)
    assert again.figures["map"] == pytest.approx(run.metrics["map"], abs=1e-4)
    assert run.metrics["map"] > 0.15  # chance is 0.1; there were ten steps


def test_an_interrupted_run_goes_on_as_it_would_have(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class InterruptInSecondEpoch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            if epoch == 1:
                raise InterruptedError

    again = finished.parent / "again"
    with monkeypatch.context() as patch:
        patch.setattr("training.trainer.trainer.RefuseNonFiniteLoss", InterruptInSecondEpoch)
        with pytest.raises(InterruptedError):
            fit(SETTINGS, again, verbose=0)
    assert len(list((finished.parent / "features").glob("*.npy"))) == 1
    resumed = resume(again, verbose=0)
    assert figures(resumed) == figures(json.loads((finished / "metrics.json").read_text()))


@pytest.mark.parametrize("train_from", [None, STAGE])
def test_features_of_training_images_begin_standardised_before_a_small_head(
    train_from: str | None, tmp_path: Path
) -> None:
    changes = {"train_from": train_from, "standardise": True, "hidden": 0}
    prepared = Preparation.load(SETTINGS.model_copy(update=changes))
    training = Trainer(prepared, RunFolder(tmp_path / "run"), checkpoint=None)
    batches = training.batches_of(prepared.split.train).map(lambda inputs, _: inputs)
    features = training.model.backbone.predict(batches, verbose=0)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-3)
    largest = np.abs(training.model.head.get_weights()[0]).max()
    assert 0.8 < largest * np.sqrt(features.shape[1]) <= 1

    codes = training.codes(prepared.split.query)
    images, preprocessing = prepared.data.images
    pixels = evaluation_batches(images, prepared.split.query, preprocessing, 256)
    whole = training.whole_model().encoder.predict(pixels.map(lambda image, _: image), verbose=0)
    np.testing.assert_allclose(whole, codes, rtol=1e-4, atol=1e-4)


def test_what_starts_from_trained_weights_is_standardised_unless_it_began_without() -> None:
    for settings, expected in (
        ({"backbone": "efficientnet-lite0"}, True),
        ({"backbone": "efficientnet-lite0", "standardise": False}, False),
        ({"backbone": "efficientnet-lite0", "weights": "none"}, False),
        ({"backbone": "efficientnet-lite0", "frozen": True}, False),  # by its own network
        ({}, False),
        ({"weights": "earlier.weights.h5"}, False),
    ):
        assert FitSettings(**settings).standardises == expected
    with pytest.raises(ValueError, match="`standardise` is for a network that is trained"):
        FitSettings(frozen=True, standardise=False)
    begun = {"settings": {"backbone": "efficientnet-lite0", "frozen": False}}
    assert not FitSettings.check(_settings_of(begun)).standardises
    assert FitSettings.check(
        _settings_of({"settings": {**begun["settings"], "standardise": None}})
    ).standardises
    old = {"fine_tuning": {"train_from": "block13"}}
    assert Recipe.read(old).fine_tuning.standardise is False
    assert digest_of(Recipe.read(old).model_dump()) == digest_of(
        Recipe.read(Recipe.read(old).model_dump()).model_dump()
    )


def test_a_network_within_a_network_is_opened_and_a_wrong_name_lists_the_right_ones() -> None:
    def own(inner: type) -> keras.Model:
        layers = [keras.layers.Dense(4, name=f"part{number}_dense") for number in range(3)]
        inputs = keras.Input((5,))
        if inner is keras.Sequential:
            return keras.Sequential([inputs, *layers])
        x = layers[0](inputs)
        return keras.Model(inputs, layers[2](layers[1](x) + x))

    pixels = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    for inner in (keras.Sequential, keras.Model):
        inputs = keras.Input((5,))
        outputs = keras.layers.Rescaling(2.0)(own(inner)(keras.layers.Rescaling(0.5)(inputs)))
        network = keras.Model(inputs, outputs, name="own")
        front, back = cut_network(network, "part1")
        assert (len(front.weights), len(back.weights)) == (2, 4)
        np.testing.assert_allclose(back(front(pixels)), network(pixels), rtol=1e-6)
        with pytest.raises(ValueError, match=r"parts with weights: part1, part2\. .*'part0'"):
            cut_network(network, "part0")  # nothing before it has weights
    inputs, shared = keras.Input((5,)), keras.layers.Dense(5, name="part0_dense")
    twice = keras.layers.Dense(2)(shared(keras.layers.Dense(5, name="part1_dense")(shared(inputs))))
    with pytest.raises(ValueError, match="`train_from` must name a stage"):
        cut_network(keras.Model(inputs, twice), "part1")  # training would change what is frozen
    lite = make_backbone("efficientnet-lite0", (32, 32, 3), weights="none")
    assert cut_network(lite, "block11")[0].output_shape == (None, 2, 2, 112)
    with pytest.raises(ValueError, match="block14, block15, top_conv"):
        cut_network(lite, "block12_depthwise_conv")  # within a block that has a way around it


def test_settings_that_need_changing_images_or_no_training_are_refused() -> None:
    for changes, rule in (
        ({"flip": True}, "`train_from` computes the features of each image once"),
        ({"frozen": True}, "`train_from` trains the last stages .* leave one out"),
        ({"method": "ntxent", "dropout": 0.0}, "`dropout` must be above 0"),
    ):
        with pytest.raises(ValueError, match=rule):
            FitSettings(**{**SETTINGS.model_dump(), **changes})
