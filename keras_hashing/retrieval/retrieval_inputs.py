"""The four arguments that every retrieval figure takes, checked and ready to compute with."""

import dataclasses
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from keras_hashing.retrieval.bit_words import Words, bit_words
from keras_hashing.retrieval.relevance import label_words
from keras_hashing.retrieval.validation import (
    check_label_shape,
    check_packed_codes,
    check_same_classes,
    check_same_width,
)


@dataclasses.dataclass(frozen=True, eq=False)
class RetrievalInputs:
    """Codes and labels of queries and database as words (see `bit_words`).

    Attributes:
        bits: the number of bits of a code, K.
        query_codes: shape [code words, Q].
        query_labels: shape [label words, Q].
        database_codes: shape [code words, N].
        database_labels: shape [label words, N].
    """

    bits: int
    query_codes: Words
    query_labels: Words
    database_codes: Words
    database_labels: Words

    @classmethod
    def check(
        cls,
        query_codes: ArrayLike,
        query_labels: ArrayLike,
        database_codes: ArrayLike,
        database_labels: ArrayLike,
    ) -> Self:
        """Checks the arguments of a retrieval figure.

        Args:
            query_codes: packed codes, uint8, shape [Q, K/8], Q >= 1.
            query_labels: one-hot or multi-hot (0/1, any real dtype or bool), shape [Q, C]. A row
                of zeros is allowed: nothing is relevant to it.
            database_codes: packed codes, uint8, shape [N, K/8], N >= 1.
            database_labels: as `query_labels`, shape [N, C].

        Raises:
            ValueError: if an argument breaks one of these rules; the message names it.
        """
        _refuse_another_order(query_labels, database_codes)
        queries = check_packed_codes("query_codes", query_codes)
        database = check_packed_codes("database_codes", database_codes)
        check_same_width(queries, database)
        wanted = check_label_shape("query_labels", query_labels, len(queries))
        offered = check_label_shape("database_labels", database_labels, len(database))
        check_same_classes(wanted, offered)
        return cls(
            bits=8 * queries.shape[1],
            query_codes=bit_words(queries),
            query_labels=label_words("query_labels", wanted),
            database_codes=bit_words(database),
            database_labels=label_words("database_labels", offered),
        )

    @property
    def queries(self) -> int:
        """The number of queries, Q."""
        return self.query_codes.shape[1]

    @property
    def items(self) -> int:
        """The number of items in the database, N."""
        return self.database_codes.shape[1]


def _refuse_another_order(query_labels: ArrayLike, database_codes: ArrayLike) -> None:
    """Raises `ValueError` where both codes were given first, and then both labels."""
    second, third = np.asarray(query_labels), np.asarray(database_codes)
    labels_third = third.dtype != np.uint8 or (third.size > 0 and third.max() <= 1)
    codes_second = second.dtype == np.uint8 and second.size > 0 and second.max() > 1
    if codes_second and labels_third:
        raise ValueError(
            "The order of the arguments is query_codes, query_labels, database_codes, "
            "database_labels; by their names any order will do. Received: codes for "
            "`query_labels` and labels for `database_codes`"
        )
