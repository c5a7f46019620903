"""Where Beam finds images: each source gives pairs of an id and a path or a content."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.filesystem import FileMetadata

from export.index.index_items import ImageItems, folder_items, list_items

if TYPE_CHECKING:
    from export.cli.index_options import BeamOptions, ImageOptions

_WILDCARD = re.compile(r"[*?\[]")


class Listed(beam.PTransform):
    """The files that a folder or a list names, and their labels.

    One worker reads the names, so that they need not fit into the description of the job.

    Args:
        items: gives them, on that worker.
        labels: whether to give pairs of an id and a label instead.
    """

    def __init__(self, items: Callable[[], ImageItems], labels: bool = False) -> None:
        super().__init__()
        self._items, self._labels = items, labels

    def expand(self, begin: Any) -> Any:
        """Reads the names, and spreads them over the workers."""

        def named(items: Callable[[], ImageItems], labels: bool) -> Iterator[tuple[str, str]]:
            found = items()
            values = found.labels or () if labels else map(os.path.abspath, found.paths)
            yield from zip(found.ids, values, strict=True)

        return (
            begin
            | beam.Create([self._items])
            | beam.FlatMap(named, self._labels)
            | beam.Reshuffle()
        )


class Matched(beam.PTransform):
    """The files that match a pattern such as `gs://bucket/photos/**.jpg`.

    An id is the path after the folders that the pattern spells out.

    Args:
        pattern: on any file system that Beam reads.
    """

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._pattern = _absolute(pattern)

    def expand(self, begin: Any) -> Any:
        """Lists the files, and spreads them over the workers."""
        fixed = _WILDCARD.split(self._pattern, maxsplit=1)[0]
        root = fixed[: fixed.rfind("/") + 1]

        def named(file: FileMetadata) -> tuple[str, str]:
            return file.path.removeprefix(root), file.path

        return begin | fileio.MatchFiles(self._pattern) | beam.Map(named) | beam.Reshuffle()


class FromTFRecord(beam.PTransform):
    """The images in TFRecord files of `tf.train.Example`.

    Args:
        pattern: the files.
        image: the feature with the content of an image file.
        name: the feature with the id: one string, or one integer.
    """

    def __init__(
        self, pattern: str, image: str = "image/encoded", name: str = "image/filename"
    ) -> None:
        super().__init__()
        self._pattern, self._fields = _absolute(pattern), (image, name)

    def expand(self, begin: Any) -> Any:
        """Reads the records."""
        return begin | beam.io.ReadFromTFRecord(self._pattern) | beam.Map(_of_record, *self._fields)


class FromParquet(beam.PTransform):
    """The images in Parquet files.

    Args:
        pattern: the files.
        image: the column with the contents of image files.
        name: the column with the ids: strings or integers.
    """

    def __init__(self, pattern: str, image: str = "image", name: str = "id") -> None:
        super().__init__()
        self._pattern, self._fields = _absolute(pattern), (image, name)

    def expand(self, begin: Any) -> Any:
        """Reads the rows."""
        return (
            begin
            | beam.io.ReadFromParquet(self._pattern, columns=list(self._fields))
            | beam.Map(_of_row, *self._fields)
        )


def source_and_labels(
    images: "ImageOptions", options: "BeamOptions", class_names: Sequence[str]
) -> tuple[beam.PTransform, beam.PTransform | None]:
    """The source that the options of a command name, and its labels if it has some.

    Raises:
        FileNotFoundError, ValueError: as `folder_items` and `list_items`.
    """
    named = {"image": options.image_field, "name": options.id_field}
    fields = {name: field for name, field in named.items() if field is not None}
    if options.pattern is not None:
        return Matched(options.pattern), None
    if options.tfrecord is not None:
        return FromTFRecord(options.tfrecord, **fields), None
    if options.parquet is not None:
        return FromParquet(options.parquet, **fields), None
    if images.images is not None:
        items = partial(folder_items, images.images.absolute(), images.id_from)
    else:
        assert images.list is not None
        root = None if images.root is None else images.root.absolute()
        items = partial(list_items, images.list.absolute(), root, class_names, images.id_from)
    labels = items().labels  # refuses here what a worker would
    return Listed(items), None if labels is None else Listed(items, labels=True)


def _absolute(pattern: str) -> str:
    return pattern if "://" in pattern else os.path.abspath(pattern)


def _of_record(record: bytes, image: str, name: str) -> tuple[str, bytes]:
    import tensorflow as tf

    features = tf.train.Example.FromString(record).features.feature
    found = {
        key: feature.bytes_list.value or feature.int64_list.value
        for key, feature in features.items()
    }
    row = {key: values[0] for key, values in found.items() if len(values) == 1}
    if isinstance(row.get(name), bytes):
        row[name] = row[name].decode()
    return _checked(row, image, name, "TFRecord file", "--image-field and --id-field name features")


def _of_row(row: dict[str, Any], image: str, name: str) -> tuple[str, bytes]:
    return _checked(row, image, name, "Parquet file", "--image-field and --id-field name columns")


def _checked(
    row: dict[str, Any], image: str, name: str, kind: str, options: str
) -> tuple[str, bytes]:
    content, identity = row.get(image), row.get(name)
    if not isinstance(content, bytes) or not isinstance(identity, str | int):
        found = ", ".join(f"{key} ({type(value).__name__})" for key, value in sorted(row.items()))
        raise ValueError(
            f"Each item of a {kind} must have {image!r}, the bytes of an image file, and {name!r}, "
            f"a string or an integer; {options}. Received: {found or 'neither'}"
        )
    return str(identity), content
