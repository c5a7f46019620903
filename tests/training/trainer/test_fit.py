"""Runs from settings to figures, on scikit-learn's digits."""

import errno
import json
import os
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_hashing import retrieval
from keras_hashing.retrieval import CodeIndex
from keras_hashing.retrieval.figures import FIGURES
from training.callbacks.checkpoint import Checkpoint, latest_checkpoint
from training.callbacks.history_log import read_history
from training.data.pipeline import training_batches
from training.data.split import Split
from training.runs.run_folder import RunFolder, load_run
from training.settings import FitSettings
from training.trainer.evaluate import evaluate_model
from training.trainer.fit import _warn_of_collapse, fit, resume
from training.trainer.preparation import Preparation
from training.trainer.trainer import Trainer

QUICK = FitSettings(
    epochs=3, bits=16, batch_size=64, train_per_class=30, shift=1, memory_size=100, seed=3
)


def figures(metrics: dict) -> dict:
    return {name: value for name, value in metrics.items() if not name.endswith("_seconds")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "digits"
    fit(QUICK, folder, verbose=0)
    return folder


def test_a_finished_run_holds_all_that_it_promises(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "config.json", "history.jsonl", "logs", "model.keras", "database.npz", "encoder.json",
        "metrics.json",
    }  # fmt: skip
    assert [line["epoch"] for line in read_history(finished / "history.jsonl")] == [1, 2, 3]
    assert list((finished / "logs").rglob("events*"))
    config = json.loads((finished / "config.json").read_text())
    assert FitSettings(**config["settings"]) == QUICK
    images = config["images"]
    assert (images["all"], images["query"], images["train"]) == (1797, 200, 300)
    assert (images["database"], images["skipped"]) == (1597, [])


def test_a_warning_tells_codes_that_learned_nothing_from_codes_of_classes() -> None:
    for different, advice in ((1, "have 1 code: .*more epochs"), (12, "have 12 .*fewer epochs")):
        with pytest.warns(UserWarning, match=advice):
            _warn_of_collapse({"unique_codes": different, "database": 1000, "bits": 16}, 10)


def test_metrics_are_those_of_the_saved_model_and_the_saved_codes(finished: Path) -> None:
    run = load_run(finished)
    index = CodeIndex.load(run.index_path)
    index.check_fingerprint(run.encoder.fingerprint)
    assert run.metrics["fingerprint"] == run.encoder.fingerprint
    assert run.metrics["database"] == 1597
    assert run.metrics["bit_balance"] == retrieval.bit_balance(index.codes)
    assert run.metrics["unique_codes"] == retrieval.unique_codes(index.codes)
    assert run.metrics["training_seconds"] > 0


def test_the_same_seed_gives_the_same_run(finished: Path, tmp_path: Path) -> None:
    again = fit(QUICK, tmp_path / "again", verbose=0)
    assert figures(again) == figures(load_run(finished).metrics)
    other = fit(QUICK.model_copy(update={"seed": 4}), tmp_path / "other", verbose=0)
    assert other["fingerprint"] != again["fingerprint"]


class InterruptionError(Exception):
    pass


class InterruptAt(keras.callbacks.Callback):
    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self.params["epochs"] and self.model.optimizer.iterations.numpy() == self.epoch * 5 + 2:
            raise InterruptionError


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch):
    """Makes the next training stop in the middle of an epoch."""
    original = Trainer.callbacks

    def at(epoch: int) -> None:
        monkeypatch.setattr(
            Trainer,
            "callbacks",
            lambda self, *args: [*original(self, *args), InterruptAt(epoch)],
        )

    yield at
    monkeypatch.setattr(Trainer, "callbacks", original)


