"""Randomness inside the model that does not depend on where training began."""

from typing import Any

import keras
import numpy as np

from keras_hashing.encoder.leaf_layers import leaf_layers


class SeedEachEpoch(keras.callbacks.Callback):
    """Seeds the layers that draw random numbers (dropout) from the run's seed and the epoch.

    Keras does not save the state of these generators. Seeded anew, epoch e draws the same numbers
    in a run that resumes as in one that was never interrupted.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Gives each generator a seed of its own."""
        for number, layer in enumerate(leaf_layers(self.model.encoder)):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                sequence = np.random.SeedSequence([self.seed, epoch, number])
                state = sequence.generate_state(2, dtype=np.uint32) >> 1  # fits int32 as well
                generator.state.assign(state)
