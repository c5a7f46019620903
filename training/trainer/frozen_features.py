"""What a run works on whose backbone, or whose first stages, are frozen."""

from typing import Any

import keras
import numpy as np

from keras_hashing.command_line.stages import stage
from keras_hashing.models import HashingModel
from training.backbones.cut import cut_network
from training.data import VectorDataset
from training.data.feature_cache import cached_features
from training.runs.run_data import RunData
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.feature_network import layers_between, with_layers
from training.trainer.model import new_backbone


def frozen_features(
    settings: FitSettings, data: RunData, folder: RunFolder, verbose: int = 0
) -> tuple[keras.Model, np.ndarray]:
    """The frozen backbone of a run, and its features of all images, from the cache or made now.

    Args:
        folder: The run's folder; the cache is 'features' beside it unless the settings name one.

    Returns:
        A model from images to features, and features, float32 [N, D], mapped from disk.
    """
    with stage("Building the backbone"):
        backbone = new_backbone(settings, data.images[1].shape, dropout=0.0)
        backbone.trainable = False
    return backbone, _kept(settings, data, backbone, folder, verbose)


def frozen_stages(
    settings: FitSettings,
    data: RunData,
    folder: RunFolder,
    verbose: int = 0,
    sample: np.ndarray | None = None,
) -> tuple[keras.Model, keras.Model, np.ndarray]:
    """The backbone of a run, its last stages, and what the frozen ones before give for all images.

    That is kept as float32, so that training is what it would be with the whole network; half
    precision would round it to 11 bits.

    Args:
        sample: Positions of training images, by whose features they are standardised; None: not.

    Returns:
        The whole backbone, its part that trains (they share layers), and the input of that part,
        float32 [N, …], mapped from disk.

    Raises:
        ValueError: as `cut_network`.
    """
    assert settings.train_from is not None
    with stage("Building the backbone"):
        dropout = settings.dropout if sample is None else 0.0
        backbone = new_backbone(settings, data.images[1].shape, dropout)
        front, trained = cut_network(backbone, settings.train_from)
    kept = _kept(settings, data, front, folder, verbose)
    features = None if sample is None else trained.predict(np.asarray(kept[sample]), verbose=0)
    layers = layers_between(features, settings.dropout, settings.hidden)
    return with_layers(backbone, layers), with_layers(trained, layers), kept


def _kept(
    settings: FitSettings, data: RunData, network: keras.Model, folder: RunFolder, verbose: int
) -> np.ndarray:
    cache = settings.feature_cache or folder.path.parent / "features"
    return cached_features(*data.images, network, cache, verbose=verbose, dtype="float32")


def reference_vectors(
    settings: FitSettings, data: RunData, folder: RunFolder, model: HashingModel
) -> Any:
    """The vectors whose neighbours the codes of a run are to keep, [N, D]; None for no such run.

    Vectors themselves. Of images, where the method learns without labels, the features of the
    frozen backbone; where the backbone was trained, what it makes of images that have no labels.
    """
    if not settings.keeps_neighbours:
        return None
    if isinstance(data.dataset, VectorDataset):
        return data.dataset.vectors
    if settings.frozen:
        return frozen_features(settings, data, folder)[1]
    if data.dataset.class_names:
        return None
    cache = folder.path / "features"
    return cached_features(*data.images, model.backbone, cache, dtype="float32")
