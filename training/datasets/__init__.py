"""Data sets of labelled images: scikit-learn's digits, TFDS, a folder of images, list files."""

from training.datasets.encoded_images import EncodedImages
from training.datasets.image_dataset import ImageDataset
from training.datasets.image_files import ImageFiles
from training.datasets.image_source import ImageSource
from training.datasets.loading import load_dataset
from training.datasets.pixel_arrays import PixelArrays

__all__ = [
    "EncodedImages",
    "ImageDataset",
    "ImageFiles",
    "ImageSource",
    "PixelArrays",
    "load_dataset",
]
