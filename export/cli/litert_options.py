"""Options of `python -m export litert` and `verify` that are more than a few."""

from pathlib import Path

from pydantic import ConfigDict, Field

from keras_hashing.settings import Settings


class ConversionOptions(Settings):
    """What the files are like, and what int8 is calibrated with."""

    model_config = ConfigDict(title="Files")

    continuous: bool = False
    """Give the continuous code as well, as a second output."""
    free_batch: bool = False
    """Take any number of images or vectors at a time, in place of one."""
    replace: bool = False
    """Replace existing files."""
    calibration_images: int = 500
    """int8: images or vectors that the ranges of activations come from, of a run those it was
    trained on; all of them if there are fewer."""
    seed: int = Field(default=0, ge=0)
    """int8: seed that draws them."""


class DataOptions(Settings):
    """Where images or vectors come from."""

    model_config = ConfigDict(title="Images or vectors")

    image_folder: Path | None = None
    """Folder of images to use in place of the run's own; a .keras model needs it."""
    vectors: Path | None = None
    """File of vectors (.npy, .npz, .parquet) to use in place of the run's own; a .keras model of
    vectors needs it."""
    data_dir: str | None = None
    """Where a run's data is now. (default: as in the run)"""
    image_root: str | None = None
    """Where a run's listed images are now. (default: as in the run)"""

    @property
    def are_named(self) -> bool:
        """Whether the images or vectors are not those of a run.

        Raises:
            ValueError: if both are named.
        """
        if self.image_folder is not None and self.vectors is not None:
            raise ValueError("Name images or vectors: --image-folder or --vectors, one of them")
        return self.image_folder is not None or self.vectors is not None


class WorkOptions(Settings):
    """How much is measured."""

    model_config = ConfigDict(title="Work")

    images: int = Field(default=1000, ge=1)
    """Images or vectors to encode, of a run its queries, spread evenly; all of them if there are
    fewer."""
    margin: float = Field(default=0.1, ge=0)
    """Report bits with |u| above this share of the mean |u| on their own."""
    latency_rounds: int = Field(default=50, ge=1)
    """Times that each file encodes one image or vector."""
