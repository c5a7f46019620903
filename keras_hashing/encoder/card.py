"""The card: what a SavedModel says about itself to those who use it."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)

from keras_hashing.broken_rules import broken_rules
from keras_hashing.files.atomic_write import write_text

if TYPE_CHECKING:
    from keras_hashing.encoder.hash_encoder import HashEncoder

# In a version folder; TensorFlow Serving leaves them alone.
CARD, MODEL_CARD = Path("assets.extra", "card.json"), Path("assets.extra", "card.md")

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


class VectorCard(BaseModel):
    """What the network takes in place of images.

    Attributes:
        vector_width: D, the number of values of a vector.
        description: what is done to a vector, in words.
    """

    vector_width: int = Field(ge=1)
    description: str = "none: the network itself does what is to be done to a vector"


def _kind(preprocessing: Any) -> str:
    of_vectors = isinstance(preprocessing, VectorCard) or (
        isinstance(preprocessing, dict) and "vector_width" in preprocessing
    )
    return "vectors" if of_vectors else "images"


class IndexCard(BaseModel):
    """What the signatures `search` (of vectors, `search_vectors`) and `search_code` search in.

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
        preprocessing: what the graph does to an image first; of vectors, their width.
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
    preprocessing: Annotated[
        Annotated[PreprocessingCard, Tag("images")] | Annotated[VectorCard, Tag("vectors")],
        Discriminator(_kind),
    ]
    signatures: list[str]
    class_names: list[str]
    training: dict[str, Any]
    metrics: dict[str, Any]
    fingerprint: str = Field(min_length=1)
    index: IndexCard | None = None
    versions: dict[str, str]
    created: AwareDatetime

    @property
    def vector_width(self) -> int | None:
        """D, the number of values of a vector; `None` if the model takes images."""
        of = self.preprocessing
        return of.vector_width if isinstance(of, VectorCard) else None

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
            preprocessing=_preprocessing_card(encoder),
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


def _preprocessing_card(encoder: "HashEncoder") -> PreprocessingCard | VectorCard:
    config = encoder.preprocessing.to_config()
    if encoder.takes_vectors:
        return VectorCard(**config)
    return PreprocessingCard(**config, description=_description(encoder))


def _description(encoder: "HashEncoder") -> str:
    height, width, channels = encoder.of_images.shape
    applied = "ignored" if encoder.of_images.orientation == "ignored" else "applied"
    colours = "grey (ITU-R 601 luma)" if channels == 1 else "RGB"
    return (
        "decode JPEG, PNG, WebP, BMP or GIF (first frame; alpha dropped, 16 bits cut to 8, EXIF "
        f"orientation {applied}); convert to {colours}; resize to {height}×{width} by antialiased "
        "bilinear interpolation, rounded to uint8; the network scales the pixels itself"
    )
