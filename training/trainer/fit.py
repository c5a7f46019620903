"""Training a run from its settings to its figures."""

import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_hashing.command_line.stages import stage
from keras_hashing.encoder import HashEncoder
from keras_hashing.files.atomic_write import atomic_write
from keras_hashing.models import HashingModel
from keras_hashing.names import CLOSED_FORM_METHODS
from keras_hashing.retrieval import CodeIndex, pack_codes
from training.callbacks.checkpoint import latest_checkpoint
from training.callbacks.history_log import read_history
from training.data import Dataset
from training.data.sources.image_probe import list_skipped
from training.data.split import Split
from training.runs.query_overlap import check_queries_unseen
from training.runs.run_data import RunData
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.distribution import distributed
from training.trainer.early_checks import MAY_DIFFER, check_new_run, check_resumed_run
from training.trainer.evaluate import Evaluation, evaluate
from training.trainer.preparation import Preparation
from training.trainer.processes import processes_of
from training.trainer.trainer import Trainer

_NEW = b"new"
_NOT_THE_SAME = "Processes that train together must all have --resume or none. Process 0 differs"
_FEWEST_DIFFERENT_CODES = 0.2  # of those that there could be


def fit(settings: FitSettings, output: str | Path, verbose: int = 1) -> dict[str, Any]:
    """Trains a new run in a new folder.

    Args:
        output: The folder to make; see `training.runs.run_folder.RunFolder`.
        verbose: 1 shows a progress bar, 2 a line per epoch, 0 nothing.

    Returns:
        The content of `metrics.json`; nothing in a process that only trained: the first one of
        those that train together writes the run.

    Raises:
        FileExistsError: when the folder exists and is not empty.
        ValueError: when settings, data set and protocol do not fit each other, the weights are of a
            run that was trained on this one's queries, or the loss became non-finite.
        OSError: when a file cannot be read or written, or another process is lost.
    """
    settings = FitSettings.check(settings.model_dump())  # `model_copy` checks nothing
    check_new_run(settings, output)
    folder = RunFolder(output)

    def check_new() -> bytes:
        folder.check_new()
        return _NEW

    with distributed(_distribute(settings)) as distribution:
        if distribution.from_first(check_new) != _NEW:
            raise ValueError(_NOT_THE_SAME)
        prepared = Preparation.load(settings)
        distribution.check_same("settings and data", _what_must_agree(prepared))
        if settings.weights_of_a_run is not None:
            check_queries_unseen(settings.weights_of_a_run, prepared.data)
        trainer = Trainer(prepared, folder, None, verbose, distribution=distribution)
        if distribution.first:
            folder.create()
            folder.write_json(folder.config, prepared.configuration())
            list_skipped(folder.skipped, prepared.dataset.skipped)
        return _train_and_measure(trainer, folder, verbose)


def resume(
    output: str | Path, chosen: Mapping[str, Any] | None = None, verbose: int = 1
) -> dict[str, Any]:
    """Resumes an interrupted run; it ends as it would have ended without the interruption.

    Args:
        output: The run's folder; of processes that train together, only the first needs it.
        chosen: Settings that are asked for now: where the data is, or how to distribute the
            training. Others must be those that the run was begun with.
        verbose: As in `fit`.

    Returns:
        The content of `metrics.json`; of a finished run, as it is; nothing as in `fit`.

    Raises:
        FileNotFoundError: when the folder is no run.
        ValueError: when settings, data set or protocol are not what the run was begun with.
        OSError: as in `fit`.
    """
    folder, chosen = RunFolder(output), dict(chosen or {})

    def begun() -> bytes:
        check_resumed_run(output, chosen)
        if folder.finished:
            return json.dumps({"metrics": folder.read_json(folder.metrics)}).encode()
        return json.dumps(folder.read_json(folder.config)).encode()

    distribute = chosen.get("distribute") or "auto"
    if processes_of().count == 1:
        config = json.loads(begun())
        if "metrics" in config:
            return config["metrics"]
        distribute = _distribute(FitSettings.check({**_settings_of(config), **chosen}))
    with distributed(distribute) as distribution:
        found = distribution.from_first(begun)
        if found == _NEW:
            raise ValueError(_NOT_THE_SAME)
        config = json.loads(found)
        if "metrics" in config:
            distribution.part()
            return config["metrics"]
        settings = FitSettings.check(_settings_of(config))
        _distribute(settings)
        places = chosen.get("data_dir"), chosen.get("image_root")
        prepared = Preparation.load(settings, *places, config)
        with distribution.checkpoint_of_first(folder) as checkpoint:
            trainer = Trainer(prepared, folder, checkpoint, verbose, distribution=distribution)
        return _train_and_measure(trainer, folder, verbose)


def _distribute(settings: FitSettings) -> str:
    """How to distribute the training of these settings; not at all where nothing is trained."""
    if settings.method_name not in CLOSED_FORM_METHODS:
        return settings.distribute
    if processes_of().count > 1 and settings.distribute != "none":
        raise ValueError(
            f"The method {settings.method!r} trains nothing that several processes could share: "
            f"run it in one. Received: {processes_of().count} processes"
        )
    return "none"


