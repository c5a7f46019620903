"""Training a run from its settings to its figures."""

import json
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_hashing
from keras_hashing import methods
from keras_hashing.callbacks import RetrievalEvaluation
from keras_hashing.encoder.fingerprint import code_space_fingerprint
from keras_hashing.files.atomic_write import atomic_write
from keras_hashing.layers import HashHead
from keras_hashing.models import HashingModel
from keras_hashing.optimizers import DiscriminativeAdamW
from keras_hashing.retrieval import CodeIndex
from training.backbones import UNTRAINED, make_backbone
from training.callbacks.checkpoint import Checkpoint, latest_checkpoint
from training.callbacks.history_log import HistoryLog, read_history
from training.callbacks.refuse_non_finite_loss import RefuseNonFiniteLoss
from training.callbacks.seed_each_epoch import SeedEachEpoch
from training.data.feature_cache import cached_features
from training.data.pipeline import (
    TrainingBatches,
    evaluation_batches,
    evaluation_feature_batches,
    training_batches,
    training_feature_batches,
)
from training.runs.query_overlap import check_queries_unseen
from training.runs.run_data import RunData
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.evaluate import evaluate
from training.trainer.feature_network import (
    HIDDEN_LAYER,
    feature_network,
    small_weights,
    with_hidden_layer,
)

_WARM_UP_SHARE = 0.05


def fit(settings: FitSettings, output: str | Path, verbose: int = 1) -> dict[str, Any]:
    """Trains a new run in a new folder.

    Args:
        settings: What to train.
        output: The folder to make; see `training.runs.run_folder.RunFolder`.
        verbose: 1 shows a progress bar, 2 a line an epoch, 0 nothing.

    Returns:
        The content of `metrics.json`.

    Raises:
        FileExistsError: when the folder exists and is not empty.
        ValueError: when settings, data set and protocol do not fit each other, the weights are of a
            run that was trained on this one's queries, or the loss became non-finite.
        OSError: when a file cannot be read or written.
    """
    folder = RunFolder(output)
    folder.check_new()
    prepared = _Preparation(settings)
    if settings.weights_of_a_run is not None:
        check_queries_unseen(settings.weights_of_a_run, prepared.data)
    training = _Training(prepared, folder, checkpoint=None, verbose=verbose)
    folder.create()
    folder.write_json(folder.config, prepared.configuration())
    return _train_and_measure(training, folder, verbose)


