"""Random changes to training images."""

from pydantic import ConfigDict, Field

from keras_hashing.settings import Settings


class Augmentation(Settings):
    """Flip, shift, crop, colour and erasing, in this order; all off by default.

    `training.data.augmentation.augment` applies it.

    - flip: mirrors each image left to right with probability one half.
    - shift: moves each image by up to this many pixels along both axes, uniformly, and fills the
      border by reflection.
    - crop: cuts out a random part and stretches it to the size of the image. The part has at least
      this share of the image's area, and sides between 3:4 and 4:3; 1 is off. (Szegedy et al.,
      "Going Deeper with Convolutions", CVPR 2015.)
    - colour: multiplies brightness, contrast and, of RGB, saturation by a factor of its own from
      [1 - colour, 1 + colour].
    - erase: probability that a rectangle, each side 20 to 50% of the image's, becomes mid-grey.
      (Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, with grey for noise.)
    """

    model_config = ConfigDict(title="Augmentation")

    flip: bool = False
    """Mirror half of the training images."""
    shift: int = Field(default=0, ge=0)
    """Shift training images by up to this many pixels, both ways."""
    crop: float = Field(default=1.0, gt=0, le=1)
    """Crop at random, keeping at least this share of the area; 1 for no cropping."""
    colour: float = Field(default=0.0, ge=0, lt=1)
    """Vary brightness, contrast and saturation by up to this share."""
    erase: float = Field(default=0.0, ge=0, le=1)
    """Probability of erasing a rectangle of the image."""

    @property
    def changes_images(self) -> bool:
        """Whether anything is on."""
        return self != Augmentation()


def check_unchanged(option: str, augmentation: Augmentation) -> None:
    """Refuses augmentation beside an option that computes the features of each image once."""
    if augmentation.changes_images:
        raise ValueError(
            f"`{option}` computes the features of each image once, so training images cannot be "
            f"changed at random. Received: {augmentation!r}"
        )
