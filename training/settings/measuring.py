"""How the codes are measured."""

from pydantic import ConfigDict, Field

from keras_hashing.settings import Settings


class MeasuringSettings(Settings):
    """How and when retrieval is measured."""

    model_config = ConfigDict(title="Measuring")

    evaluate_every: int | None = Field(default=None, ge=0)
    """Measure retrieval every N epochs, for TensorBoard and the history, with a sample of images
    that are not queries; 0 for only once, after the last epoch. (default: ten times in all)"""
    validation_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training images to hold out for --evaluate-every. Without, it measures with
    images of the database that are not trained on, or, where the protocol leaves none, with
    training images."""
    k: int | None = Field(default=None, ge=1)
    """Cutoff k of mAP@k and precision@k. (default: the protocol's, else no cutoff)"""
    index_all: bool = False
    """Put all images into the run's index, queries and others as well, once they are measured."""
    radius: int = Field(default=2, ge=0)
    """Hamming radius of the precision within a radius."""
