"""What a run is made of: its settings, with their rules, defaults and help. Loads no TensorFlow."""

from training.settings.augmentation import Augmentation
from training.settings.data import DataSettings
from training.settings.fit_settings import FitSettings
from training.settings.measuring import MeasuringSettings
from training.settings.model import ModelSettings
from training.settings.split import SplitSettings
from training.settings.training import TrainingSettings

__all__ = [
    "Augmentation",
    "DataSettings",
    "FitSettings",
    "MeasuringSettings",
    "ModelSettings",
    "SplitSettings",
    "TrainingSettings",
]
