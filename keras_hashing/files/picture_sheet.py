"""A page in one HTML file that needs nothing else: queries and what they found, and figures."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from typing import NamedTuple

from keras_hashing.files.thumbnail import thumbnail

MOST_BYTES = 5_000_000
_SIZE = 144  # of a picture's longer side

_STYLE = (resources.files("keras_hashing.files") / "picture_sheet.css").read_text("utf-8")


class Shown(NamedTuple):
    """A picture on the sheet.

    Attributes:
        name: its name.
        note: what else to say, such as its label and distance.
        content: the image file, or `None` if there is none.
        relevant: whether it is a hit or a miss; `None` where nobody knows.
    """

    name: str
    note: str
    content: bytes | None
    relevant: bool | None = None


class PictureSheet:
    """A sheet that grows by its parts, up to a size.

    Args:
        about: a sentence on it, if any.
        most_bytes: the size of the file at most, as far as its rows decide it.
    """

    def __init__(self, title: str, about: str = "", most_bytes: int = MOST_BYTES) -> None:
        self._title = title
        self._parts: list[str] = []
        self._left = most_bytes - len(_STYLE) - 10_000
        self._add(f"<h1>{escape(title)}</h1>")
        if about:
            self.paragraph(about)

    def facts(self, facts: Mapping[str, str]) -> None:
        """Adds a table of names and values."""
        rows = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
        self._add(f"<dl>{''.join(rows)}</dl>")

    def section(self, heading: str, about: str = "") -> None:
        """Adds a heading, and a sentence under it."""
        self._add(f"<h2>{escape(heading)}</h2>")
        if about:
            self.paragraph(about)

    def paragraph(self, text: str) -> None:
        """Adds some sentences."""
        self._add(f"<p>{escape(text)}</p>")

    def details(self, summary: str, text: str) -> None:
        """Adds some sentences that are shown when they are asked for."""
        self._add(f"<details><summary>{escape(summary)}</summary><p>{escape(text)}</p></details>")

    def answer(self, lines: Iterable[str]) -> None:
        """Adds what the page has to say, each line larger than a paragraph; `**` marks bold."""
        self._add(f'<div class="answer">{"".join(f"<p>{_bold(line)}</p>" for line in lines)}</div>')

    def code(self, lines: Iterable[str]) -> None:
        """Adds commands, each to be copied as it stands."""
        self._add("".join(f'<pre tabindex="0">{escape(line)}</pre>' for line in lines))

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        note: str = "",
        groups: bool = False,
    ) -> None:
        """Adds a table of texts, in which `**` marks bold.

        Args:
            header: names of the columns.
            rows: as many texts per row as there are columns; the first names the row.
            note: how to read it.
            groups: whether a line parts rows of different names.
        """
        text = "".join(f"<th scope=col>{escape(name)}</th>" for name in header)
        body = ""
        for number, (name, *cells) in enumerate(rows):
            parted = groups and number and rows[number - 1][0] != name
            body += f"<tr{' class=first' if parted else ''}><th scope=row>{escape(name)}</th>"
            body += "".join(f"<td>{_bold(cell)}</td>" for cell in cells) + "</tr>"
        table = f"<table><thead><tr>{text}</tr></thead><tbody>{body}</tbody></table>"
        self._add(f'<div class="scroll" tabindex="0">{table}</div>')
        if note:
            self.paragraph(note)

    def row(self, query: Shown, found: Sequence[Shown]) -> bool:
        """Adds a query and what it found, unless it does not fit; returns whether it did."""
        pictures = [_picture(query, "query"), *(_picture(one) for one in found)]
        row = f"<ol>{''.join(pictures)}</ol>"
        if len(row) > self._left:
            return False
        self._add(row)
        return True

    def rows(self, rows: Sequence[tuple[Shown, Sequence[Shown]]]) -> None:
        """Adds as many rows as fit, and says how many do not."""
        for number, (query, found) in enumerate(rows):
            if not self.row(query, found):
                self._add(
                    f"<p>{len(rows) - number:,} more of {len(rows):,} queries would make this file "
                    "larger than 5 MB.</p>"
                )
                return

    def figure(self, png: bytes, caption: str, wide: bool = False) -> None:
        """Adds a drawing, over the whole width or beside others."""
        source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        self._add(
            f'<figure{" class=wide" * wide}><img alt="{escape(caption)}" src="{source}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )

    def html(self) -> str:
        """The file."""
        text = (
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self._title)}</title>\n<style>\n{_STYLE}</style>\n<main>\n"
            + "\n".join(self._parts)
            + "\n</main>\n</html>\n"
        )
        return text.encode(errors="replace").decode()  # of names that are no UTF-8

    def _add(self, part: str) -> None:
        self._parts.append(part)
        self._left -= len(part)


def _bold(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(text))


def _picture(shown: Shown, kind: str = "") -> str:
    judged = "" if shown.relevant is None else "hit" if shown.relevant else "miss"
    what = kind.capitalize() or {None: "Found", True: "Hit", False: "Miss"}[shown.relevant]
    alt = escape(": ".join(filter(None, (what, shown.name, shown.note))))
    try:
        if shown.content is None:
            raise ValueError("no picture")
        small = thumbnail(shown.content, _SIZE)
        source = f"data:{small.media_type};base64,{base64.b64encode(small.content).decode()}"
        tiny = ' class="tiny"' if small.tiny else ""
        image = f'<img{tiny} alt="{alt}" src="{source}">'
    except ValueError as error:
        image = f'<span class="none">{escape(str(error))}</span>'
    note = f"<b>{escape(shown.note)}</b>" if shown.note else ""
    return f'<li class="{kind or judged}">{image}{note}<span>{escape(shown.name)}</span></li>'
