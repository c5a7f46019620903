"""What a .tflite file says about itself to those who use it."""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from keras_hashing.broken_rules import broken_rules
from keras_hashing.device.flatbuffer import parse, read_tflite, serialize
from keras_hashing.device.kinds import Kind
from keras_hashing.encoder.card import BIT_ORDER

if TYPE_CHECKING:
    from keras_hashing.encoder.hash_encoder import HashEncoder

ENTRY = "keras_hashing"  # the name of the file's metadata entry; its buffer holds UTF-8 JSON

OUTPUTS = ("code", "continuous")  # of the signature `encode`, in this order


class LiteRTMetadata(BaseModel):
    """What a .tflite file says about itself, kept in it as the metadata entry `keras_hashing`.

    Attributes:
        format_version: 1; a change that old readers would misread raises it.
        kind: float32, float16, dynamic-range or int8.
        bits: the length of a code, K; a packed code has K/8 bytes.
        bit_order: how the bits of a code lie in its bytes.
        height: height of the images that it takes, pixels; `None`, as all about images, if it takes
            vectors.
        width: width, pixels.
        channels: 1 (grey) or 3.
        colour_order: the order of the channels; they come last.
        vector_width: D, the number of values of a vector; `None` if it takes images.
        batch: images or vectors at a time: 1, or `None` for any number.
        continuous: whether `encode` has the second output `continuous`.
        fingerprint: the name of the code space: codes with another fingerprint do not compare.
        resize: how the training made images of this size; it is not in the graph.
        calibration_images: training images or vectors that the ranges of int8 come from; `None`
            for others.
        versions: versions of the libraries that wrote the file.
        created: when it was written, UTC.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = 1
    kind: Kind
    bits: int = Field(ge=1)
    bit_order: str = BIT_ORDER
    height: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=1)
    channels: Literal[1, 3] | None = None
    colour_order: Literal["grey", "RGB"] | None = None
    vector_width: int | None = Field(default=None, ge=1)
    batch: Literal[1] | None
    continuous: bool
    fingerprint: str = Field(min_length=1)
    resize: str | None = (
        "antialiased bilinear interpolation, rounded to uint8; the graph scales the pixels"
    )
    calibration_images: int | None = None
    versions: dict[str, str]
    created: AwareDatetime

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        of_images = (self.height, self.width, self.channels, self.colour_order)
        if (None in of_images) == (self.vector_width is None):
            raise ValueError(
                "Either `height`, `width`, `channels` and `colour_order`, or `vector_width` must "
                f"be there. Received: {of_images} and {self.vector_width}"
            )
        return self

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image.

        Raises:
            ValueError: if the file takes vectors.
        """
        if self.height is None or self.width is None or self.channels is None:
            raise ValueError(
                "This needs a file that takes images. Received: one of vectors of width "
                f"{self.vector_width}"
            )
        return (self.height, self.width, self.channels)

    @classmethod
    def of(
        cls,
        encoder: "HashEncoder",
        kind: Kind,
        free_batch: bool,
        continuous: bool,
        calibration_images: int | None,
    ) -> Self:
        """The metadata of a file of an encoder that is written now."""
        import keras
        import tensorflow as tf

        import keras_hashing

        takes: dict[str, object] = {"vector_width": encoder.vector_width, "resize": None}
        if not encoder.takes_vectors:
            height, width, channels = encoder.of_images.shape
            colour_order = "grey" if channels == 1 else "RGB"
            takes = dict(height=height, width=width, channels=channels, colour_order=colour_order)
        return cls.model_validate(
            {
                "kind": kind,
                "bits": encoder.bits,
                **takes,
                "batch": None if free_batch else 1,
                "continuous": continuous,
                "fingerprint": encoder.fingerprint,
                "calibration_images": calibration_images,
                "versions": {
                    "keras_hashing": keras_hashing.__version__,
                    "keras": keras.__version__,
                    "tensorflow": tf.__version__,
                },
                "created": datetime.now(UTC).replace(microsecond=0),
            }
        )


def add_metadata(content: bytes, metadata: LiteRTMetadata) -> bytes:
    """Puts metadata into a .tflite encoder; raises `ValueError` if the file is damaged."""
    return embed_json(content, metadata.model_dump_json(), OUTPUTS)


def embed_json(content: bytes, document: str, outputs: tuple[str, ...]) -> bytes:
    """Puts a JSON document into a .tflite file, and its outputs in an order.

    The converter orders several outputs as it pleases, another way for int8 than for float32.

    Args:
        content: the content of the file.
        document: the JSON, for the metadata entry `keras_hashing`.
        outputs: the names of its signature's outputs in the order wanted.

    Returns:
        The content of the new file.

    Raises:
        ValueError: if the file is damaged.
    """
    model = parse(content)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(document.encode(), dtype=np.uint8)
    entry = schema.MetadataT()
    entry.name = ENTRY
    entry.buffer = len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    for signature in model.signatureDefs or []:
        signature.outputs.sort(key=lambda output: outputs.index(output.name.decode()))
        tensors = [output.tensorIndex for output in signature.outputs]
        model.subgraphs[signature.subgraphIndex].outputs = np.array(tensors, dtype=np.int32)
    return serialize(model)


def read_metadata(path: str | os.PathLike[str]) -> LiteRTMetadata:
    """What a .tflite file says about itself.

    Args:
        path: a file of `python -m export litert`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no .tflite file, is damaged, searches in place of encoding, has no such
            metadata, or metadata that this version cannot read; what is wrong is named.
    """
    model = parse(read_tflite(path), repr(str(path)))
    entries = [entry for entry in model.metadata or [] if entry.name == ENTRY.encode()]
    if not entries:
        raise ValueError(
            f"{str(path)!r} has no metadata {ENTRY!r}, so it was not written by "
            "`python -m export litert`"
        )
    try:
        document = np.asarray(model.buffers[entries[-1].buffer].data, np.uint8).tobytes()
    except (IndexError, TypeError):
        raise ValueError(f"{str(path)!r} is damaged: its metadata {ENTRY!r} is missing") from None
    try:
        return LiteRTMetadata.model_validate_json(document)
    except ValidationError as error:
        if _is_search(error):
            raise ValueError(
                "The file must be an encoder, as encoder-int8.tflite is. "
                f"Received: {str(path)!r}, which searches (`--index` of `python -m export litert`)"
            ) from None
        raise ValueError(
            f"The metadata of {str(path)!r} cannot be read: {broken_rules(error)}"
        ) from None


def _is_search(error: ValidationError) -> bool:
    """Whether what was refused is the metadata of a search file (`SearchMetadata`)."""
    return any(
        problem["loc"] == ("kind",) and problem["input"] == "search" for problem in error.errors()
    )
