"""Lines of a text file, and list files: paths with labels, as HashNet introduced them."""

import re
from pathlib import Path
from typing import NamedTuple

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class ListLine(NamedTuple):
    """An image of a list.

    Attributes:
        number: of its line, from 1.
        path: as listed.
        labels: a 0 or 1 for each class, as text, such as "0100"; "" without labels.
    """

    number: int
    path: str
    labels: str


def text_lines(file: Path) -> list[tuple[int, str]]:
    """The lines of a UTF-8 file that are not empty, with their numbers.

    A byte-order mark, line ends of any system, and blanks around a line do not count.

    Raises:
        ValueError: when it is not UTF-8; the line is named.
    """
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{file}:{line} is not UTF-8") from error
    lines = enumerate(re.split(r"\r\n|\r|\n", text), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def list_lines(
    file: Path, columns: int | None = None, example: str = "", least: int = 0
) -> list[ListLine]:
    """Reads a list file: a line for each image, its path and then a 0 or 1 for each class.

    The words of a line are separated by blanks or tabs. A path may hold blanks, or stand in double
    quotes. Labels are the words at the end that are 0 or 1, equally many in all lines; the word
    before them may not be a number unless it is the whole path. Lines that begin with "# " are
    comments.

    Args:
        file: The list, UTF-8.
        columns: How many labels a line has; by default as many as the first line.
        example: A line that has so many, for the message.
        least: How many labels there must be at least.

    Raises:
        ValueError: when a line breaks the form, the list names no image, or is not UTF-8. File and
            line are named.
    """
    found = []
    for number, line in text_lines(file):
        if line.startswith("# "):
            continue
        if columns is None:
            columns, example = len(_labels_at_the_end(line)), f"{file}:{number}"
        path, labels = _path_and_labels(line, columns)
        row = "".join(labels)
        whole = columns >= least and len(labels) == len(row) == columns and not row.strip("01")
        if not path or not whole or (columns and _NUMBER.fullmatch(_last_word(path))):
            raise ValueError(f"{file}:{number} {_problem(line, columns, example, least)}")
        found.append(ListLine(number, _unquoted(path), row))
    if not found:
        raise ValueError(f"The list {str(file)!r} names no image")
    return found


def _path_and_labels(line: str, columns: int) -> tuple[str, list[str]]:
    path, *labels = line.rsplit(None, columns) if columns else [line]
    return path, labels


def _unquoted(path: str) -> str:
    quoted = len(path) > 2 and path[0] == path[-1] == '"'
    return path[1:-1] if quoted else path


def _labels_at_the_end(line: str) -> list[str]:
    """The words at the end that are 0 or 1; the first word is always path."""
    words = line.split()[1:]
    count = 0
    while count < len(words) and words[-1 - count] in ("0", "1"):
        count += 1
    return words[len(words) - count :]


def _last_word(path: str) -> str:
    """The last word of a path of several; a path of one word may be a number."""
    words = path.rsplit(None, 1)
    return words[1] if len(words) == 2 else ""


def _problem(line: str, columns: int, example: str, least: int) -> str:
    labels = _labels_at_the_end(line)
    before = line.split()[: -len(labels) or None]
    if len(before) > 1 and _NUMBER.fullmatch(before[-1]):
        return f"has {before[-1]!r} where a label, 0 or 1, was expected: {_shown(line)}"
    if len(labels) < least:
        return (
            f"must hold a path and then a 0 or 1 for each of at least {least} classes. "
            f"Received: {_shown(line)}"
        )
    return (
        f"has {len(labels)} labels at its end, and {example} has {columns}. "
        f"Received: {_shown(line)}"
    )


def _shown(line: str) -> str:
    return repr(line if len(line) <= 80 else line[:60] + "…" + line[-16:])
