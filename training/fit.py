"""Training a run from its settings to its figures."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

import keras_hashing
from keras_hashing import methods
from keras_hashing.callbacks import RetrievalEvaluation
from keras_hashing.models import HashingModel
from keras_hashing.optimizers import DiscriminativeAdamW
from keras_hashing.retrieval import CodeIndex
from training.atomic_write import atomic_write
from training.backbones import make_backbone
from training.checkpoint import Checkpoint, latest_checkpoint
from training.evaluate import evaluate_model
from training.fingerprint import code_space_fingerprint
from training.history_log import HistoryLog, read_history
from training.pipeline import evaluation_batches, training_batches
from training.refuse_non_finite_loss import RefuseNonFiniteLoss
from training.run_data import RunData
from training.runs import RunFolder
from training.seed_each_epoch import SeedEachEpoch
from training.settings import FitSettings

_WARM_UP_SHARE = 0.05


def fit(settings: FitSettings, output: str | Path, verbose: int = 1) -> dict[str, Any]:
    """Trains a new run in a new folder.

    Args:
        settings: What to train.
        output: The folder to make; see `training.runs.RunFolder`.
        verbose: 1 shows a progress bar, 2 a line an epoch, 0 nothing.

    Returns:
        The content of `metrics.json`.

    Raises:
        FileExistsError: when the folder exists and is not empty.
        ValueError: when settings, data set and protocol do not fit each other, or the loss became
            non-finite.
        OSError: when a file cannot be read or written.
    """
    folder = RunFolder(output)
    folder.check_new()
    prepared = _Preparation(settings)
    training = _Training(prepared, checkpoint=None)
    folder.create()
    folder.write_json(folder.config, prepared.configuration())
    return _train_and_measure(training, folder, verbose)


def resume(output: str | Path, data_dir: str | None = None, verbose: int = 1) -> dict[str, Any]:
    """Goes on with an interrupted run, just as it would have gone on by itself.

    Args:
        output: The run's folder.
        data_dir: Where the data is now; None for where it was when the run was begun.
        verbose: As in `fit`.

    Returns:
        The content of `metrics.json`; of a finished run, as it is.

    Raises:
        FileNotFoundError: when the folder is no run.
        ValueError: when data set or protocol no longer give what the run was begun with.
    """
    folder = RunFolder(output)
    config = folder.read_json(folder.config)
    if folder.finished:
        return folder.read_json(folder.metrics)
    prepared = _Preparation(FitSettings.check(config["settings"]), data_dir)
    prepared.data.check(config)
    training = _Training(prepared, latest_checkpoint(folder.checkpoints))
    return _train_and_measure(training, folder, verbose)


class _Preparation:
    """Settings that have been checked, and the data they name."""

    def __init__(self, settings: FitSettings, data_dir: str | None = None) -> None:
        self.settings = settings
        # What can be refused before the data is read.
        self.make_method(num_classes=2)
        if settings.radius > settings.bits:
            raise ValueError(
                f"`radius` must be at most `bits`. Received: radius={settings.radius}, "
                f"bits={settings.bits}"
            )
        self.data = RunData.load(settings, data_dir)
        self.dataset, self.split = self.data.dataset, self.data.split
        self.preprocessing = self.data.preprocessing
        self.num_classes = len(self.dataset.class_names)
        self.make_method(self.num_classes).check_kind_of_labels(self.dataset.labels)
        if settings.k is not None and settings.k > len(self.split.database):
            raise ValueError(
                f"`k` must be at most the size of the database, {len(self.split.database)}. "
                f"Received: k={settings.k}"
            )

    def make_method(self, num_classes: int) -> methods.HashingMethod:
        """The method that the settings name, at its first step."""
        return methods.get(
            self.settings.method,
            bits=self.settings.bits,
            num_classes=num_classes,
            memory_size=self.settings.memory_size,
        )

    def configuration(self) -> dict[str, Any]:
        """The content of `config.json`."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            **self.data.describe(),
            "versions": {
                "keras_hashing": keras_hashing.__version__,
                "keras": keras.__version__,
                "tensorflow": tf.__version__,
            },
        }


