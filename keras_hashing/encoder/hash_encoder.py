"""What is trained, exported, indexed and put on a phone."""

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import NDArray

from keras_hashing import models
from keras_hashing.encoder.affine_codes import AffineCodes
from keras_hashing.encoder.fingerprint import code_space_fingerprint, first_fingerprint
from keras_hashing.encoder.folder import (
    DESCRIPTION,
    FORMAT,
    MODEL,
    check_model_file,
    read_description,
)
from keras_hashing.encoder.leaf_layers import leaf_layers
from keras_hashing.encoder.vector_input import VectorInput
from keras_hashing.files.atomic_write import atomic_write
from keras_hashing.images.preprocessing import ImagePreprocessing
from keras_hashing.layers import HashHead
from keras_hashing.retrieval import pack_codes
from keras_hashing.retrieval.packed_width import packed_width

_VECTORS = 8192  # at a time, at least
_PROBE = 64  # vectors on which the product is compared with the model


@dataclass(frozen=True, eq=False)
class HashEncoder:
    """A Keras model from images or vectors to raw continuous codes, and what is needed to use it.

    The model gets pixels from 0 to 255, or vectors, in the dtype of its input, and scales them
    itself.

    Args:
        model: images [n, height, width, channels], or vectors [n, D], → raw continuous codes
            [n, K]. Bit k of a code is 1 when u_k > 0.
        preprocessing: what makes the model's input of an image file; of vectors, their width.
        class_names: the classes trained on, in the order of the label columns.
        training: the configuration of the training, as JSON has it.
        metrics: what was measured, as JSON has it.
        source: how the command line names it, such as "--run runs/shop".
        known_as: the fingerprint that was written down when it was trained; `None` to compute it.

    Example:

    >>> encoder = HashEncoder.from_file("model.keras", height=128, width=128)
    >>> codes = encoder.encode_bytes([open("cat.jpg", "rb").read()])  # uint8 [1, K/8]
    """

    model: keras.Model
    preprocessing: ImagePreprocessing | VectorInput
    class_names: list[str] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    known_as: str | None = None

    @property
    def bits(self) -> int:
        """K, the length of a code."""
        return int(self.model.output_shape[-1])

    @property
    def takes_vectors(self) -> bool:
        """Whether it encodes vectors, not images."""
        return isinstance(self.preprocessing, VectorInput)

    @property
    def vector_width(self) -> int | None:
        """D, the number of values of a vector; `None` if it encodes images."""
        return self.preprocessing.width if isinstance(self.preprocessing, VectorInput) else None

    @property
    def of_images(self) -> ImagePreprocessing:
        """What makes the model's input of an image file.

        Raises:
            ValueError: if the encoder takes vectors.
        """
        if isinstance(self.preprocessing, VectorInput):
            raise ValueError(
                "This needs an encoder of images. Received: one of vectors of width "
                f"{self.preprocessing.width}"
            )
        return self.preprocessing

    @cached_property
    def fingerprint(self) -> str:
        """The name of the code space: codes with another fingerprint do not compare."""
        return self.known_as or code_space_fingerprint(self.model, self.preprocessing)

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Whether this is a name of the code space.

        The present one, that of version 0.1, or that of the model alone, which codes of arrays have
        (`HashingModel.fingerprint`).
        """
        return fingerprint == self.fingerprint or fingerprint in (
            code_space_fingerprint(self.model, self.preprocessing),
            first_fingerprint(self.model, self.preprocessing),
            code_space_fingerprint(self.model),
        )

    def continuous(self, images: Any, batch_size: int = 256) -> NDArray[np.float32]:
        """Raw continuous codes of preprocessed images, or of vectors.

        Args:
            images: pixels from 0 to 255, [n, height, width, channels], or vectors, [n, D]; or a
                `tf.data.Dataset` of batches of them.
            batch_size: batch size for arrays; of vectors, at least 8,192.

        Returns:
            float32 [n, K].

        Raises:
            ValueError: if vectors are not finite or have another width.
        """
        if (vectors := self._checked_vectors(images)) is not None:
            return self._in_batches(vectors, max(batch_size, _VECTORS))
        if isinstance(images, np.ndarray) or (hasattr(images, "__len__") and len(images) == 0):
            return self._in_batches(images, batch_size)
        codes = self.model.predict(images, batch_size=batch_size, verbose=0)
        return np.asarray(codes, np.float32)

    def _checked_vectors(self, images: Any) -> NDArray[np.float32] | None:
        """The argument, if it is an array of vectors that the encoder takes."""
        if isinstance(self.preprocessing, VectorInput) and not hasattr(images, "element_spec"):
            return self.preprocessing.check(images)
        return None

    def _in_batches(self, inputs: Any, size: int) -> NDArray[np.float32]:
        """Continuous codes of an array; `predict` takes longer, by a pipeline for each array."""
        codes = np.empty((len(inputs), self.bits), np.float32)
        for start in range(0, len(inputs), size):
            batch = slice(start, start + size)
            codes[batch] = self.model.predict_on_batch(inputs[batch])
        return codes

    def encode(self, images: Any, batch_size: int = 256) -> NDArray[np.uint8]:
        """Packed codes, uint8 [n, K/8], of preprocessed images; otherwise as `continuous`.

        Raises:
            ValueError: if a code is not finite.
        """
        if (vectors := self._checked_vectors(images)) is not None:
            return self._packed_vectors(vectors, batch_size)
        return pack_codes(self.continuous(images, batch_size))

    def _packed_vectors(self, vectors: NDArray[np.float32], batch_size: int) -> NDArray[np.uint8]:
        """The same as by `continuous`, by one product where the model is an affine map."""
        affine = AffineCodes.of(self.model) if len(vectors) >= _VECTORS else None
        probe, size = vectors[:_PROBE], max(batch_size, _VECTORS)
        if affine is None or not affine.gives(probe, self._in_batches(probe, size)):
            return pack_codes(self._in_batches(vectors, size))
        packed, unsure = np.empty((len(vectors), packed_width(self.bits)), np.uint8), []
        for start in range(0, len(vectors), _VECTORS):
            signs, rows = affine.signs(vectors[start : start + _VECTORS])
            packed[start : start + _VECTORS] = np.packbits(signs, axis=1)
            unsure.append(start + rows)
        left = np.concatenate(unsure)
        for rows in (left[start : start + _VECTORS] for start in range(0, len(left), _VECTORS)):
            packed[rows] = pack_codes(self._in_batches(vectors[rows], size))
        return packed

    def encode_bytes(self, encoded: Sequence[bytes]) -> NDArray[np.uint8]:
        """Packed codes, uint8 [n, K/8], of image files; otherwise as `continuous_bytes`."""
        return pack_codes(self.continuous_bytes(encoded))

    def continuous_bytes(self, encoded: Sequence[bytes]) -> NDArray[np.float32]:
        """Raw continuous codes, float32 [n, K], of the contents of image files of any sizes.

        Raises:
            ValueError: if one of them is no image that TensorFlow can decode, or the encoder takes
                vectors.
        """
        import tensorflow as tf

        try:
            images = self.of_images.decode_batch(tf.constant(list(encoded), tf.string))
        except tf.errors.InvalidArgumentError as error:
            raise ValueError("`encoded` must hold images that TensorFlow can decode") from error
        return self.continuous(images.numpy())

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the encoder as `model.keras` and `encoder.json` into a folder, made if need be.

        `encoder.json` is written last: with it, the folder is whole.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / DESCRIPTION).unlink(missing_ok=True)
        with atomic_write(folder / MODEL) as temporary:
            self.model.save(temporary)
        self.save_description(folder)

    def save_description(self, folder: str | os.PathLike[str]) -> None:
        """Writes `encoder.json` into a folder whose `model.keras` holds the model."""
        description = {
            "format_version": FORMAT,
            "bits": self.bits,
            "fingerprint": self.fingerprint,
            "preprocessing": self.preprocessing.to_config(),
            "class_names": self.class_names,
            "training": self.training,
            "metrics": self.metrics,
        }
        with atomic_write(Path(folder, DESCRIPTION)) as temporary:
            temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Reads what `save` wrote, or the encoder of a finished run.

        Args:
            folder: the folder; nothing need be imported first.

        Raises:
            FileNotFoundError: if the folder holds neither an encoder nor a finished run.
            ValueError: if a file in it cannot be read.
        """
        folder = Path(folder)
        about = read_description(folder)
        return cls(
            model=encoder_of(load_model(folder / MODEL)),
            preprocessing=preprocessing_of(about["preprocessing"]),
            class_names=about["class_names"],
            training=about["training"],
            metrics=about["metrics"],
            source=f"--run {shlex.quote(str(folder))}",
            known_as=about["fingerprint"],
        )

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        height: int | None = None,
        width: int | None = None,
    ) -> Self:
        """The encoder in a `.keras` file of any program: see `encoder_of`.

        Args:
            path: the file.
            height: height of the images that the model gets, in pixels; `None` for that of the
                model's input, and for a model of vectors.
            width: width, likewise.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it cannot be read, is no encoder, or `height` or `width` is missing or
                not that of the model's input.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"There is no Keras model {str(path)!r}")
        model = encoder_of(load_model(path))
        source = f"--model {shlex.quote(str(path))}"
        if len(model.input_shape) == 2:
            for name, given in (("height", height), ("width", width)):
                if given is not None:
                    raise ValueError(
                        f"`{name}` must be left out: the model takes vectors. Received: {given}"
                    )
            return cls(model, VectorInput(model.input_shape[1]), source=source)
        _, *size, channels = model.input_shape
        wanted = {"height": height, "width": width}
        for (name, given), own in zip(list(wanted.items()), size, strict=True):
            if given is not None and own not in (None, given):
                raise ValueError(
                    f"`{name}` must be {own}, that of the model's input. Received: {given}"
                )
            wanted[name] = own if given is None else given
        check_model_file(path, height, width)
        preprocessing = ImagePreprocessing(**wanted, channels=channels)  # type: ignore[arg-type]
        source += f" --height {wanted['height']} --width {wanted['width']}"
        return cls(model, preprocessing, source=source)


def preprocessing_of(config: dict[str, Any]) -> ImagePreprocessing | VectorInput:
    """What `to_config` of either class described."""
    kind = VectorInput if "vector_width" in config else ImagePreprocessing
    return kind.from_config(config)


def load_model(path: Path) -> keras.Model:
    """A model from a `.keras` file, its custom classes known.

    Raises:
        ValueError: if it cannot be read, or holds classes of another program's.
    """
    assert models  # the classes of this package are registered with Keras
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:400]
        raise ValueError(
            f"The Keras model {str(path)!r} cannot be read: {reason}. Classes of your own must be "
            "registered (keras.saving.register_keras_serializable) and imported first"
        ) from error


def encoder_of(model: keras.Model) -> keras.Model:
    """The part of a model that maps one image, or one vector, to one continuous code.

    Of a `HashingModel`, its encoder; of a model with one `HashHead`, the part up to that; of any
    other, the model itself, whose output must be codes [n, K].

    Raises:
        ValueError: if the model has several heads, or no such input and output.
    """
    if isinstance(model, models.HashingModel):
        return model.encoder
    heads = [layer for layer in leaf_layers(model) if isinstance(layer, HashHead)]
    if len(heads) > 1:
        raise ValueError(
            "A model must have one HashHead, whose output is the code. "
            f"Received: {', '.join(head.name for head in heads)}"
        )
    encoder = _up_to(model, heads[0]) if heads else model
    inputs, outputs = getattr(encoder, "inputs", None), getattr(encoder, "outputs", None)
    if not inputs or not outputs or len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(
            "An encoder must be a built functional or Sequential model with one input and one "
            f"output. Received: {type(model).__name__} {model.name!r}"
        )
    image, code = inputs[0], outputs[0]
    of_images = len(image.shape) == 4 and image.shape[-1] in (1, 3)
    of_vectors = len(image.shape) == 2 and image.shape[-1] is not None and "float" in image.dtype
    if not (of_images or of_vectors):
        raise ValueError(
            "An encoder takes images [n, height, width, channels] with 1 or 3 channels, or float "
            f"vectors [n, D]. Received: an input of shape {tuple(image.shape)}, {image.dtype}"
        )
    if len(code.shape) != 2 or code.shape[-1] is None or "float" not in code.dtype:
        raise ValueError(
            "An encoder gives continuous codes [n, K], as a HashHead does. "
            f"Received: an output of shape {tuple(code.shape)}, {code.dtype}"
        )
    return encoder


def _up_to(model: keras.Model, head: HashHead) -> keras.Model:
    """The part of a model that ends in its head, which may lie in a model that it begins with."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    if head in layers:
        own_output = bool(model.outputs) and model.outputs[0] is head.output
        return model if own_output else keras.Model(model.inputs, head.output, name="encoder")
    if isinstance(layers[0], keras.Model) and head in leaf_layers(layers[0]):
        return _up_to(layers[0], head)
    raise ValueError(
        f"The HashHead {head.name!r} lies in a nested model. Save the encoder by itself: "
        "keras.Model(inputs, codes).save(...)"
    )
