"""What a store is told about the codes in it, and is asked for on the way back."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keras_hashing.broken_rules import broken_rules
from keras_hashing.encoder.card import BIT_ORDER
from keras_hashing.retrieval import CodeIndex

KEY = "keras_hashing"  # where a store has names for what it is told


class StoreMetadata(BaseModel):
    """What travels with the codes of an index, as JSON.

    Attributes:
        format_version: 1; a change that old readers would misread raises it.
        bits: K, the length of a code.
        bit_order: how the bits of a code lie in its bytes.
        fingerprint: the name of the code space: codes with another fingerprint do not compare.
        ids: the type of the ids.
        labels: whether the items have labels.
        items: the number of items that were written.
    """

    model_config = ConfigDict(frozen=True)

    format_version: Literal[1] = 1
    bits: int = Field(ge=1)
    bit_order: str = BIT_ORDER
    fingerprint: str = Field(min_length=1)
    ids: Literal["int64", "string"]
    labels: bool
    items: int = Field(ge=0)

    @classmethod
    def of(cls, index: CodeIndex) -> Self:
        """The metadata of an index."""
        return cls(
            bits=index.bits,
            fingerprint=index.fingerprint,
            ids="int64" if index.integer_ids else "string",
            labels=index.labels is not None,
            items=len(index),
        )

    @classmethod
    def parse(cls, document: str | bytes | None, where: str) -> Self:
        """Reads what a store says about its codes.

        Raises:
            ValueError: if it says nothing, or something that this version cannot read.
        """
        if document is None:
            raise ValueError(
                f"{where} does not say which code space its codes are of, so it was not written by "
                "`python -m export index export`"
            )
        try:
            return cls.model_validate_json(document)
        except ValidationError as error:
            raise ValueError(
                f"What {where} says about its codes cannot be read: {broken_rules(error)}"
            ) from None

    def check_items(self, found: int, where: str) -> None:
        """Raises `ValueError` unless so many items are what was written."""
        if found != self.items:
            raise ValueError(
                f"{where} must hold the {self.items:,} items that were written. "
                f"Received: {found:,}; it was written in part, or changed since"
            )

    def check_index(self, index: CodeIndex, where: str) -> None:
        """Raises `ValueError` unless an index has codes of the same code space and length."""
        index.check_fingerprint(self.fingerprint)
        if index.bits != self.bits:
            raise ValueError(
                f"The index must have codes of {self.bits} bits, as {where} has. "
                f"Received: {index.bits} bits"
            )
