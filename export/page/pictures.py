"""Where the pictures of an index are: in a folder, or in the data of a run."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

from keras_hashing.command_line.errors import start_tensorflow
from keras_hashing.files.image_folder import image_files

_LOOKED_FOR = 100  # ids, to find out whether they are paths


def open_pictures(
    images: Path | None, index: Path | None, ids: Sequence[str], data_dir: str | None = None
) -> "Pictures":
    """The pictures of an index: in the folder `images`, or of the run whose database it is.

    Raises:
        NotADirectoryError: if there is no such folder.
        FileNotFoundError: if the run or its data is not there.
        ValueError: if the folder has other images, or the run's data has changed.
    """
    if images is None:
        assert index is not None
        start_tensorflow()
        return RunPictures(index, data_dir)
    pictures = FolderPictures(images)
    pictures.check(ids)
    return pictures


class Pictures(Protocol):
    """The pictures of an index, by their ids."""

    def content(self, name: str) -> bytes:
        """The image file of an item; `OSError` if there is none."""


class FolderPictures:
    """Image files in a folder; ids are their paths or, as `--id-from stem` makes them, stems.

    Args:
        folder: the folder.

    Raises:
        NotADirectoryError: if there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NotADirectoryError(f"`--images` must be a folder. Received: {folder}")
        self._folder = folder
        self._by_path_only = False

    def check(self, ids: Sequence[str]) -> None:
        """Refuses a folder that has none of some of the ids of an index, by a `ValueError`."""
        some = [ids[at] for at in range(0, len(ids), max(1, len(ids) // _LOOKED_FOR))]
        self._by_path_only = any(self._at_path(name) for name in some)
        if some and not any(self._find(name) for name in some):
            raise ValueError(
                "`--images` must be the folder of the images that the index was made of. None of "
                f"{len(some)} ids is a file in {str(self._folder)!r}, such as {', '.join(some[:3])}"
            )

    def content(self, name: str) -> bytes:
        """The file of an item; an id that leads out of the folder has none."""
        path = self._find(name)
        if path is None:
            raise FileNotFoundError(f"no file of the folder has the name {name!r}")
        return path.read_bytes()

    def _find(self, name: str) -> Path | None:
        path = self._at_path(name)
        return path if path or self._by_path_only else self._by_stem.get(name)

    def _at_path(self, name: str) -> Path | None:
        path = Path(name)
        if path.is_absolute() or path.drive or ".." in path.parts or "\0" in name:
            return None
        return self._folder / path if (self._folder / path).is_file() else None

    @cached_property
    def _by_stem(self) -> dict[str, Path]:
        return {path.stem: path for path in image_files(self._folder)}


class RunPictures:
    """The images of a finished run's data set, as `training` finds them again."""

    def __init__(self, run: Path, data_dir: str | None = None) -> None:
        from training.data import ImageDataset
        from training.runs.run_data import RunData
        from training.runs.run_folder import RunFolder
        from training.settings import FitSettings

        folder = RunFolder(run)
        begun = folder.read_json(folder.config)
        settings = FitSettings.check(begun["settings"])
        dataset = RunData.load(settings, data_dir, begun=begun).dataset
        if not isinstance(dataset, ImageDataset):
            raise ValueError(f"The run was trained on vectors, so it has no pictures: {run}")
        self._dataset = dataset
        self._positions = {name: at for at, name in enumerate(dataset.ids)}

    def content(self, name: str) -> bytes:
        """The image of an item as a file."""
        if name not in self._positions:
            raise FileNotFoundError(f"No image of the run: {name}")
        content, _ = self._dataset.images.encoded_image(self._positions[name])
        return content
