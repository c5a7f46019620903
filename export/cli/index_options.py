"""What an index is made of, images or vectors, and what is done about bad ones."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import typer
from pydantic import ConfigDict, Field

from keras_hashing.command_line.options import options_of
from keras_hashing.files.image_folder import RULE
from keras_hashing.files.vector_file import VECTOR_FORMATS, open_vectors
from keras_hashing.settings import Settings

if TYPE_CHECKING:
    from export.index.index_items import IndexItems


AnyIndexOption = Annotated[
    Path, typer.Option("--index", help="Index file (.npz), or the folder of a finished run.")
]


class ImageOptions(Settings):
    """A folder, a data set, a list file or a file of vectors, and how it is encoded."""

    images: Path | None = Field(
        default=None,
        description=f"Folder of image files. {RULE} Ids are paths relative to the folder.",
    )
    dataset: str | None = None
    """'digits', 'folder' (--data-dir holds one subfolder per class), or the name of a TFDS data
    set. Ids are those of the training, such as train/17."""
    list: Path | None = None
    """List file, one line per image: its path and, if there are labels, a 0 or 1 for each class
    (`path 0 1 0`). Ids are the paths."""
    vectors: Path | None = Field(
        default=None,
        description=f"File of vectors, for a model of vectors. {VECTOR_FORMATS} (default for ids: "
        "0, 1, …)",
    )
    data_dir: Path | None = None
    """--dataset: where the data is."""
    part: str | None = None
    """--dataset: only this part, such as test. (default: all)"""
    root: Path | None = None
    """--list, --dataset lists: what their paths are relative to. (default: the folder of the list,
    or --data-dir)"""
    id_from: Literal["path", "stem"] = "path"
    """--images, --list: 'stem' takes the file name without folder and suffix for the id, so that
    cats/17.jpg is 17."""
    on_bad_image: Literal["error", "skip"] = "error"
    """Image files that cannot be read or decoded, and vectors that are not finite or zero: name all
    of them and fail, or leave them out with a warning and list them in INDEX.skipped.txt."""
    resume: bool = False
    """Resume what was interrupted; its codes lie in the folder INDEX.partial."""

    def refuse_early(self) -> Self:
        """Refuses what cannot be encoded, as far as this needs no TensorFlow.

        Raises:
            ValueError: unless one source is named, or if it is a bad file of vectors.
        """
        if [self.images, self.dataset, self.list, self.vectors].count(None) != 3:
            raise ValueError(
                "Name what to encode: --images, --dataset, --list or --vectors, one of them"
            )
        if self.dataset == "vectors":
            raise ValueError("Vectors are named by --vectors FILE. Received: --dataset vectors")
        if self.vectors is not None:
            open_vectors(self.vectors)
        return self

    def items(self, class_names: Sequence[str]) -> "IndexItems":
        """The images or vectors that are named.

        Args:
            class_names: What the columns of a list file may be called.
        """
        from export.index.index_items import dataset_items, folder_items, list_items, vector_items

        if self.vectors is not None:
            return vector_items(self.vectors)
        if self.images is not None:
            return folder_items(self.images, self.id_from)
        if self.list is not None:
            return list_items(self.list, self.root, class_names, self.id_from)
        from training.data import load_dataset

        assert self.dataset is not None
        dataset = load_dataset(self.dataset, self.data_dir, image_root=self.root)
        return dataset_items(dataset, self.part)


class BeamOptions(Settings):
    """Encoding on several processes or machines."""

    model_config = ConfigDict(title="Apache Beam")

    beam: bool = False
    """Encode with Apache Beam: --images or --list, or one of the next three. --output is then a
    folder of shards, of which `index from-shards` makes an index. Options of Beam follow after
    `--`."""
    pattern: str | None = None
    """Image files, such as 'gs://bucket/photos/**.jpg'. Ids are the paths after the folders that it
    spells out."""
    tfrecord: str | None = None
    """TFRecord files (a pattern) of tf.train.Example."""
    parquet: str | None = None
    """Parquet files (a pattern)."""
    image_field: str | None = None
    """--tfrecord, --parquet: where the contents of image files are. (default: image/encoded; image)
    """
    id_field: str | None = None
    """--tfrecord, --parquet: where the ids are, strings or integers. (default: image/filename; id)
    """
    shards: int = Field(default=32, ge=1)
    """Number of shards."""
    runner: str = "FnApiRunner"
    """Who runs the job: FnApiRunner (this machine), FlinkRunner, DataflowRunner, …"""

    def refuse_early(self, images: ImageOptions, beam_options: Sequence[str]) -> Self:
        """Refuses options that do not fit each other, or a missing package.

        Raises:
            ImportError: if Beam is wanted and not installed.
            ValueError: if an option goes with --beam only or not with it, or not exactly one source
                is named.
        """
        own = self.model_dump(include=set(_BEAM_SOURCES))
        if not self.beam:
            given = [name for name, value in own.items() if value is not None]
            if given or beam_options:
                raise ValueError(
                    f"{f'--{given[0]}' if given else 'What follows after `--`'} goes with --beam"
                )
            return self
        sources = [*own.values(), images.images, images.list]
        if images.dataset is not None or images.vectors is not None or sources.count(None) != 4:
            raise ValueError(
                "Name what Beam is to encode: --images, --list, --pattern, --tfrecord or --parquet,"
                " one of them"
            )
        if images.resume:
            raise ValueError("--resume does not go with --beam: run the same command again")
        if find_spec("apache_beam") is None:
            raise ImportError("apache_beam is not installed: pip install 'keras-hashing[beam]'")
        return self


_BEAM_SOURCES = ("pattern", "tfrecord", "parquet")

IMAGE_OPTIONS = (
    *options_of(ImageOptions, ("images", "dataset", "list", "vectors"), "Items (one of)"),
    *options_of(ImageOptions, ("data_dir", "part", "root", "id_from"), "About the images"),
    *options_of(ImageOptions, ("on_bad_image", "resume"), "Work"),
)
