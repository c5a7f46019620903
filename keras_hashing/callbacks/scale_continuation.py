"""HashNet's continuation."""

from typing import Any

import keras

from keras_hashing.checks import check_count, check_not_negative, check_positive


@keras.saving.register_keras_serializable(package="keras_hashing")
class ScaleContinuation(keras.callbacks.Callback):
    """Lets the scale β of a method grow while training.

        β_t = initial · (1 + gamma · t)^power,   t = training steps, in steps of `every`

    With v = tanh(βu), v approaches sign u as β grows: HashNet's own way to binary codes. β is
    derived from the optimizer's step counter, so a resumed run continues where it stopped.

    Source: Cao, Long, Wang, Yu, "HashNet", ICCV 2017, section 3.2; the defaults are those of the
    authors' code.

    Args:
        initial: β at the first step, positive; `None` for the method's own.
        gamma: growth per step, at least 0.
        power: exponent.
        every: steps between two changes of β, at least 1.

    Raises:
        ValueError: if an argument breaks its rule; when training begins, if the model's method
            has no β.
    """

    def __init__(
        self,
        initial: float | None = None,
        gamma: float = 0.005,
        power: float = 0.5,
        every: int = 200,
    ) -> None:
        super().__init__()
        self.initial = None if initial is None else check_positive("initial", initial)
        self.gamma = check_not_negative("gamma", gamma)
        self.power = power
        self.every = check_count("every", every)
        self._first_step = 0
        self._beta: float | None = None

    def beta_at(self, step: int) -> float:
        """β at a training step."""
        initial = self.model.method.initial_beta if self.initial is None else self.initial
        return initial * (1 + self.gamma * (step - step % self.every)) ** self.power

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Checks that there is a β."""
        if not hasattr(getattr(self.model, "method", None), "beta"):
            raise ValueError(
                "ScaleContinuation needs a `HashingModel` whose method has a scale β, such as "
                f"`method='hashnet'`. Received: model={self.model!r}"
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Finds the step at which the epoch begins, and sets its β."""
        iterations = keras.ops.convert_to_numpy(self.model.optimizer.iterations)
        self._first_step = int(iterations)
        self._set(self._first_step)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets β for the next batch, when it changes."""
        # Executions of several steps may be announced beyond the end of the epoch.
        done = min(batch + 1, self.params.get("steps") or batch + 1)
        step = self._first_step + done
        if self.beta_at(step) != self._beta:
            self._set(step)

    def _set(self, step: int) -> None:
        if keras.backend.backend() == "jax":
            # While an epoch runs, JAX's trainer holds the state outside of the variables.
            self.model.jax_state_sync()
        self._beta = self.beta_at(step)
        self.model.method.beta.assign(self._beta)

    def get_config(self) -> dict[str, Any]:
        """Arguments that make an equal callback."""
        return {
            "initial": self.initial,
            "gamma": self.gamma,
            "power": self.power,
            "every": self.every,
        }
