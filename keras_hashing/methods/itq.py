"""ITQ as a method."""

import keras
import numpy as np

from keras_hashing.methods.closed_form_method import (
    ClosedFormMethod,
    check_directions,
    principal_directions,
    project,
)
from keras_hashing.rotation.itq import itq_rotation

_ROTATED_ROWS = 100_000  # at most; the rotation has K² numbers


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class ITQ(ClosedFormMethod):
    """Iterative quantization: principal components, rotated to be close to their signs.

        W = V R

    The columns of V are the K principal directions; R is `keras_hashing.rotation.itq_rotation` of
    the components, on 100,000 rows drawn at random where there are more.

    Source: Gong, Lazebnik, "Iterative Quantization: A Procrustean Approach to Learning Binary
    Codes", CVPR 2011.
    """

    def check_features(self, shape: tuple[int, int]) -> None:
        """Each bit is a principal direction."""
        check_directions(shape, self.bits)

    def projection(self, features: np.ndarray, mean: np.ndarray, seed: int) -> np.ndarray:
        """Principal directions times ITQ's rotation."""
        directions = principal_directions(features, mean, self.bits)
        rows = np.arange(len(features))
        if len(rows) > _ROTATED_ROWS:
            drawn = np.random.default_rng(seed).choice(len(rows), _ROTATED_ROWS, replace=False)
            rows = np.sort(drawn)  # in order, for a memory-mapped file
        components = project(features, rows, mean, directions)
        return directions @ itq_rotation(components, seed=seed)
