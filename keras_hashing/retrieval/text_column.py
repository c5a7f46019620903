"""Many strings in two arrays: about their own size in memory, and in a file without pickling."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 16  # strings that are taken apart at a time


class TextColumn(Sequence[str]):
    """A read-only sequence of strings, kept as their UTF-8 bytes one after another.

    Ten million ids of 20 characters take 280 MB; as a list of `str` they take 800 MB.

    Args:
        text: the bytes of all strings, uint8, shape [B].
        lengths: the number of bytes of each string, int64, shape [n], summing to B.

    Attributes:
        text: the bytes of all strings, uint8, shape [B].
        offsets: where the strings begin in `text` and where the last one ends, int64, shape
            [n + 1]: string i is `text[offsets[i]:offsets[i + 1]]`.

    Raises:
        ValueError: if the lengths do not fit the text.
    """

    def __init__(self, text: NDArray[np.uint8], lengths: NDArray[np.int64]) -> None:
        if lengths.ndim != 1 or lengths.dtype != np.int64 or (lengths < 0).any():
            raise ValueError("the lengths of the strings are no lengths")
        self.text = text
        self.offsets: NDArray[np.int64] = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=self.offsets[1:])
        if text.dtype != np.uint8 or text.shape != (int(self.offsets[-1]),):
            raise ValueError("the text has another length than it should")

    @classmethod
    def of(cls, strings: Iterable[str]) -> Self:
        """Returns the column of these strings.

        Any `str` will do: file names that are not UTF-8 reach Python as lone surrogates.
        """
        encoded = [_encode(string) for string in strings]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), lengths)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of bytes of each string, int64, shape [n]."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> list[str]: ...
    def __getitem__(self, position: int | slice) -> str | list[str]:
        if isinstance(position, slice):
            return [self[at] for at in range(*position.indices(len(self)))]
        at = range(len(self))[position]
        return _decode(self.text[self.offsets[at] : self.offsets[at + 1]].tobytes())

    def __iter__(self) -> Iterator[str]:
        return map(_decode, self.encoded())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TextColumn):
            return np.array_equal(self.offsets, other.offsets) and np.array_equal(
                self.text, other.text
            )
        return list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"TextColumn([{shown}{', …' if len(self) > 3 else ''}], {len(self)} strings)"

    def encoded(self) -> Iterator[bytes]:
        """Yields the UTF-8 bytes of each string."""
        for first in range(0, len(self), _BLOCK):
            offsets = self.offsets[first : first + _BLOCK + 1]
            text = self.text[offsets[0] : offsets[-1]].tobytes()
            begin, *ends = (offsets - offsets[0]).tolist()
            for end in ends:
                yield text[begin:end]
                begin = end

    def where(self, chosen: NDArray[np.bool_]) -> "TextColumn":
        """Returns the column of the strings where `chosen`, bool [n], is true."""
        lengths = self.lengths
        return TextColumn(self.text[np.repeat(chosen, lengths)], lengths[chosen])

    def followed_by(self, *others: "TextColumn") -> "TextColumn":
        """Returns the column of these strings and those of `others` after them."""
        columns = (self, *others)
        return TextColumn(
            np.concatenate([column.text for column in columns]),
            np.concatenate([column.lengths for column in columns]),
        )

    def positions_of(self, strings: Collection[str]) -> dict[str, int]:
        """Returns where each of `strings` is, for those that are there (the last, if repeated)."""
        wanted = {_encode(string): string for string in strings}
        if not wanted:
            return {}
        return {wanted[text]: at for at, text in enumerate(self.encoded()) if text in wanted}

    def repeated(self) -> list[str]:
        """Returns the strings that are there more than once, each once, in order of appearance."""
        hashes = np.fromiter(map(hash, self.encoded()), dtype=np.int64, count=len(self))
        hashes.sort()
        equal = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        if not equal:
            return []
        counts: dict[bytes, int] = {}
        for text in self.encoded():
            if hash(text) in equal:
                counts[text] = counts.get(text, 0) + 1
        return [_decode(text) for text, count in counts.items() if count > 1]


def _encode(string: str) -> bytes:
    return string.encode("utf-8", "surrogatepass")


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogatepass")


def check_strings(name: str, strings: Any, rows: int) -> TextColumn:
    """Returns `strings` as a column of `rows` strings; raises `ValueError` if they are not."""
    if not isinstance(strings, TextColumn):
        if isinstance(strings, str) or not all(isinstance(string, str) for string in strings):
            raise ValueError(f"`{name}` must be a list of str. Received: {strings!r:.100}")
        strings = TextColumn.of(strings)
    if len(strings) != rows:
        raise ValueError(
            f"`{name}` must have one string per code. "
            f"Received: {len(strings)} strings for {rows} codes"
        )
    return strings
