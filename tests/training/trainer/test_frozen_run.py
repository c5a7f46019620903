"""Runs with a frozen backbone: trained on cached features, saved as a model of images."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_hashing import retrieval
from keras_hashing.retrieval import CodeIndex
from training.backbones import make_backbone
from training.runs.run_folder import RunFolder, load_run
from training.settings import FitSettings
from training.trainer.evaluate import evaluate_model
from training.trainer.feature_network import feature_network
from training.trainer.fit import fit, resume
from training.trainer.preparation import Preparation, warn_of_random_features
from training.trainer.trainer import Trainer

FROZEN = FitSettings(
    epochs=3, bits=16, batch_size=64, train_per_class=30, frozen=True, hidden=24, seed=3
)


def figures(metrics: dict) -> dict:
    return {name: value for name, value in metrics.items() if not name.endswith("_seconds")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "frozen"
    fit(FROZEN, folder, verbose=0)
    return folder


def test_the_saved_model_is_the_untouched_backbone_and_what_was_trained_on_features(
    finished: Path,
) -> None:
    run = load_run(finished)
    assert run.model.encoder.input_shape == (None, 8, 8, 1)
    keras.utils.set_random_seed(FROZEN.seed)
    untouched = make_backbone(FROZEN.backbone, (8, 8, 1)).get_weights()
    frozen = run.model.backbone.get_weights()[: len(untouched)]
    for before, after in zip(untouched, frozen, strict=True):
        np.testing.assert_array_equal(after, before)
    trainable = {weight.path for weight in run.model.trainable_weights}
    assert {path.split("/")[0] for path in trainable} == {"hidden", "hash_head"}


def test_codes_of_images_are_those_that_were_measured(finished: Path) -> None:
    run = load_run(finished)
    data = Preparation.load(FROZEN).data
    again = evaluate_model(run.model, data.dataset, data.split, run.preprocessing)
    index = CodeIndex.load(run.index_path)
    index.check_fingerprint(run.encoder.fingerprint)
    # Features of a batch and of images one by one are rounded differently, codes next to 0 too.
    differing = np.unpackbits(again.database_codes ^ index.codes).mean()
    assert differing < 1e-3
    assert again.figures["map"] == pytest.approx(run.metrics["map"], abs=1e-3)
    assert run.metrics["map"] > 0.15  # chance is 0.1; the backbone's weights are random


def test_features_are_computed_once_for_all_runs_that_share_them(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = list((finished.parent / "features").glob("*.npy"))
    assert len(cached) == 1
    assert np.load(cached[0]).dtype == np.float32

    def computed(*arguments: object) -> None:
        raise AssertionError("Features are computed again")

    monkeypatch.setattr("training.data.feature_cache._compute", computed)
    shared = {"feature_cache": str(finished.parent / "features")}
    again = fit(FROZEN.model_copy(update=shared), tmp_path / "again", verbose=0)
    assert figures(again) == figures(load_run(finished).metrics)


class InterruptionError(Exception):
    pass


def test_an_interrupted_run_goes_on_as_it_would_have(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"feature_cache": str(finished.parent / "features"), "evaluate_every": 1}
    settings = FROZEN.model_copy(update=shared)

    class InterruptInSecondEpoch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            if epoch == 1:
                raise InterruptionError

    with monkeypatch.context() as patch:
        patch.setattr("training.trainer.trainer.RefuseNonFiniteLoss", InterruptInSecondEpoch)
        with pytest.raises(InterruptionError):
            fit(settings, tmp_path / "run", verbose=0)
    assert not RunFolder(tmp_path / "run").finished
    resumed = resume(tmp_path / "run", verbose=0)
    assert figures(resumed) == figures(load_run(finished).metrics)
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert all(json.loads(line)["validation_map"] > 0.1 for line in lines)


def test_a_hidden_layer_also_works_with_a_backbone_that_trains(tmp_path: Path) -> None:
    settings = FitSettings(
        epochs=1, bits=16, batch_size=64, train_per_class=30, hidden=24, backbone_rate=0.1
    )
    fit(settings, tmp_path / "run", verbose=0)
    run = load_run(tmp_path / "run")
    assert [w.shape for w in run.model.head.weights] == [(24, 16), (16,)]
    codes = run.model.encode(np.zeros((2, 8, 8, 1), dtype=np.uint8))
    assert retrieval.unpack_codes(codes, 16).shape == (2, 16)


def test_the_feature_network_standardises_and_leaves_constant_features_centred() -> None:
    features = np.random.default_rng(0).normal(3.0, 5.0, (200, 4)).astype(np.float32)
    features[:, 1] = 7.0
    network = feature_network(features, dropout=0.5, hidden=0)
    found = np.asarray(network(features, training=False))
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=0), [1, 0, 1, 1], atol=1e-4)
    np.testing.assert_allclose(network(features + np.float32([0, 2, 0, 0]))[:, 1], 2, atol=1e-5)
    assert feature_network(features, dropout=0, hidden=9).output_shape == (None, 9)


@pytest.mark.parametrize(("weights", "warns"), [(None, 1), ("none", 1), ("a run", 0)])
def test_a_frozen_backbone_of_random_weights_is_told_of(
    weights: str | None, warns: int, recwarn: pytest.WarningsRecorder
) -> None:
    warn_of_random_features(FROZEN.model_copy(update={"weights": weights}))
    told = [str(warning.message) for warning in recwarn]
    assert len(told) == warns
    assert all("random weights of the backbone 'small-cnn'" in text for text in told)


def test_with_a_hidden_layer_weights_start_small_on_both_sides_of_it() -> None:
    settings = FROZEN.model_copy(update={"frozen": False, "hidden": 100})
    training = Trainer(Preparation.load(settings), RunFolder("unused"), checkpoint=None)
    model = training.model
    for kernel in (model.backbone.get_layer("hidden").kernel, model.head.projection.kernel):
        inputs = kernel.shape[0]
        largest = np.abs(kernel.numpy()).max()
        assert 0.9 / np.sqrt(inputs) < largest <= 1 / np.sqrt(inputs)


@pytest.mark.parametrize("method", ["ntxent", "itq"])
def test_a_method_without_labels_is_one_like_the_others(
    method: str, finished: Path, tmp_path: Path
) -> None:
    changes = {"method": method, "hidden": 0, "feature_cache": str(finished.parent / "features")}
    fit(FROZEN.model_copy(update=changes), tmp_path / "run", verbose=0)
    run = load_run(tmp_path / "run")
    assert run.metrics["map"] > 0.15  # chance is 0.1; the backbone's weights are random
    assert not run.model.method.needs_labels
    assert run.metrics["epochs"] == {"ntxent": 3, "itq": 0}[method]


def test_the_recipe_of_a_shop_compares_views_beside_labels_and_indexes_all(
    finished: Path, tmp_path: Path
) -> None:
    shop = {"recipe": "shop", "backbone": "small-cnn", "epochs": 2, "query_share": 0.1}
    shop |= {"bits": 16, "feature_cache": str(finished.parent / "features")}
    metrics = fit(FitSettings.check(shop), tmp_path / "run", verbose=0)
    run = load_run(tmp_path / "run")
    assert (run.config.method, run.config.instance_method) == ("orthohash", "ntxent")
    assert metrics["queries"] == 179
    assert len(CodeIndex.load(run.index_path)) == 1797
    history = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").open()]
    assert 0 < history[-1]["instance_loss"] < np.log(255)  # that of a code without information


def test_settings_without_labels_fit_together() -> None:
    for changes, rule in (
        ({"method": "itq"}, "`frozen` must be set"),
        ({"method": "ntxent", "frozen": True, "dropout": 0.0}, "`dropout` must be above 0"),
        ({"method": "lsh", "frozen": True, "hidden": 8}, "`hidden` must be 0"),
        ({"instance_method": "ntxent"}, "'ntxent' compares two views.*add --crop"),
        ({"method": "ntxent", "view_neighbours": 2, "flip": True}, "`view_neighbours`.*frozen"),
        ({"instance_method": "ntxent", "frozen": True, "method": "pca"}, "learns from labels"),
        ({"instance_method": "csq", "frozen": True}, "`instance_method` must be one of cibhash"),
    ):
        with pytest.raises(ValueError, match=rule):
            FitSettings(**changes)
