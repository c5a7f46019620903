"""Principal directions, rotated at random, as a method."""

import keras
import numpy as np

from keras_hashing.methods.closed_form_method import (
    ClosedFormMethod,
    check_directions,
    principal_directions,
)
from keras_hashing.rotation.rotated_error import random_rotation


@keras.saving.register_keras_serializable(package="keras_hashing.methods")
class PCA(ClosedFormMethod):
    """The sign of the K principal components, after a random rotation.

        W = V R

    The columns of V are the K principal directions; R is a random orthogonal matrix, which shares
    their very different variances out among the bits.

    Source: Jégou, Douze, Schmid, Pérez, "Aggregating Local Descriptors into a Compact Image
    Representation", CVPR 2010; the baseline PCA-RR of Gong and Lazebnik, CVPR 2011.
    """

    def check_features(self, shape: tuple[int, int]) -> None:
        """Each bit is a principal direction."""
        check_directions(shape, self.bits)

    def projection(self, features: np.ndarray, mean: np.ndarray, seed: int) -> np.ndarray:
        """Principal directions times a random rotation."""
        return principal_directions(features, mean, self.bits) @ random_rotation(self.bits, seed)
