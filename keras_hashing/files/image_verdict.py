"""What is wrong with a file that should be an image, in the same words everywhere.

Nothing is decoded here: what passes may still be damaged, which the decoder finds out.
"""

from collections.abc import Mapping
from pathlib import Path

from keras_hashing.files.atomic_write import write_text

MOST_PIXELS = 2**26  # 200 MB of RGB; 8192×8192

DAMAGED = "is damaged, or of a kind that TensorFlow cannot decode"
TOO_LARGE = f"has more than {MOST_PIXELS:,} pixels: make it smaller"
NO_IMAGE = "is no image (JPEG, PNG, WebP, BMP or GIF)"
_NAMED_AT_MOST = 5

# Other formats by their first bytes; "." is any byte.
_OTHERS = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"8BPS", "Photoshop"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"....ftypavi", "AVIF"),
    (b"....ftyphe", "HEIC"),
    (b"....ftypmif1", "HEIC"),
    (b"....ftypmsf1", "HEIC"),
    (b"\0\0\1\0", "ICO"),
    (b"%PDF-", "PDF"),
)


def verdict(content: bytes) -> str | None:
    """What is wrong with the content of a file, such as "is empty"; None if it may be decoded."""
    if not content:
        return "is empty"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        pixels = _big(content[16:20]) * _big(content[20:24])
    elif content.startswith(b"\xff\xd8\xff"):
        pixels = _pixels_of_jpeg(content)
    elif content.startswith(b"BM"):
        if _has_colour_palette(content):
            return f"is a BMP with a colour palette: {_CONVERT}"
        height = int.from_bytes(content[22:26], "little", signed=True)
        pixels = int.from_bytes(content[18:22], "little") * abs(height)
    elif _matches(content, b"RIFF....WEBP"):
        if content[12:16] == b"VP8X" and content[20:21] and content[20] & 0x02:
            return f"is an animated WebP: {_CONVERT}"
        pixels = _pixels_of_webp(content)
    elif content.startswith((b"GIF87a", b"GIF89a")):
        pixels = _pixels_of_gif(content)
    else:
        return _of_another_format(content)
    if pixels > MOST_PIXELS:
        return TOO_LARGE
    return None


def unreadable(error: OSError) -> str:
    """The verdict on a file that cannot be read."""
    return f"cannot be read ({error.strerror or error})"


_CONVERT = "convert it to JPEG or PNG"


def report(problems: Mapping[str, str], of: str, left_out: bool = False) -> str:
    """One message on files that cannot be used: a line for each reason, with some of the names.

    Args:
        problems: The verdict on each file, by its name.
        of: What they are some of, such as "5 files of 'images'".
        left_out: Whether they are left out, or stop what was to be done.
    """
    by_reason: dict[str, list[str]] = {}
    for name, problem in problems.items():
        by_reason.setdefault(problem, []).append(name)
    lines = [f"{len(problems):,} of {of} {'are left out' if left_out else 'cannot be used'}:"]
    for problem, names in sorted(by_reason.items(), key=lambda entry: -len(entry[1])):
        more = len(names) - _NAMED_AT_MOST
        shown = ", ".join(map(repr, names[:_NAMED_AT_MOST])) + (f" and {more} more" * (more > 0))
        lines.append(f"  {len(names):5,}  {problem}: {shown}")
    return "\n".join(lines)


def write_verdicts(path: Path, problems: Mapping[str, str]) -> None:
    """Writes a line for each file that cannot be used: its name, a tab, the verdict."""
    write_text(path, "".join(f"{name}\t{problem}\n" for name, problem in problems.items()))


def _of_another_format(content: bytes) -> str:
    for magic, name in _OTHERS:
        if _matches(content, magic):
            article = "an" if name[0] in "AI" else "a"
            return f"is {article} {name} file: {_CONVERT}"
    start = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<svg") or (start.startswith((b"<?xml", b"<!--")) and b"<svg" in start):
        return f"is an SVG file: {_CONVERT}"
    return NO_IMAGE


def _matches(content: bytes, magic: bytes) -> bool:
    return len(content) >= len(magic) and all(
        expected in (ord("."), byte) for byte, expected in zip(content, magic, strict=False)
    )


def _big(digits: bytes) -> int:
    return int.from_bytes(digits, "big")


def _pixels_of_jpeg(content: bytes) -> int:
    """Those in the frame header; 0 where there is none."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _big(content[at + 5 : at + 7]) * _big(content[at + 7 : at + 9])
        at += 1 if marker == 0xFF else 2 + _big(content[at + 2 : at + 4])
    return 0


def _pixels_of_webp(content: bytes) -> int:
    def little(at: int, size: int) -> int:
        return int.from_bytes(content[at : at + size], "little")

    match content[12:16]:
        case b"VP8 ":
            return little(26, 2) % 2**14 * (little(28, 2) % 2**14)
        case b"VP8L":
            return (little(21, 4) % 2**14 + 1) * (little(21, 4) // 2**14 % 2**14 + 1)
        case _:
            return (little(24, 3) + 1) * (little(27, 3) + 1)


def _pixels_of_gif(content: bytes) -> int:
    """As `keras_hashing.images.header` counts them: the decoder makes room for all frames."""

    def table(flags: int) -> int:
        return 6 << (flags & 7) if flags & 0x80 else 0

    widest = highest = total = 0
    at = 13 + table(content[10]) if len(content) > 10 else len(content)
    while at + 10 < len(content) and content[at] in (0x2C, 0x21):
        if content[at] == 0x2C:
            width, height = (
                int.from_bytes(content[at + place : at + place + 2], "little") for place in (5, 7)
            )
            widest, highest = max(widest, width), max(highest, height)
            total += width * height
            at += 11 + table(content[at + 9])
        else:
            at += 2
        while at < len(content) and content[at]:  # a chain of blocks, with their lengths
            at += content[at] + 1
        at += 1
    return total if total > 3 * MOST_PIXELS else widest * highest


def _has_colour_palette(content: bytes) -> bool:
    """Whether it is a BMP whose colours TensorFlow would read wrongly: it takes them for greys."""
    if int.from_bytes(content[28:30], "little") > 8:
        return False
    start = 14 + int.from_bytes(content[14:18], "little")
    end = min(int.from_bytes(content[10:14], "little"), start + 4 * 256)
    palette = content[start:end]
    return any(
        palette[at : at + 3] != bytes([at // 4] * 3) for at in range(0, len(palette) // 4 * 4, 4)
    )