@pytest.mark.parametrize("epoch", [0, pytest.param(1, marks=pytest.mark.slow), 2])
def test_an_interrupted_run_resumes_to_what_it_would_have_been(
    epoch: int, finished: Path, tmp_path: Path, interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context():
        interrupt(epoch)
        with pytest.raises(InterruptionError):
            fit(QUICK, run, verbose=0)
    monkeypatch.undo()
    found = latest_checkpoint(run / "checkpoints")
    assert (found[1] if found else 0) == epoch
    assert not RunFolder(run).finished
    with pytest.raises(FileNotFoundError, match="not finished.*--resume"):
        load_run(run)
    resumed = resume(run, verbose=0)
    assert figures(resumed) == figures(load_run(finished).metrics)
    history, expected = (read_history(f / "history.jsonl") for f in (run, finished))
    assert [{**line, "seconds": 0} for line in history] == [
        {**line, "seconds": 0} for line in expected
    ]


@pytest.mark.slow
def test_weights_are_averaged_at_the_end_also_of_a_resumed_run(tmp_path: Path) -> None:
    averaged = {"average_weights": 0.9, "backbone_rate": 0.5}
    whole = fit(QUICK.model_copy(update=averaged), tmp_path / "whole", verbose=0)
    last = fit(QUICK.model_copy(update={"backbone_rate": 0.5}), tmp_path / "last", verbose=0)
    assert whole["fingerprint"] != last["fingerprint"]

    # Interrupted between the last epoch and the end: the checkpoint has the last weights.
    prepared = Preparation.load(QUICK.model_copy(update=averaged))
    begun = Trainer(prepared, RunFolder(tmp_path / "begun"), checkpoint=None)
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.write_json(folder.config, begun.prepared.configuration())
    begun.model.optimizer.finalize_variable_values = lambda variables: None
    begun.run(folder, verbose=0)
    assert latest_checkpoint(folder.checkpoints)[1] == QUICK.epochs
    assert figures(resume(tmp_path / "run", verbose=0)) == figures(whole)


def test_resuming_a_finished_run_gives_its_figures(finished: Path) -> None:
    assert resume(finished, verbose=0) == load_run(finished).metrics


def test_resuming_on_other_data_is_refused(finished: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    config = json.loads((finished / "config.json").read_text())
    config["images"]["digest"] = "of other labels"
    run.write_json(run.config, config)
    with pytest.raises(ValueError, match="data set has changed.*`images`"):
        resume(tmp_path, verbose=0)


def test_an_existing_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="exists and is not empty.*--resume"):
        fit(QUICK, tmp_path, verbose=0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 0}, "`bits` must be a positive integer"),
        ({"method": "hashnett"}, "`method` must be one of"),
        ({"method": "csq"}, "`memory_size` must be 0: CSQ compares no pairs"),
        ({"quantization": "hsdw"}, "`quantization` must be one of"),
        ({"dataset": "digitz"}, "digits"),
        ({"protocol": "cifar11"}, "Unknown protocol"),
        ({"protocol": "cifar10", "train_per_class": None}, "10 classes of 6,000"),
        ({"backbone": "large-cnn"}, "Unknown backbone"),
        ({"train_per_class": 500}, "too few images"),
        ({"k": 2000}, "`k` must be at most the size of the database"),
        ({"shift": 8}, "`shift` must be smaller"),
        ({"query_part": "test"}, "no part 'test'"),
        ({"radius": 17}, "`radius`"),
        ({"frozen": True}, "`frozen`.*cannot be changed at random. Received:.*shift=1"),
        ({"frozen": True, "shift": 0, "backbone_rate": 0.1}, "`frozen`.*backbone_rate=0.1"),
        ({"feature_cache": "features"}, "`feature_cache`.*--frozen"),
    ],
)
def test_bad_settings_are_refused_before_a_folder_is_made(
    changes: dict, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(QUICK.model_copy(update=changes), tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


def test_a_method_for_one_label_refuses_images_with_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labelled
) -> None:
    labels = np.eye(3)[np.arange(90) % 3]
    labels[:5, :2] = 1
    dataset = labelled(labels, size=8)
    monkeypatch.setattr("training.runs.run_data.load_data", lambda *args, **options: dataset)
    settings = QUICK.model_copy(
        update={"method": "greedyhash", "memory_size": 0, "train_per_class": 5, "batch_size": 5}
    )
    with pytest.raises(ValueError, match=r"exactly one label per image: .* 5 images"):
        fit(settings, tmp_path / "run", verbose=0)


def test_a_loss_that_becomes_non_finite_stops_without_a_broken_checkpoint(tmp_path: Path) -> None:
    wild = QUICK.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(ValueError, match="loss became .* try a lower learning rate"):
        fit(wild, tmp_path / "run", verbose=0)
    assert latest_checkpoint(tmp_path / "run" / "checkpoints") is None


def test_a_full_disk_leaves_the_earlier_checkpoint_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    checkpoint = Checkpoint(tmp_path)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0)

    def half_written(path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(model, "save", half_written)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.on_epoch_end(1)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001.keras"]
    keras.saving.load_model(tmp_path / "epoch-0001.keras")


def test_a_full_disk_at_the_end_can_be_resumed(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: CodeIndex, path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(CodeIndex, "save", full)
        with pytest.raises(OSError, match="No space left"):
            fit(QUICK, tmp_path / "run", verbose=0)
    assert not RunFolder(tmp_path / "run").finished
    assert figures(resume(tmp_path / "run", verbose=0)) == figures(load_run(finished).metrics)


def scalars(logs: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard shows: the values by epoch, from 0, of each tag."""
    events = EventAccumulator(str(logs), {"tensors": 0})
    events.Reload()
    return {
        tag: {
            event.step: float(tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)
        }
        for tag in events.Tags()["tensors"]
        if tag.startswith("epoch_")
    }


def test_retrieval_is_measured_every_so_many_epochs(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    settings = QUICK.model_copy(update={"evaluate_every": 2, "k": 50, "memory_size": 0})
    fit(settings, tmp_path / "run", verbose=2)
    assert re.findall(r" validation_\w+", capsys.readouterr().out) == [" validation_map"] * 2
    history = read_history(tmp_path / "run" / "history.jsonl")
    assert ["validation_map" in line for line in history] == [False, True, True]
    shown = scalars(tmp_path / "run" / "logs" / "train")
    for name in FIGURES:  # all of the table, but those of vectors and of unseen classes
        if name.startswith(("neighbour", "map_of_unseen")):
            assert f"epoch_validation_{name}" not in shown
            continue
        in_history = {at: line[f"validation_{name}"] for at, line in enumerate(history) if at}
        assert shown[f"epoch_validation_{name}"] == pytest.approx(in_history)
    # As an encoding by the saved model of the same images says.
    prepared = Preparation.load(settings)
    watched = prepared.watched
    split = Split(watched.query, prepared.split.train, watched.database)
    model = load_run(tmp_path / "run").model
    found = evaluate_model(model, prepared.dataset, split, prepared.preprocessing, k=50).figures
    assert history[-1]["validation_map"] == pytest.approx(found["map"])
    assert history[-1]["validation_map_at_k"] == pytest.approx(found["map_at_k"])


def test_the_first_batch_is_shown_as_the_network_sees_it(finished: Path) -> None:
    events = EventAccumulator(str(finished / "logs" / "train"), {"tensors": 0})
    events.Reload()
    (event,) = events.Tensors("first training batch")
    width, height, png = tf.make_ndarray(event.tensor_proto)
    shown = tf.io.decode_png(png).numpy()[..., 0]
    assert (int(width), int(height)) == shown.shape[::-1] == (8 * 66, 8 * 66)
    prepared = Preparation.load(QUICK)
    options = {"batch_size": 64, "epochs": 3, "seed": QUICK.seed}
    images, preprocessing = prepared.data.images
    batches, _ = training_batches(
        images, prepared.split.train, preprocessing, augment=QUICK.augmentation, **options
    )
    batch = next(iter(batches))[0].numpy()[..., 0]
    for number in (0, 7, 8, 63):
        row, column = (66 * at for at in divmod(number, 8))
        enlarged = batch[number].repeat(8, axis=0).repeat(8, axis=1)
        np.testing.assert_array_equal(shown[row : row + 64, column : column + 64], enlarged)
    assert (shown[64:66] == 255).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"quantization": "native", "class_balanced": True},
        {"method": "dpsh", "crop": 0.5, "colour": 0.3, "erase": 0.5, "shift": 1},
        {"method": "orthohash", "memory_size": 0, "precision": "mixed_bfloat16"},
        {"method": "dsdh:eta=0.5", "quantization": "native", "memory_size": 0}
        | {"height": 16, "width": 12, "channels": 3, "cache": "none"},
        {"precision": "mixed_float16", "quantization": "native"},
        pytest.param(
            {"backbone": "efficientnet-lite0", "weights": "none", "channels": 3, "height": 32}
            | {"width": 32, "backbone_rate": 0.1, "batch_size": 16},
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_every_setting_trains(changes: dict, tmp_path: Path) -> None:
    metrics = fit(QUICK.model_copy(update={"epochs": 1, **changes}), tmp_path / "run", verbose=0)
    assert np.isfinite(metrics["map"])
    assert keras.config.dtype_policy().name == "float32"
    run = load_run(tmp_path / "run")
    assert run.model.encoder.output.dtype == "float32"
    assert run.encoder.fingerprint == metrics["fingerprint"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Not a run folder"):
        load_run(tmp_path)
    with pytest.raises(FileNotFoundError, match="Not a run folder"):
        resume(tmp_path / "missing", verbose=0)


def test_a_damaged_model_is_refused_by_name(finished: Path, tmp_path: Path) -> None:
    for name in ("config.json", "metrics.json"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    (tmp_path / "model.keras").write_bytes((finished / "model.keras").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"cannot be read: .*model\.keras"):
        load_run(tmp_path)


def test_a_run_goes_on_from_the_backbone_of_another(finished: Path, tmp_path: Path) -> None:
    unmoved = {"backbone_rate": 0.0, "weight_decay": 0.0}
    settings = QUICK.model_copy(
        update={"bits": 24, "weights": str(finished), "hidden": 16, **unmoved}
    )
    fit(settings, tmp_path / "on", verbose=0)
    earlier = load_run(finished).model.backbone
    later = load_run(tmp_path / "on").model.backbone
    # With rate 0 what is trained stays; the statistics of batch normalization move.
    kernels = [[w for w in backbone.get_weights() if w.ndim == 4] for backbone in (earlier, later)]
    assert kernels[0]
    for before, after in zip(*kernels, strict=True):
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"seed": 4}, r"trained on \d+ of the 200 queries.*Use its seed, 3, and its protocol"),
        ({"query_per_class": 30}, r"trained on \d+ of the 300 queries"),
        ({"backbone": "MobileNet", "height": 32, "width": 32, "channels": 3}, "small_cnn"),
    ],
)
def test_weights_of_a_run_are_refused(
    finished: Path, tmp_path: Path, change: dict, match: str
) -> None:
    settings = QUICK.model_copy(update={"weights": str(finished), **change})
    with pytest.raises(ValueError, match=match):
        fit(settings, tmp_path / "other", verbose=0)
    assert not (tmp_path / "other").exists()


def test_weights_of_no_run(tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"weights": str(tmp_path)})
    with pytest.raises(FileNotFoundError, match="Not a run folder"):
        fit(settings, tmp_path / "run", verbose=0)
    with pytest.raises(
        FileNotFoundError, match=r"No weights file or run.*a \.weights\.h5 or \.keras file"
    ):
        fit(settings.model_copy(update={"weights": str(tmp_path / "no")}), tmp_path / "run")
