"""What encodes, on every command that encodes: a run, a Keras model, or an exported model."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from export.versions.version_folders import version_folder
from keras_hashing.command_line.errors import start_tensorflow
from keras_hashing.encoder.folder import check_model_file, read_description

if TYPE_CHECKING:
    from export.index.file_encoder import FileEncoder
    from keras_hashing.encoder import HashEncoder

_ENCODER = "What encodes (one of)"

RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        help="Folder of a finished run, as `python -m training fit --output` wrote it, or of a "
        "saved HashEncoder.",
        rich_help_panel=_ENCODER,
    ),
]
KerasOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="Keras model of your own (.keras): with a HashHead, or with codes for its output. It "
        "gets pixels from 0 to 255.",
        rich_help_panel=_ENCODER,
    ),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="Folder of an exported model (one version, or all of them: the highest is taken), or "
        "a Keras model of your own (.keras).",
        rich_help_panel=_ENCODER,
    ),
]
HeightOption = Annotated[
    int | None,
    typer.Option(
        "--height",
        min=1,
        help="Height of the images that a .keras model gets. (default: that of its input)",
        rich_help_panel=_ENCODER,
    ),
]
WidthOption = Annotated[
    int | None,
    typer.Option("--width", min=1, help="Width, likewise.", rich_help_panel=_ENCODER),
]


class EncoderOptions(NamedTuple):
    """The options that name an encoder, checked as far as this needs no TensorFlow.

    Attributes:
        run: the folder of a run, or `None`.
        model: a .keras file or the folder of an exported model, or `None`.
        height: of the images that a .keras file gets.
        width: likewise.
    """

    run: Path | None
    model: Path | None
    height: int | None = None
    width: int | None = None

    def check(self, exported: bool = False) -> "EncoderOptions":
        """Refuses what names no encoder.

        Args:
            exported: whether the model may be an exported one.

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
        elif not exported:
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

    def load_any(self) -> "FileEncoder":
        """The encoder, which may be an exported model; starts TensorFlow."""
        if self.run is not None or self._is_keras_file:
            return self.load()
        start_tensorflow()
        from export.saved_model.served_encoder import ServedEncoder

        return ServedEncoder.load(self._model)

    @property
    def _model(self) -> Path:
        assert self.model is not None
        return self.model

    @property
    def _is_keras_file(self) -> bool:
        return self.model is not None and self.model.suffix == ".keras"

    def __str__(self) -> str:
        name, path = ("--run", self.run) if self.run is not None else ("--model", self.model)
        return f"{name} {shlex.quote(str(path))}"
