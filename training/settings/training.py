"""How the model is trained."""

from typing import Literal

from pydantic import ConfigDict, Field

from keras_hashing.settings import Settings

Cache = Literal["memory", "none"]
Distribute = Literal["auto", "none", "mirrored", "data-parallel"]


class TrainingSettings(Settings):
    """How the model is trained."""

    model_config = ConfigDict(title="Training")

    epochs: int = Field(default=20, ge=1)
    """Number of epochs."""
    batch_size: int = Field(default=128, ge=1)
    """Images per batch."""
    class_balanced: bool = False
    """Put the same number of images of each class in a batch."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """'adamw' warms up linearly and decays to 0 by a cosine. 'adam' keeps its learning rate and
    adds the weight decay to the gradient (L2), as the field's older code does."""
    label_share: float | None = Field(default=None, gt=0, lt=1)
    """Use the labels of this share of the training images, of each class; the others train without.
    (default: all labels)"""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Learning rate; AdamW's peak."""
    backbone_rate: float = Field(default=1.0, ge=0, le=1)
    """Learning rate of the backbone as a share of --learning-rate. 0.1 suits a pretrained backbone.
    """
    weight_decay: float = Field(default=1e-4, ge=0)
    """Weight decay."""
    average_weights: float = Field(default=0.0, ge=0, lt=1)
    """Momentum, such as 0.99, of a moving average of the weights that the run ends with. 0 keeps
    the last weights."""
    cache: Cache = "memory"
    """Where decoded training images are kept."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """arithmetic of the backbone; codes and losses are always float32."""
    distribute: Distribute = "auto"
    """Train on several devices; a batch is dealt out to them. mirrored: the GPUs of this machine,
    on TensorFlow. data-parallel: the GPUs of one or several machines, on JAX (KERAS_BACKEND=jax).
    none: one device. auto: what there is."""
    seed: int = Field(default=0, ge=0)
    """Seed of the split, initial weights, image order and augmentation."""