def begin_or_resume(
    settings: FitSettings,
    data: RunData,
    folder: RunFolder,
    code: str,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Trainer:
    """Prepares the training of one of many runs, which only their figures are wanted of.

    Its `run(folder, verbose)` trains the epochs that are left and keeps a checkpoint of the latest
    one in the folder; its `codes(positions)` are those of the trained model. The run resumes from
    that checkpoint if it was begun with the same settings, data, versions and code; otherwise the
    folder is emptied.

    Args:
        settings: What to train; where its data lies is not asked of them.
        data: The data, with any split of it.
        callbacks: Further callbacks, such as a schedule in place of the method's own.

    Raises:
        ValueError: when settings and data do not fit each other.
        OSError: when a file cannot be read or written.
    """
    prepared = Preparation(settings, data)
    configuration = json.loads(json.dumps({**prepared.configuration(), "code": code}))
    if not (folder.config.exists() and folder.read_json(folder.config) == configuration):
        shutil.rmtree(folder.path, ignore_errors=True)
        folder.create()
        folder.write_json(folder.config, configuration)
    checkpoint = latest_checkpoint(folder.checkpoints)
    return Trainer(prepared, folder, checkpoint, further_callbacks=callbacks)


def _what_must_agree(prepared: Preparation) -> dict[str, Any]:
    """What must be the same in all processes that train together."""
    settings = prepared.settings.model_dump(mode="json", exclude=set(MAY_DIFFER))
    return {**settings, **prepared.data.describe()}


def _train_and_measure(trainer: Trainer, folder: RunFolder, verbose: int) -> dict[str, Any]:
    trainer.run(folder, verbose)
    trainer.distribution.part()
    if not trainer.distribution.first:
        return {}
    with stage("Saving the model"):
        model = trainer.whole_model()
        with atomic_write(folder.model) as temporary:
            model.save(temporary)
    return _measure(trainer, model, folder, verbose)


def _measure(
    trainer: Trainer, model: HashingModel, folder: RunFolder, verbose: int
) -> dict[str, Any]:
    """Measures, and writes the database's codes and, last of all, `metrics.json`."""
    prepared = trainer.prepared
    settings, dataset, split = prepared.settings, prepared.dataset, prepared.split
    with stage("Encoding query and database, and measuring"):
        evaluation = evaluate(
            lambda positions: trainer.codes(positions, verbose),
            dataset.labels,
            split,
            k=settings.k,
            radius=settings.radius,
            vectors=trainer.reference_vectors(folder, model),
        )
    _warn_of_collapse(evaluation.figures, prepared.num_classes)
    encoder = HashEncoder(
        model.encoder,
        prepared.preprocessing,
        dataset.class_names,
        settings.model_dump(mode="json"),
    )
    indexed = np.arange(len(dataset)) if settings.index_all else split.database
    if not settings.index_all and dataset.labelled is not None:
        indexed = np.union1d(indexed, np.flatnonzero(~dataset.labelled))
    codes = evaluation.database_codes
    if len(indexed) > len(codes):
        with stage("Encoding the other images for the index"):
            codes = _codes_at(indexed, trainer, split, evaluation, verbose)
    index = CodeIndex(
        codes,
        [dataset.ids[position] for position in indexed],
        fingerprint=encoder.fingerprint,
        labels=_label_texts(dataset, indexed) if dataset.class_names else None,
        bits=settings.bits,
    )
    index.save(folder.database)
    seconds = sum(line["seconds"] for line in read_history(folder.history))
    metrics = {
        "dataset": settings.dataset,
        "protocol": settings.protocol,
        "protocol_options": settings.protocol_options,
        "fingerprint": encoder.fingerprint,
        "trained_on": len(split.train),
        **_trained_classes(dataset, split),
        "epochs": settings.epochs if model.method.trains else 0,
        "training_seconds": round(seconds, 3),
        **evaluation.figures,
    }
    replace(encoder, metrics=metrics).save_description(folder.path)
    folder.write_json(folder.metrics, metrics)
    for path in folder.checkpoints.glob("*"):
        path.unlink()
    folder.checkpoints.rmdir()
    return metrics


def _codes_at(
    positions: np.ndarray, trainer: Trainer, split: Split, evaluation: Evaluation, verbose: int
) -> np.ndarray:
    """Packed codes of images, [m, bits / 8]; those that were measured are not made again."""
    codes = np.empty((len(trainer.prepared.dataset), evaluation.query_codes.shape[1]), np.uint8)
    codes[split.query], codes[split.database] = evaluation.query_codes, evaluation.database_codes
    measured = np.concatenate([split.query, split.database])
    others = np.setdiff1d(positions, measured)
    if len(others):
        codes[others] = pack_codes(trainer.codes(others, verbose))
    return codes[positions]


def _trained_classes(dataset: Dataset, split: Split) -> dict[str, list[str]]:
    """The classes that were trained on, where some were not."""
    trained = split.trained_classes(dataset.labels)
    if trained.all():
        return {}
    return {"trained_classes": [dataset.class_names[label] for label in np.flatnonzero(trained)]}


def _label_texts(dataset: Dataset, positions: np.ndarray) -> list[str]:
    return [dataset.names_of(position) for position in positions]


def _warn_of_collapse(figures: dict[str, Any], classes: int) -> None:
    """Warns where many images share a code: search then has no order among them."""
    different, images = int(figures["unique_codes"]), figures["database"]
    possible = min(images, 2.0 ** figures["bits"])
    if different < _FEWEST_DIFFERENT_CODES * possible:
        advice = (
            "There are fewer than classes: train for more epochs, or at another learning rate "
            "(--learning-rate, --backbone-rate)"
            if different < max(2, classes)
            else "Train for fewer epochs, use more bits, or take a method that keeps images of a "
            "class apart (the recipe 'shop' does)"
        )
        codes = "code" if different == 1 else "different codes"
        warnings.warn(
            f"{images:,} images of the database have {different:,} {codes}: images that share one "
            f"cannot be told apart, and a search gives them in no order. {advice}",
            stacklevel=4,
        )


def _settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run that was begun; before there was `standardise`, none did."""
    settings = config["settings"]
    return settings if settings.get("frozen") else {"standardise": False, **settings}
