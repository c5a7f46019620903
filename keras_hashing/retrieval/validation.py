"""The rules that the arrays of the retrieval functions follow."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_hashing.checks import check_bits, check_integer
from keras_hashing.retrieval.packed_width import packed_width


def check_continuous_codes(name: str, codes: ArrayLike, first_row: int = 0) -> NDArray:
    """Returns `codes` as a real (float, int or bool) array [..., K] of finite values, K >= 1.

    `first_row` is the number of the first row, where the codes are a block of more.
    """
    array = np.asarray(codes)
    if array.dtype.name == "bfloat16":  # a dtype of ml_dtypes, which NumPy does not call a float
        array = array.astype(np.float32)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"`{name}` must hold real numbers. Received: dtype={array.dtype}")
    if array.ndim < 1 or array.shape[-1] == 0:
        raise ValueError(
            f"`{name}` must have shape [..., K] with K >= 1. Received: shape={array.shape}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        position = (where[0] + first_row, *where[1:])
        raise ValueError(
            f"`{name}` must be finite. Received: {array[where]} at position {position}"
        )
    return array


def check_packed_codes(name: str, codes: ArrayLike, allow_empty: bool = False) -> NDArray[np.uint8]:
    """Returns `codes` as packed codes: uint8 [n, bytes], and n >= 1 unless `allow_empty`."""
    array = np.asarray(codes)
    if array.dtype != np.uint8:
        raise ValueError(
            f"`{name}` must be packed codes of dtype uint8 (see `pack_codes`). "
            f"Received: dtype={array.dtype}"
        )
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"`{name}` must have shape [n, K/8]. Received: shape={array.shape}")
    if not allow_empty and array.shape[0] == 0:
        raise ValueError(f"`{name}` must hold at least one code. Received: shape={array.shape}")
    return array


def check_packed_bits(name: str, codes: NDArray[np.uint8], bits: int | None) -> int:
    """Returns `bits` (`None`: all bits of the bytes), if packed codes [n, bytes] have that length.

    Raises:
        ValueError: if they have another number of bytes, or a bit beyond `bits` is set.
    """
    if bits is None:
        return 8 * codes.shape[1]
    bits = check_bits(bits)
    if codes.shape[1] != packed_width(bits):
        raise ValueError(
            f"`{name}` must have {packed_width(bits)} bytes for codes of {bits} bits. "
            f"Received: shape={codes.shape}"
        )
    if bits % 8 and (codes[:, -1] & (0xFF >> bits % 8)).any():
        raise ValueError(
            f"`{name}` must have zeros after the {bits} bits of a code (see `pack_codes`). "
            "Received: codes with a set bit there"
        )
    return bits


def check_same_width(query_codes: NDArray[np.uint8], database_codes: NDArray[np.uint8]) -> None:
    """Raises `ValueError` unless both sets of packed codes have the same number of bits."""
    if query_codes.shape[1] != database_codes.shape[1]:
        raise ValueError(
            "`query_codes` and `database_codes` must have the same number of bits. "
            f"Received: {8 * query_codes.shape[1]} and {8 * database_codes.shape[1]} bits"
        )


def check_label_shape(name: str, labels: ArrayLike, rows: int) -> NDArray:
    """Returns `labels` as an array [rows, C]; the values are checked when they are packed."""
    array = np.asarray(labels)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"`{name}` must be one-hot or multi-hot, of shape [n, C]. "
            f"Received: shape={array.shape}, dtype={array.dtype}"
        )
    if array.shape[0] != rows:
        raise ValueError(
            f"`{name}` must have one row per code. "
            f"Received: {array.shape[0]} rows of labels for {rows} codes"
        )
    return array


def check_same_classes(query_labels: NDArray, database_labels: NDArray) -> None:
    """Raises `ValueError` unless both sets of labels have the same number of classes."""
    if query_labels.shape[1] != database_labels.shape[1]:
        raise ValueError(
            "`query_labels` and `database_labels` must have the same number of classes. "
            f"Received: {query_labels.shape[1]} and {database_labels.shape[1]} classes"
        )


def check_cut(k: int, items: int, beyond: bool) -> int:
    """Returns the cut `k` as an int; `beyond` allows it to exceed the `items` in the database."""
    if beyond:
        return min(check_integer("k", k, 1, None, "an integer >= 1"), items)
    return check_integer(
        "k", k, 1, items, f"an integer from 1 to the {items} items in the database"
    )