def resume(
    output: str | Path,
    data_dir: str | None = None,
    image_root: str | None = None,
    verbose: int = 1,
) -> dict[str, Any]:
    """Goes on with an interrupted run, just as it would have gone on by itself.

    Args:
        output: The run's folder.
        data_dir: Where the data is now; None for where it was when the run was begun.
        image_root: Where the images of list files are now; None for where they were.
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
    prepared = _Preparation(FitSettings.check(config["settings"]), data_dir, image_root)
    prepared.data.check(config)
    checkpoint = latest_checkpoint(folder.checkpoints)
    training = _Training(prepared, folder, checkpoint, verbose)
    return _train_and_measure(training, folder, verbose)


def begin_or_go_on(
    settings: FitSettings,
    data: RunData,
    folder: RunFolder,
    code: str,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> "_Training":
    """Prepares the training of one of many runs, which only their figures are wanted of.

    Its `run(folder, verbose)` trains the epochs that are left and keeps a checkpoint of the latest
    one in the folder; its `codes(positions)` are those of the trained model. The run goes on from
    that checkpoint when it was begun with the same settings, data, versions and code; otherwise the
    folder is emptied.

    Args:
        settings: What to train; where its data lies is not asked of them.
        data: The data, with any split of it.
        folder: The run's folder; it need not exist.
        code: Name of the code that trains.
        callbacks: Further callbacks, such as a schedule in place of the method's own.

    Raises:
        ValueError: when settings and data do not fit each other.
        OSError: when a file cannot be read or written.
    """
    prepared = _Preparation(settings, data=data)
    configuration = json.loads(json.dumps({**prepared.configuration(), "code": code}))
    if not (folder.config.exists() and folder.read_json(folder.config) == configuration):
        shutil.rmtree(folder.path, ignore_errors=True)
        folder.create()
        folder.write_json(folder.config, configuration)
    checkpoint = latest_checkpoint(folder.checkpoints)
    return _Training(prepared, folder, checkpoint, further_callbacks=callbacks)


class _Preparation:
    """Settings that have been checked, and the data they name, or that is given."""

    def __init__(
        self,
        settings: FitSettings,
        data_dir: str | None = None,
        image_root: str | None = None,
        data: RunData | None = None,
    ) -> None:
        # `model_copy` checks nothing.
        self.settings = settings = FitSettings.check(settings.model_dump())
        _warn_of_random_features(settings)
        self.data = RunData.load(settings, data_dir, image_root) if data is None else data
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


def _warn_of_random_features(settings: FitSettings) -> None:
    untrained = settings.backbone in UNTRAINED and settings.weights is None
    if settings.frozen and (untrained or settings.weights == "none"):
        warnings.warn(
            f"`frozen` keeps the random weights of the backbone {settings.backbone!r}: its "
            "features know nothing of images. Leave out --frozen, take a pretrained backbone such "
            "as efficientnet-lite0, or give a finished run by --weights",
            stacklevel=4,
        )


class _Training:
    """The model and the batches of the epochs that are left.

    With a frozen backbone `model` is trained on features, and `whole_model` on images holds the
    same head and method behind the backbone; otherwise they are one.
    """

    def __init__(
        self,
        prepared: _Preparation,
        folder: RunFolder,
        checkpoint: tuple[Path, int] | None,
        verbose: int = 0,
        further_callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        self.prepared = prepared
        self.further_callbacks = further_callbacks
        self.settings = settings = prepared.settings
        self.first_epoch = 0 if checkpoint is None else checkpoint[1]
        self._backbone: keras.Model | None = None
        self._features: np.ndarray | None = None
        if settings.frozen:
            self._backbone = self._new_backbone(dropout=0.0)
            self._backbone.trainable = False
            self._features = cached_features(
                prepared.dataset,
                prepared.preprocessing,
                self._backbone,
                settings.feature_cache or folder.path.parent / "features",
                verbose=verbose,
                dtype="float32",
            )
        self.batches, self.steps_per_epoch = self._training_batches()
        self.model: HashingModel = (
            self._new_model() if checkpoint is None else keras.saving.load_model(checkpoint[0])
        )

    def _training_batches(self) -> TrainingBatches:
        settings, prepared = self.settings, self.prepared
        train, labels = prepared.split.train, prepared.dataset.labels
        options: dict[str, Any] = {
            "batch_size": settings.batch_size,
            "epochs": settings.epochs,
            "seed": settings.seed,
            "first_epoch": self.first_epoch,
            "class_balanced": settings.class_balanced,
        }
        if self._features is not None:
            return training_feature_batches(self._features[train], labels[train], **options)
        return training_batches(
            prepared.dataset,
            train,
            prepared.preprocessing,
            augment=settings.augmentation,
            cache=settings.cache,
            **options,
        )

    def batches_of(self, positions: np.ndarray) -> tf.data.Dataset:
        """What `model` sees of the images at these positions, with their labels, in order."""
        prepared = self.prepared
        if self._features is not None:
            labels = prepared.dataset.labels[positions]
            return evaluation_feature_batches(self._features[positions], labels, 256)
        return evaluation_batches(prepared.dataset, positions, prepared.preprocessing, 256)

    def codes(self, positions: np.ndarray, verbose: int = 0) -> np.ndarray:
        """Continuous codes of the images at these positions, float32 [m, bits]."""
        inputs = self.batches_of(positions).map(lambda inputs, _: inputs)
        return self.model.encoder.predict(inputs, verbose=1 if verbose == 1 else 0)

    def whole_model(self) -> HashingModel:
        """The model from images to codes."""
        if self._backbone is None:
            return self.model
        features = self.model.backbone(self._backbone.output)
        backbone = keras.Model(self._backbone.input, features, name=self._backbone.name)
        with _dtype_policy(self.settings.precision):
            return self._hashing_model(backbone, self.model.method, self.model.head)

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

    def _new_backbone(self, dropout: float) -> keras.Model:
        settings = self.settings
        keras.utils.set_random_seed(settings.seed)
        with _dtype_policy(settings.precision):
            return make_backbone(
                settings.backbone, self.prepared.preprocessing.shape, dropout, settings.weights
            )

    def _new_model(self) -> HashingModel:
        """The model at its first step."""
        settings, prepared = self.settings, self.prepared
        with _dtype_policy(settings.precision):
            if self._features is not None:
                keras.utils.set_random_seed(settings.seed)
                trained_on = self._features[prepared.split.train]
                backbone = feature_network(trained_on, settings.dropout, settings.hidden)
            else:
                backbone = with_hidden_layer(self._new_backbone(settings.dropout), settings.hidden)
            method = prepared.make_method(prepared.num_classes)
            model = self._hashing_model(backbone, method, self._new_head(method))
            model.compile(
                _optimizer(settings, self.steps_per_epoch, model),
                jit_compile=False if settings.quantization == "ot" else "auto",
            )
        return model

    def _new_head(self, method: methods.HashingMethod) -> HashHead | None:
        """The head on a hidden layer, whose weights start as small as that layer's; else None."""
        if not self.settings.hidden:
            return None
        return HashHead(
            method.bits,
            batch_normalization=method.normalizes_codes,
            kernel_initializer=small_weights(),
            dtype="float32",
            name="hash_head",
        )

    def _hashing_model(
        self, backbone: keras.Model, method: methods.HashingMethod, head: HashHead | None = None
    ) -> HashingModel:
        settings = self.settings
        return HashingModel(
            backbone,
            bits=settings.bits,
            method=method,
            quantization=settings.quantization,
            quantization_weight=settings.quantization_weight,
            quantize=settings.quantize,
            head=head,
            num_classes=self.prepared.num_classes,
        )

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
            query, database = map(self.batches_of, (prepared.split.query, prepared.split.database))
            evaluation = RetrievalEvaluation(
                query,
                database,
                every=settings.evaluate_every,
                k=settings.k,
                radius=settings.radius,
            )
            watching.insert(0, evaluation)
        return [*self.further_callbacks, *steering, *watching]


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
        full_rate=(HIDDEN_LAYER, model.head.name, model.method.name),
        **options,
    )


@contextmanager
def _dtype_policy(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _train_and_measure(training: _Training, folder: RunFolder, verbose: int) -> dict[str, Any]:
    training.run(folder, verbose)
    model = training.whole_model()
    with atomic_write(folder.model) as temporary:
        model.save(temporary)
    return _measure(training, model, folder, verbose)


def _measure(
    training: _Training, model: HashingModel, folder: RunFolder, verbose: int
) -> dict[str, Any]:
    """Measures, and writes the database's codes and, last of all, `metrics.json`."""
    prepared = training.prepared
    settings, dataset, split = prepared.settings, prepared.dataset, prepared.split
    if verbose:
        print("Encoding query and database", flush=True)
    evaluation = evaluate(
        lambda positions: training.codes(positions, verbose),
        dataset.labels,
        split,
        k=settings.k,
        radius=settings.radius,
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
