"""The features that a run with a frozen backbone works on."""

from typing import Any

import keras
import numpy as np

from keras_hashing.command_line.stages import stage
from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data import ImageDataset, VectorDataset
from training.data.feature_cache import cached_features
from training.runs.run_data import RunData
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.model import new_backbone


def frozen_features(
    settings: FitSettings,
    dataset: ImageDataset,
    preprocessing: ImagePreprocessing,
    folder: RunFolder,
    verbose: int = 0,
) -> tuple[keras.Model, np.ndarray]:
    """The frozen backbone of a run, and its features of all images, from the cache or made now.

    Args:
        settings: The run's settings.
        dataset: Its data set.
        preprocessing: Size and channels of its images.
        folder: The run's folder; the cache is 'features' beside it unless the settings name one.
        verbose: As in `cached_features`.

    Returns:
        A model from images to features, and features, float32 [N, D], mapped from disk.
    """
    with stage("Building the backbone"):
        backbone = new_backbone(settings, preprocessing.shape, dropout=0.0)
        backbone.trainable = False
    cache = settings.feature_cache or folder.path.parent / "features"
    features = cached_features(
        dataset, preprocessing, backbone, cache, verbose=verbose, dtype="float32"
    )
    return backbone, features


def reference_vectors(settings: FitSettings, data: RunData, folder: RunFolder) -> Any:
    """The vectors whose neighbours the codes of a run are to keep, [N, D].

    Vectors themselves; of images, the features of a frozen backbone where the method learns without
    labels; else None.
    """
    if not settings.keeps_neighbours:
        return None
    if isinstance(data.dataset, VectorDataset):
        return data.dataset.vectors
    return frozen_features(settings, *data.images, folder)[1]
