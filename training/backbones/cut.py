"""A network in two: first stages that stay as they are, and last ones to train."""

import re
from collections.abc import Iterator

import keras

_STAGE = re.compile(r".*?\d+(?=_|$)")


def cut_network(network: keras.Model, stage: str) -> tuple[keras.Model, keras.Model]:
    """The part of a network before a stage, and the part from there on; they share its layers.

    Args:
        network: A functional or Sequential network; a model within it is opened.
        stage: The name of a layer, or what the names of several begin with: 'block11' is the first
            layer whose name begins with 'block11_'.

    Returns:
        Two models: images → what enters the stage, and that → features.

    Raises:
        ValueError: when there is no such stage, another tensor passes it by, or there are no
            weights on both sides; names the stages where the network can be cut.
    """
    parts = _cut(network, stage)
    if parts is None:
        names = [name for name in dict.fromkeys(_stages(network)) if _cut(network, name)]
        raise ValueError(
            f"`train_from` must name a stage of {network.name!r}, or a layer, where a single "
            f"tensor joins two parts with weights: {', '.join(names)}. "
            f"Received: {stage!r}"
        )
    return parts


def _cut(network: keras.Model, stage: str) -> tuple[keras.Model, keras.Model] | None:
    """The two parts; None where they are not two with weights of their own."""
    try:
        parts = _parts(network, stage)
    except ValueError:  # Keras': a tensor from before is missing
        return None
    if parts is None:
        return None
    frozen, trained = ({id(weight) for weight in part.weights} for part in parts)
    return parts if frozen and trained and not frozen & trained else None


def _parts(network: keras.Model, stage: str) -> tuple[keras.Model, keras.Model] | None:
    """The network up to the first layer of the stage, and from it on; None without such a layer."""
    for number, layer in enumerate(network.layers):
        if layer.name == stage or layer.name.startswith(f"{stage}_"):
            if isinstance(network, keras.Sequential):
                entering = network.layers[number - 1].output if number else network.inputs[0]
                before, after = network.layers[:number], network.layers[number:]
                return _chain(network.inputs[0], before), _chain(entering, after)
            return _around(network, layer.input, layer.input)
        inner = _parts(layer, stage) if getattr(layer, "inputs", None) else None
        if inner is None:
            continue
        front, back = inner
        if isinstance(network, keras.Sequential):
            before, after = network.layers[:number], network.layers[number + 1 :]
        else:
            # `layer.input` of a model is that of its own layers, not what it is called with.
            called_with, gives = (
                getattr(keras.Operation, side).fget(layer) for side in ("input", "output")
            )
            before, after = ([part] for part in _around(network, called_with, gives))
        return _chain(network.inputs[0], [*before, front]), _chain(back.inputs[0], [back, *after])
    return None


def _around(
    network: keras.Model, entering: keras.KerasTensor, leaving: keras.KerasTensor
) -> tuple[keras.Model, keras.Model]:
    """What a functional network does up to a tensor, and from a tensor on."""
    if not isinstance(entering, keras.KerasTensor) or not isinstance(leaving, keras.KerasTensor):
        raise ValueError("Several tensors")
    return keras.Model(network.inputs[0], entering), keras.Model(leaving, network.outputs[0])


def _chain(like: keras.KerasTensor, layers: list[keras.layers.Layer]) -> keras.Model:
    """Layers one after another, from an input like a tensor."""
    outputs = inputs = keras.Input(like.shape[1:], dtype=like.dtype)
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def _stages(network: keras.Model) -> Iterator[str]:
    """Names of layers with weights, up to a number: 'block11_expand_conv' gives 'block11'."""
    for layer in network.layers:
        if getattr(layer, "inputs", None):
            yield from _stages(layer)
        elif layer.weights:
            found = _STAGE.match(layer.name)
            yield found.group() if found else layer.name
