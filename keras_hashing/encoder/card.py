"""The card: what a SavedModel says about itself to those who use it."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from keras_hashing.broken_rules import broken_rules
from keras_hashing.files.atomic_write import write_text

if TYPE_CHECKING:
    from keras_hashing.encoder.hash_encoder import HashEncoder

CARD = Path("assets.extra", "card.json")  # in a version folder; TensorFlow Serving leaves it alone

# Rows of a request at most: what a client sends, what the graph and the server's batching allow.
LARGEST_REQUEST = 256

BIT_ORDER = "numpy.packbits: most significant bit first; bit k is 1 when u_k > 0"


class PreprocessingCard(BaseModel):
    """What the graph does to an image before the network sees it.

    Attributes:
        height: height of the network's images, pixels.
        width: width, pixels.
        channels: 1 (grey) or 3 (RGB).
        orientation: "exif" if images are turned as their EXIF data says.
        description: the steps in words.
    """

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    channels: Literal[1, 3]
    orientation: Literal["exif", "ignored"] = "ignored"
    description: str


class IndexCard(BaseModel):
    """What the signatures `search` and `search_code` search in.

    Attributes:
        items: the number of items.
        ids: the type of the ids that they answer with.
        default_k: answers a query gets where the request does not say.
        largest_k: the most that a request may ask for.
        rerank: whether `search` orders the candidates by the query's continuous code.
        batchable: whether `k` and `max_distance` may be [n], one a row, so that a server can join
            requests; versions written before that take scalars only.
    """

    items: int = Field(ge=0)
    ids: Literal["int64", "string"]
    default_k: int = Field(ge=1)
    largest_k: int = Field(ge=1)
    rerank: bool
    batchable: bool = False


class Card(BaseModel):
    """What a SavedModel says about itself, kept in it as `assets.extra/card.json`.

    Attributes:
        format_version: 1; a change that old readers would misread raises it.
        bits: the length of a code, K; a packed code has K/8 bytes, rounded up.
        bit_order: how the bits of a code lie in its bytes.
        preprocessing: what the graph does to an image first.
        signatures: the names of the SavedModel's signatures.
        class_names: the classes trained on, in the order of the label columns.
        training: the configuration of the training.
        metrics: what was measured after it (mAP and others, with their protocol).
        fingerprint: the name of the code space: codes with another fingerprint do not compare.
        index: what its search signatures search in, or `None` if it has none.
        versions: versions of the libraries that wrote the SavedModel.
        created: when it was written, UTC.
    """

    # NaN is not JSON: a figure that is none becomes null.
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")

    format_version: Literal[1] = 1
    bits: int = Field(ge=1)
    bit_order: str = BIT_ORDER
    preprocessing: PreprocessingCard
    signatures: list[str]
    class_names: list[str]
    training: dict[str, Any]
    metrics: dict[str, Any]
    fingerprint: str = Field(min_length=1)
    index: IndexCard | None = None
    versions: dict[str, str]
    created: AwareDatetime

    @classmethod
    def of(
        cls, encoder: "HashEncoder", signatures: list[str], index: IndexCard | None = None
    ) -> Self:
        """The card of an encoder that is exported now, with these signatures and this index."""
        import keras
        import tensorflow as tf

        import keras_hashing

        return cls(
            bits=encoder.bits,
            preprocessing=PreprocessingCard.model_validate(
                {**encoder.preprocessing.to_config(), "description": _description(encoder)}
            ),
            signatures=signatures,
            class_names=encoder.class_names,
            training=encoder.training,
            metrics=encoder.metrics,
            fingerprint=encoder.fingerprint,
            index=index,
            versions={
                "keras_hashing": keras_hashing.__version__,
                "keras": keras.__version__,
                "tensorflow": tf.__version__,
            },
            created=datetime.now(UTC).replace(microsecond=0),
        )

    def save(self, version_folder: str | os.PathLike[str]) -> None:
        """Writes the card into the folder of a SavedModel; raises `OSError` if it cannot."""
        path = Path(version_folder, CARD)
        path.parent.mkdir(exist_ok=True)
        write_text(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, version_folder: str | os.PathLike[str]) -> Self:
        """Reads the card of a SavedModel.

        Args:
            version_folder: the folder of the SavedModel.

        Raises:
            FileNotFoundError: if it has no card.
            ValueError: if the card is damaged, or of a format that this version cannot read; what
                is wrong is named.
        """
        path = Path(version_folder, CARD)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise FileNotFoundError(
                f"The SavedModel has no card {str(CARD)!r}, so it was not written by "
                f"`python -m export`: {version_folder}"
            ) from None
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise ValueError(
                f"The card {str(path)!r} cannot be read: {broken_rules(error)}"
            ) from None


def _description(encoder: "HashEncoder") -> str:
    height, width, channels = encoder.of_images.shape
    applied = "ignored" if encoder.of_images.orientation == "ignored" else "applied"
    colours = "grey (ITU-R 601 luma)" if channels == 1 else "RGB"
    return (
        "decode JPEG, PNG, WebP, BMP or GIF (first frame; alpha dropped, 16 bits cut to 8, EXIF "
        f"orientation {applied}); convert to {colours}; resize to {height}×{width} by antialiased "
        "bilinear interpolation, rounded to uint8; the network scales the pixels itself"
    )
