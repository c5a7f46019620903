"""A data set of images."""

from dataclasses import dataclass

from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data.dataset import Dataset
from training.data.sources.image_files import ImageFiles
from training.data.sources.image_source import ImageSource


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageDataset(Dataset):
    """Images with their labels and names.

    Args:
        images: Where the n images come from.
        image_shape: (height, width, channels) of the originals; None where they differ.
        **others: As in `Dataset`.

    Raises:
        ValueError: as `Dataset`, or when there are not as many ids as images.
    """

    images: ImageSource
    image_shape: tuple[int | None, int | None, int | None] = (None, None, None)

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.images):
            raise ValueError(
                f"`ids` must have one entry for each of the {len(self.images)} images. "
                f"Received: {len(self.ids)}"
            )
        super().__post_init__()

    def preprocessing(
        self,
        height: int | None = None,
        width: int | None = None,
        channels: int | None = None,
        native_size: int | None = None,
    ) -> ImagePreprocessing:
        """Preprocessing that keeps the originals' shape wherever nothing else is asked for.

        Args:
            height: Height in pixels; when None, `native_size` for image files, else the originals'.
            width: Width in pixels, likewise.
            channels: 1 or 3; the originals' without alpha when None.
            native_size: Height and width that a pretrained backbone was trained on.

        Raises:
            ValueError: naming what must be given, because the originals differ in it.
        """
        wanted = {"height": height, "width": width, "channels": channels}
        originals = dict(zip(wanted, self.image_shape, strict=True))
        if originals["channels"] in (2, 4):
            originals["channels"] -= 1
        if native_size is not None and isinstance(self.images, ImageFiles):
            originals |= {"height": native_size, "width": native_size}
        chosen = {
            name: originals[name] if value is None else value for name, value in wanted.items()
        }
        missing = [name for name, value in chosen.items() if value is None]
        if missing:
            raise ValueError(
                f"The images of data set {self.name!r} differ in {' and '.join(missing)}: "
                "say what they should be (on the command line by --height, --width, --channels)."
            )
        return ImagePreprocessing(**chosen)  # type: ignore[arg-type]
