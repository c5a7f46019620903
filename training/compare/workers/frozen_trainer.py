"""Training and measuring one run on frozen features, on the JAX backend.

An epoch is one compiled scan over its steps, and the seeds of a cell share the compilation: by
`model.fit` a run takes several times as long. The step itself is Keras' own (`model.train_step`).
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np

from keras_hashing import methods
from keras_hashing.layers import HashHead
from keras_hashing.models import HashingModel
from training.compare.grid import is_closed_form
from training.compare.grid_run import GridRun
from training.compare.workers.frozen_data import FrozenData
from training.compare.workers.host_sorted_swd import HostSortedSWD
from training.compare.workers.measure_codes import line_of, measure_codes
from training.data.epoch_order import epoch_order, steps_per_epoch
from training.trainer.feature_network import small_weights

_ENCODED_AT_ONCE = 2048

State = tuple[list[Any], ...]  # trainable, non-trainable, of the optimizer, of the metrics


class Trainer:
    """Trains the runs of one cell (all but the seed equal), compiled once.

    Args:
        run: The cell; its seed does not matter.
        data: Features, labels and splits.
    """

    def __init__(self, run: GridRun, data: FrozenData) -> None:
        self.data = data
        self.recipe = data.recipe
        model = self._new_model(run, steps_per_epoch(data.train_size(run), self.recipe.batch_size))

        def epoch(state: State, order: Any, features: Any, labels: Any) -> State:
            def step(state: State, rows: Any) -> tuple[State, None]:
                seen = features[rows]  # two views are two dropouts of them
                inputs = seen if model.views == 1 else (seen, seen)
                return model.train_step(state, (inputs, labels[rows]))[1], None

            return jax.lax.scan(step, state, order)[0]

        def encode(trainable: Any, non_trainable: Any, features: Any) -> Any:
            weights = trainable, non_trainable
            return model.encoder.stateless_call(*weights, features, training=False)[0]

        self._epoch: Callable[..., State] = jax.jit(epoch, donate_argnums=0)
        self._encode = jax.jit(encode)

    def _new_model(self, run: GridRun, steps: int) -> HashingModel:
        """The model at its first step; the seed decides its weights and its dropout."""
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(run.seed)
        features = keras.Input((self.data.width,), name="features")
        outputs = keras.layers.Dropout(self.recipe.dropout)(features)
        if self.recipe.hidden and not is_closed_form(run.method):
            outputs = keras.layers.Dense(
                self.recipe.hidden, "relu", kernel_initializer=small_weights(run.seed)
            )(outputs)
        method = methods.get(run.method, bits=run.bits, num_classes=self.data.labels.shape[1])
        head = HashHead(
            run.bits,
            batch_normalization=method.normalizes_codes,
            kernel_initializer=small_weights(run.seed + 1),
        )
        quantization = run.quantization_arguments
        if run.quantization == "swd":
            quantization["quantization"] = HostSortedSWD()
        model = HashingModel(
            keras.Model(features, outputs),
            bits=run.bits,
            method=method,
            head=head,
            **quantization,
        )
        schedule = keras.optimizers.schedules.CosineDecay(
            self.recipe.learning_rate, self.recipe.epochs * steps
        )
        model.compile(keras.optimizers.Adam(schedule))
        model.optimizer.build(model.trainable_variables)
        return model

    def train(self, run: GridRun) -> tuple[dict[str, Any], dict[str, Any]]:
        """Trains and measures one run.

        Returns:
            The figures of its line of results, and the arrays for the figures' companion file.

        Raises:
            ValueError: when the loss or a code is not finite.
        """
        started = time.perf_counter()
        split = self.data.split(run)
        mean, deviation = self.data.scale(split.train)
        features = (self.data.features[split.train] - mean) / deviation
        features = features.astype(np.float32)
        steps = steps_per_epoch(len(split.train), self.recipe.batch_size)
        model = self._new_model(run, steps)
        prepared = time.perf_counter()
        first_epoch, parts = 0.0, {"loss": 0.0, "similarity_loss": 0.0}
        if model.method.trains:
            first_epoch, parts = self._fit(run, model, features, split.train)
        else:
            model.solve_head(features, run.seed)
        trained = time.perf_counter()

        figures, arrays = self._measure(run, model, split, mean, deviation)
        seconds = {
            "prepare": prepared - started,
            "first_epoch": first_epoch,
            "train": trained - prepared,
            "evaluate": time.perf_counter() - trained,
        }
        return line_of(figures, parts, seconds), arrays

    def _fit(
        self, run: GridRun, model: HashingModel, seen: np.ndarray, train: np.ndarray
    ) -> tuple[float, dict[str, float]]:
        """Trains a model, and gives the seconds of its first epoch and its last losses."""
        started = time.perf_counter()
        features = jax.device_put(seen)
        labels = jax.device_put(self.data.labels[train].astype(np.float32))
        state = _state_of(model)
        orders = self._orders(run, train)
        callbacks = keras.callbacks.CallbackList(
            run.schedules, model=model, epochs=self.recipe.epochs, steps=len(orders[0])
        )
        callbacks.on_train_begin()
        first_epoch = 0.0
        for epoch in range(self.recipe.epochs):
            state = (*state[:3], [value * 0 for value in state[3]])  # metrics of this epoch only
            if run.schedules:
                state = self._steps(model, state, callbacks, epoch, orders[epoch], features, labels)
            else:
                state = self._epoch(state, orders[epoch], features, labels)
            if epoch == 0:
                jax.block_until_ready(state)
                first_epoch = time.perf_counter() - started
        _assign(model, state)
        parts = {name: float(value) for name, value in model.get_metrics_result().items()}
        if not np.isfinite(parts["loss"]):
            raise ValueError(f"The loss is not finite. Received: {parts}")
        return first_epoch, parts

    def _orders(self, run: GridRun, train: np.ndarray) -> list[np.ndarray]:
        labels, size = self.data.labels[train], self.recipe.batch_size
        return [
            epoch_order(labels, size, run.seed, epoch).reshape(-1, size).astype(np.int32)
            for epoch in range(self.recipe.epochs)
        ]

    def _steps(
        self,
        model: HashingModel,
        state: State,
        callbacks: keras.callbacks.CallbackList,
        epoch: int,
        order: np.ndarray,
        features: Any,
        labels: Any,
    ) -> State:
        """One epoch step by step, since callbacks change the method's state in between."""
        _assign(model, state)
        callbacks.on_epoch_begin(epoch)
        for number, rows in enumerate(order):
            state = self._epoch(_state_of(model), rows[None], features, labels)
            _assign(model, state)
            callbacks.on_train_batch_end(number)
        return _state_of(model)

    def _measure(
        self, run: GridRun, model: HashingModel, split: Any, mean: np.ndarray, deviation: np.ndarray
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        encoder = model.encoder
        groups = encoder.trainable_variables, encoder.non_trainable_variables
        weights = [[variable.value for variable in group] for group in groups]

        def codes(rows: np.ndarray) -> np.ndarray:
            found = np.empty((len(rows), run.bits), dtype=np.float32)
            block = np.zeros((_ENCODED_AT_ONCE, self.data.width), dtype=np.float32)
            for start in range(0, len(rows), _ENCODED_AT_ONCE):
                chosen = rows[start : start + _ENCODED_AT_ONCE]
                block[: len(chosen)] = (self.data.features[chosen] - mean) / deviation
                found[start : start + len(chosen)] = self._encode(*weights, block)[: len(chosen)]
            return found

        query, database = codes(split.query), codes(split.database)
        vectors = self.data.features if self.recipe.dataset == "vectors" else None
        return measure_codes(run, self.recipe, self.data.labels, split, query, database, vectors)


def _state_of(model: HashingModel) -> State:
    """The state that `model.train_step` of the JAX backend takes and gives."""
    return tuple([variable.value for variable in group] for group in _variables(model))


def _assign(model: HashingModel, state: State) -> None:
    for group, values in zip(_variables(model), state, strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)


def _variables(model: HashingModel) -> tuple[list[Any], ...]:
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