class _Training:
    """The model and the batches of the epochs that are left."""

    def __init__(self, prepared: _Preparation, checkpoint: tuple[Path, int] | None) -> None:
        self.prepared = prepared
        self.settings = settings = prepared.settings
        self.first_epoch = 0 if checkpoint is None else checkpoint[1]
        self.batches, self.steps_per_epoch = training_batches(
            prepared.dataset,
            prepared.split.train,
            prepared.preprocessing,
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            seed=settings.seed,
            first_epoch=self.first_epoch,
            augment=settings.augmentation,
            class_balanced=settings.class_balanced,
            cache=settings.cache,
        )
        self.model: HashingModel = (
            self._new_model() if checkpoint is None else keras.saving.load_model(checkpoint[0])
        )

    def run(self, folder: RunFolder, verbose: int) -> None:
        """Trains the epochs that are left."""
        if self.first_epoch < self.settings.epochs:
            self.model.fit(
                self.batches,
                epochs=self.settings.epochs,
                initial_epoch=self.first_epoch,
                steps_per_epoch=self.steps_per_epoch,
                shuffle=False,
                callbacks=self.callbacks(folder),
                verbose=verbose,
            )
        # `fit` has done so, but not if the run was interrupted after its last epoch.
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)

    def _new_model(self) -> HashingModel:
        """The model at its first step."""
        settings, prepared = self.settings, self.prepared
        keras.utils.set_random_seed(settings.seed)
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(settings.precision)
        try:
            model = HashingModel(
                make_backbone(
                    settings.backbone,
                    prepared.preprocessing.shape,
                    settings.dropout,
                    settings.weights,
                ),
                bits=settings.bits,
                method=prepared.make_method(prepared.num_classes),
                quantization=settings.quantization,
                quantization_weight=settings.quantization_weight,
                quantize=settings.quantize,
                num_classes=prepared.num_classes,
            )
            model.compile(
                _optimizer(settings, self.steps_per_epoch, model),
                jit_compile=False if settings.quantization == "ot" else "auto",
            )
        finally:
            keras.config.set_dtype_policy(policy)
        return model

    def callbacks(self, folder: RunFolder) -> list[keras.callbacks.Callback]:
        """What steers and watches the training, in the order that the logs need."""
        settings, prepared = self.settings, self.prepared
        steering = [RefuseNonFiniteLoss(), SeedEachEpoch(settings.seed)]
        watching = [
            HistoryLog(folder.history, self.first_epoch),
            keras.callbacks.TensorBoard(folder.logs),
            Checkpoint(folder.checkpoints),
        ]
        if settings.evaluate_every:
            query, database = (
                evaluation_batches(prepared.dataset, indices, prepared.preprocessing, 256)
                for indices in (prepared.split.query, prepared.split.database)
            )
            evaluation = RetrievalEvaluation(
                query,
                database,
                every=settings.evaluate_every,
                k=settings.k,
                radius=settings.radius,
            )
            watching.insert(0, evaluation)
        return [*steering, *watching]


def _optimizer(
    settings: FitSettings, steps_per_epoch: int, model: HashingModel
) -> keras.optimizers.Optimizer:
    """AdamW with a linear warm-up and a cosine decay to zero over the whole run."""
    steps = settings.epochs * steps_per_epoch
    warm_up = max(1, round(_WARM_UP_SHARE * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
    )
    options: dict[str, Any] = {"weight_decay": settings.weight_decay}
    if settings.average_weights:
        options |= {"use_ema": True, "ema_momentum": settings.average_weights}
    if settings.backbone_rate == 1:
        return keras.optimizers.AdamW(schedule, **options)
    return DiscriminativeAdamW(
        schedule,
        backbone_rate=settings.backbone_rate,
        full_rate=(model.head.name, model.method.name),
        **options,
    )


def _train_and_measure(training: _Training, folder: RunFolder, verbose: int) -> dict[str, Any]:
    training.run(folder, verbose)
    with atomic_write(folder.model) as temporary:
        training.model.save(temporary)
    return _measure(training.model, training.prepared, folder, verbose)


def _measure(
    model: HashingModel, prepared: _Preparation, folder: RunFolder, verbose: int
) -> dict[str, Any]:
    """Measures, and writes the database's codes and, last of all, `metrics.json`."""
    settings, dataset, split = prepared.settings, prepared.dataset, prepared.split
    if verbose:
        print("Encoding query and database", flush=True)
    evaluation = evaluate_model(
        model,
        dataset,
        split,
        prepared.preprocessing,
        k=settings.k,
        radius=settings.radius,
        verbose=1 if verbose == 1 else 0,
    )
    fingerprint = code_space_fingerprint(model.encoder, prepared.preprocessing)
    names = [
        ", ".join(name for name, has in zip(dataset.class_names, row, strict=True) if has)
        for row in dataset.labels[split.database]
    ]
    index = CodeIndex(
        evaluation.database_codes,
        [dataset.ids[position] for position in split.database],
        fingerprint=fingerprint,
        labels=names,
    )
    index.save(folder.database)
    seconds = sum(line["seconds"] for line in read_history(folder.history))
    metrics = {
        "dataset": settings.dataset,
        "protocol": settings.protocol,
        "protocol_options": settings.protocol_options,
        "fingerprint": fingerprint,
        "trained_on": len(split.train),
        "epochs": settings.epochs,
        "training_seconds": round(seconds, 3),
        **evaluation.figures,
    }
    folder.write_json(folder.metrics, metrics)
    for path in folder.checkpoints.glob("*"):
        path.unlink()
    folder.checkpoints.rmdir()
    return metrics
