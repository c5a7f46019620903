"""Data sets of labelled images: scikit-learn's digits, TFDS, a folder of images, list files."""

from training.data.image_dataset import ImageDataset
from training.data.loading import load_dataset
from training.data.sources.encoded_images import EncodedImages
from training.data.sources.image_files import ImageFiles
from training.data.sources.image_source import ImageSource
from training.data.sources.pixel_arrays import PixelArrays

__all__ = [
    "EncodedImages",
    "ImageDataset",
    "ImageFiles",
    "ImageSource",
    "PixelArrays",
    "load_dataset",
]
