"""What encodes, on every command that encodes: a run, a Keras model, or an exported model."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import ConfigDict, Field

from export.versions.version_folders import version_folder
from keras_hashing.command_line.errors import start_tensorflow
from keras_hashing.encoder.folder import check_model_file, read_description
from keras_hashing.settings import Settings

if TYPE_CHECKING:
    from export.index.file_encoder import FileEncoder
    from keras_hashing.encoder import HashEncoder

_RUN = (
    "Folder of a finished run, as `python -m training fit --output` wrote it, or of a saved "
    "HashEncoder."
)
_KERAS = (
    "Keras model of your own (.keras): with a HashHead, or with codes for its output. It gets "
    "pixels from 0 to 255, or vectors."
)


class EncoderOptions(Settings):
    """A run, or a Keras model of the user's own."""

    model_config = ConfigDict(title="What encodes (one of)")

    run: Path | None = Field(default=None, description=_RUN)
    model: Path | None = Field(default=None, description=_KERAS)
    height: int | None = Field(default=None, ge=1)
    """Height of the images that a .keras model gets. (default: that of its input)"""
    width: int | None = Field(default=None, ge=1)
    """Width, likewise."""

    _may_be_exported: ClassVar[bool] = False

    def refuse_early(self) -> Self:
        """Refuses what names no encoder, as far as this needs no TensorFlow.

        Raises:
            FileNotFoundError: if there is no such run or model.
            ValueError: if not exactly one is named, or the options do not fit each other.
        """
        if (self.run is None) == (self.model is None):
            raise ValueError("Name what encodes: --model or --run, one of them")
        sized = self.height is not None or self.width is not None
        if self.run is not None:
            if sized:
                raise ValueError("--height and --width go with --model FILE.keras, not with --run")
            read_description(self.run)
        elif self._is_keras_file:
            check_model_file(self._model, self.height, self.width)
        elif not self._may_be_exported:
            raise ValueError(
                f"--model must be a Keras model, a file that ends in .keras. Received: {self.model}"
            )
        elif sized:
            raise ValueError("--height and --width go with --model FILE.keras only")
        else:
            version_folder(self._model)
        return self

    def load(self) -> "HashEncoder":
        """The encoder of a run or of a .keras file; starts TensorFlow."""
        start_tensorflow()
        from keras_hashing.encoder import HashEncoder

        if self.run is not None:
            return HashEncoder.load(self.run)
        return HashEncoder.from_file(self._model, self.height, self.width)

    @property
    def _model(self) -> Path:
        assert self.model is not None
        return self.model

    @property
    def _is_keras_file(self) -> bool:
        return self.model is not None and self.model.suffix == ".keras"


class AnyEncoderOptions(EncoderOptions):
    """A run, a Keras model of the user's own, or an exported model."""

    model: Path | None = None
    """Folder of an exported model (one version, or all of them: the highest is taken), or a Keras
    model of your own (.keras)."""

    _may_be_exported: ClassVar[bool] = True

    def load_any(self) -> "FileEncoder":
        """The encoder, which may be an exported model; starts TensorFlow."""
        if self.run is not None or self._is_keras_file:
            return self.load()
        start_tensorflow()
        from export.saved_model.served_encoder import ServedEncoder

        return ServedEncoder.load(self._model)

    @contextmanager
    def exported(self) -> Iterator[Path]:
        """The version folder of the exported model; of a run or .keras file, a temporary one."""
        if self.run is None and not self._is_keras_file:
            yield version_folder(self._model).absolute()
            return
        encoder = self.load()
        from export.saved_model.export_saved_model import export_saved_model

        with tempfile.TemporaryDirectory() as folder:
            yield export_saved_model(encoder, folder)
