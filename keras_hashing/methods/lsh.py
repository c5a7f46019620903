"""Random hyperplanes as a method."""

import keras
import numpy as np

from keras_hashing.methods.closed_form_method import ClosedFormMethod


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class LSH(ClosedFormMethod):
    """Locality-sensitive hashing: the sides of random hyperplanes through the mean.

    W has independent standard normal entries. Two features at the angle θ, seen from the mean,
    differ in each bit with probability θ / π.

    Source: Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002.
    """

    def projection(self, features: np.ndarray, mean: np.ndarray, seed: int) -> np.ndarray:
        """Standard normal entries."""
        return np.random.default_rng(seed).normal(size=(features.shape[1], self.bits))
