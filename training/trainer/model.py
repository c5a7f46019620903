"""The model of a run, as its settings say."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_hashing import methods
from keras_hashing.layers import HashHead
from keras_hashing.models import HashingModel
from keras_hashing.names import CLOSED_FORM_METHODS
from training.backbones import make_backbone
from training.settings import FitSettings
from training.trainer.feature_network import (
    feature_network,
    layers_between,
    small_weights,
    with_layers,
)
from training.trainer.optimizer import new_optimizer


def new_method(settings: FitSettings, num_classes: int) -> methods.HashingMethod:
    """The method at its first step."""
    return methods.get(
        settings.method,
        bits=settings.bits,
        num_classes=num_classes or None,
        memory_size=settings.memory_size,
    )


def new_backbone(settings: FitSettings, shape: tuple[int, int, int], dropout: float) -> keras.Model:
    """The backbone with the weights that it starts from."""
    keras.utils.set_random_seed(settings.seed)
    with _dtype_policy(settings.precision):
        return make_backbone(settings.backbone, shape, dropout, settings.weights)


def new_model(
    settings: FitSettings,
    shape: tuple[int, int, int] | None,
    num_classes: int,
    steps_per_epoch: int,
    features: Any = None,
    unit_length: bool = False,
    backbone: keras.Model | None = None,
    sample: np.ndarray | None = None,
) -> HashingModel:
    """The compiled model at its first step.

    Args:
        shape: (height, width, channels) of the images; None with `features` or `backbone`.
        steps_per_epoch: Batches in an epoch, for the schedule of the learning rate.
        features: Of a frozen backbone: features of the training images, [n, D], or vectors. The
            model is then one of features.
        unit_length: Whether features are divided by their length first.
        backbone: The network before the hash head, where there is one already.
        sample: Features of some training images by the network as it starts, [n, D], where they are
            to be standardised.

    Raises:
        ValueError: when a method that computes the head needs more features.
    """
    if features is not None and settings.method_name in CLOSED_FORM_METHODS:
        method = new_method(settings, num_classes)
        assert isinstance(method, methods.ClosedFormMethod)
        method.check_features(features.shape)
    if shape is not None:
        backbone = new_backbone(settings, shape, settings.dropout if sample is None else 0.0)
    with _dtype_policy(settings.precision):
        if shape is None:
            keras.utils.set_random_seed(settings.seed)
        else:
            layers = layers_between(sample, settings.dropout, settings.hidden)
            backbone = with_layers(backbone, layers)
        if backbone is None:
            backbone = feature_network(features, settings.dropout, settings.hidden, unit_length)
        method = new_method(settings, num_classes)
        model = _hashing_model(settings, backbone, method, _new_head(settings, method))
        model.compile(
            new_optimizer(settings, steps_per_epoch, model),
            jit_compile="auto" if settings.quantization != "ot" and _xla_is_faster() else False,
        )
    return model


def model_of_images(
    settings: FitSettings, backbone: keras.Model, model: HashingModel
) -> HashingModel:
    """A model with another backbone; head and method are shared."""
    with _dtype_policy(settings.precision):
        return _hashing_model(settings, backbone, model.method, model.head)


def _new_head(settings: FitSettings, method: methods.HashingMethod) -> HashHead | None:
    """The head on a hidden layer or standardised features, with small weights; else None."""
    if not settings.hidden and not settings.standardises:
        return None
    return HashHead(
        method.bits,
        batch_normalization=method.normalizes_codes,
        kernel_initializer=small_weights(),
        dtype="float32",
        name="hash_head",
    )


def _hashing_model(
    settings: FitSettings,
    backbone: keras.Model,
    method: methods.HashingMethod,
    head: HashHead | None,
) -> HashingModel:
    return HashingModel(
        backbone,
        bits=settings.bits,
        method=method,
        quantization=settings.quantization,
        quantization_weight=settings.quantization_weight,
        quantize=settings.quantize,
        quantization_memory=settings.quantization_memory,
        instance_method=settings.instance_method,
        instance_weight=settings.instance_weight,
        head=head,
        num_classes=method.num_classes,
    )


def _xla_is_faster() -> bool:
    """Whether the training step is compiled: not for a CPU, where TensorFlow's kernels are faster.

    Measured by `benchmarks/training/compiled_step.py`: docs/results.md.
    """
    on_tensorflow = keras.backend.backend() == "tensorflow"
    return not on_tensorflow or bool(tf.config.list_physical_devices("GPU"))


@contextmanager
def _dtype_policy(policy: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
