"""The training of a run: its model, its batches, its callbacks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_hashing.callbacks import RefuseNonFiniteLoss, RetrievalEvaluation, ScaleContinuation
from keras_hashing.command_line.stages import stage
from keras_hashing.models import HashingModel
from keras_hashing.names import CLOSED_FORM_METHODS
from training.callbacks.checkpoint import Checkpoint
from training.callbacks.compiling_stage import CompilingStage
from training.callbacks.evaluation_alone import EvaluationAlone
from training.callbacks.first_batch import FirstBatch
from training.callbacks.history_log import HistoryLog
from training.callbacks.loss_first import LossFirst
from training.callbacks.seed_each_epoch import SeedEachEpoch
from training.data import VectorDataset
from training.data.neighbours import nearest_rows
from training.data.pipeline import (
    TrainingBatches,
    evaluation_batches,
    evaluation_feature_batches,
    training_batches,
    training_feature_batches,
)
from training.data.rows import Rows
from training.runs.run_folder import RunFolder
from training.settings.training import Cache
from training.trainer.distribution import ON_ONE_DEVICE, Distribution
from training.trainer.frozen_features import (
    frozen_features,
    frozen_stages,
    reference_vectors,
)
from training.trainer.model import model_of_images, new_backbone, new_model
from training.trainer.preparation import Preparation

_SAMPLE = 1024  # images at most, by whose features they are standardised
_EVALUATIONS = 10  # while training, unless the settings say how often


class Trainer:
    """The model and the batches of the epochs that are left.

    With a frozen backbone, or first stages that are, `model` is trained on what these give, and
    `whole_model` on images holds the same head and method behind the backbone; otherwise they are
    one.

    Args:
        checkpoint: The model to go on from, and the number of its finished epochs.
        further_callbacks: Callbacks that come before those of every run.
        distribution: What trains it.
    """

    def __init__(
        self,
        prepared: Preparation,
        folder: RunFolder,
        checkpoint: tuple[Path, int] | None,
        verbose: int = 0,
        further_callbacks: Sequence[keras.callbacks.Callback] = (),
        distribution: Distribution = ON_ONE_DEVICE,
    ) -> None:
        self.prepared, self.distribution = prepared, distribution
        self.further_callbacks = further_callbacks
        settings = prepared.settings.with_memory_for(len(prepared.split.train))
        self.settings = settings
        self.first_epoch = 0 if checkpoint is None else checkpoint[1]
        self._backbone: keras.Model | None = None
        self._trained_stages: keras.Model | None = None  # with `train_from`; it shares their layers
        self.features: Any = None  # of all images by what is frozen, [N, …], or vectors, [N, D]
        if isinstance(prepared.dataset, VectorDataset):
            self.features = prepared.dataset.vectors
        elif settings.frozen:
            self._backbone, self.features = frozen_features(
                settings, prepared.data, folder, verbose
            )
        elif settings.train_from is not None:
            self._backbone, self._trained_stages, self.features = frozen_stages(
                settings, prepared.data, folder, verbose, self._sample
            )
        with stage("Preparing training images"):
            self.batches, self.steps_per_epoch = self._training_batches()
        with stage("Building the network"):
            sample = self._features_of_sample() if checkpoint is None else None
        with stage("Building the network"), distribution.scope():
            # What is loaded begins with random weights, which must be the same in all processes.
            keras.utils.set_random_seed(settings.seed)
            self.model: HashingModel = (
                self._new_model(sample)
                if checkpoint is None
                else keras.saving.load_model(checkpoint[0])
            )

    def _training_batches(self) -> TrainingBatches:
        settings, prepared = self.settings, self.prepared
        train = prepared.split.train
        labels = prepared.dataset.training_labels(train, settings.label_share, settings.seed)
        batch_size = min(settings.batch_size, len(train))
        self.distribution.check(batch_size, settings.quantization)
        options: dict[str, Any] = {
            "batch_size": batch_size,
            "epochs": settings.epochs,
            "seed": settings.seed,
            "first_epoch": self.first_epoch,
            "class_balanced": settings.class_balanced,
            "share": self.distribution.share,
        }
        if settings.takes_two_views:
            options["views"] = 2
        if self.features is not None:
            if settings.view_neighbours:
                seen = Rows(self.features, train)
                options["neighbours"] = nearest_rows(seen, settings.view_neighbours)
            return training_feature_batches(self.features, labels, train, **options)
        images, preprocessing = prepared.data.images
        return training_batches(
            images,
            train,
            preprocessing,
            augment=settings.augmentation,
            cache=settings.cache,
            labels=labels,
            **options,
        )

    @property
    def _sample(self) -> np.ndarray | None:
        """Positions of training images, by whose features they are standardised, where they are."""
        train = self.prepared.split.train
        return train[:: -(-len(train) // _SAMPLE)] if self.settings.standardises else None

    def _features_of_sample(self) -> np.ndarray | None:
        if self._sample is None or self.features is not None:
            return None
        images, preprocessing = self.prepared.data.images
        network = new_backbone(self.settings, preprocessing.shape, dropout=0.0)
        batches = evaluation_batches(images, self._sample, preprocessing, 256)
        return network.predict(batches.map(lambda images, _: images), verbose=0)

    def _new_model(self, sample: np.ndarray | None) -> HashingModel:
        prepared, features, stages = self.prepared, self.features, self._trained_stages
        on_features = features is not None and stages is None
        return new_model(
            self.settings,
            None if features is not None else prepared.data.images[1].shape,
            prepared.num_classes,
            self.steps_per_epoch,
            features=Rows(features, prepared.split.train) if on_features else None,
            unit_length=isinstance(prepared.dataset, VectorDataset),
            backbone=None if stages is None else self.distribution.on_all(stages),
            sample=sample,
        )

    def batches_of(self, positions: np.ndarray, cache: Cache = "none") -> tf.data.Dataset:
        """What `model` sees of the images at these positions, with their labels, in order."""
        prepared = self.prepared
        if self.features is not None:
            labels = prepared.dataset.labels
            return evaluation_feature_batches(self.features, labels, positions, 256)
        images, preprocessing = prepared.data.images
        return evaluation_batches(images, positions, preprocessing, 256, cache)

    def codes(self, positions: np.ndarray, verbose: int = 0) -> np.ndarray:
        """Continuous codes of the images at these positions, float32 [m, bits]."""
        inputs = self.batches_of(positions).map(lambda inputs, _: inputs)
        return self.model.encoder.predict(inputs, verbose=1 if verbose == 1 else 0)

    def reference_vectors(self, folder: RunFolder, whole_model: HashingModel) -> Any:
        """As the function of this name, of the features that are here already."""
        settings = self.settings
        if settings.keeps_neighbours and settings.frozen:
            return self.features
        return reference_vectors(settings, self.prepared.data, folder, whole_model)

    def whole_model(self) -> HashingModel:
        """The model from images to codes."""
        if self._backbone is None:
            return self.model
        if self._trained_stages is None:
            features = self.model.backbone(self._backbone.output)
            whole = keras.Model(self._backbone.input, features, name=self._backbone.name)
            return model_of_images(self.settings, whole, self.model)
        # A model from a checkpoint has layers of its own.
        self._trained_stages.set_weights(self.model.backbone.get_weights())
        return model_of_images(self.settings, self._backbone, self.model)

    def run(self, folder: RunFolder, verbose: int) -> None:
        """Trains the epochs that are left; then `model` is on one device of this process."""
        if self.settings.method_name in CLOSED_FORM_METHODS:
            folder.checkpoints.mkdir(exist_ok=True)
            assert self.features is not None  # the settings see to it
            seen = Rows(
                self.features, self.prepared.split.train, self.model.backbone.predict_on_batch
            )
            self.model.solve_head(seen, self.settings.seed)
        elif self.first_epoch < self.settings.epochs:
            self._fit(folder, verbose if self.distribution.first else 0)
        # `fit` has done so, but not if the run was interrupted after its last epoch.
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        self.model = self.distribution.alone(self.model)

    def _fit(self, folder: RunFolder, verbose: int) -> None:
        callbacks = self.callbacks(folder)
        with self.distribution.training(self.model):
            self.model.fit(
                self.batches,
                epochs=self.settings.epochs,
                initial_epoch=self.first_epoch,
                steps_per_epoch=self.steps_per_epoch,
                shuffle=False,
                callbacks=callbacks,
                verbose=verbose,
            )

    def callbacks(self, folder: RunFolder) -> list[keras.callbacks.Callback]:
        """What steers and watches the training, in the order that the logs need."""
        settings = self.settings
        every = settings.evaluate_every
        if every is None:
            every = max(1, round(settings.epochs / _EVALUATIONS))
        steering = [RefuseNonFiniteLoss(), SeedEachEpoch(settings.seed)]
        if settings.continuation_epochs:
            steps = settings.continuation_epochs * self.steps_per_epoch
            steering.append(ScaleContinuation(gamma=1 / steps, power=0.5, every=steps))
        if not self.distribution.first:
            return [*self.further_callbacks, *steering, CompilingStage()]
        watching = [
            HistoryLog(folder.history, self.first_epoch),
            keras.callbacks.TensorBoard(folder.logs),
            Checkpoint(folder.checkpoints),
        ]
        if self.features is None and not self.first_epoch:
            watching.append(FirstBatch(self.batches, folder.logs))
        if every and len(self.prepared.watched.database):  # of a single image, nothing is left
            watching.insert(0, self._evaluation(every))
        return [*self.further_callbacks, *steering, CompilingStage(), *watching, LossFirst()]

    def _evaluation(self, every: int) -> RetrievalEvaluation:
        settings, watched = self.settings, self.prepared.watched
        query, database = watched.query, watched.database
        vectors = None
        if settings.keeps_neighbours and settings.frozen:
            vectors = Rows(self.features, query), Rows(self.features, database)
        alone = self.distribution.kind == "none"
        return (RetrievalEvaluation if alone else EvaluationAlone)(
            self.batches_of(query, settings.cache),
            self.batches_of(database, settings.cache),
            every=every,
            k=None if settings.k is None else min(settings.k, len(database)),
            radius=settings.radius,
            prefix="training_" if watched.trained_on else "validation_",
            vectors=vectors,
            encoder=None if alone else self.distribution.alone(self.model.encoder),
        )
