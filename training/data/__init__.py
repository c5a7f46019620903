"""Data sets of labelled images: scikit-learn's digits, TFDS, a folder of images, list files.

The names here load when they are first used: settings need only the protocols, which load no
TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.data.dataset import Dataset as Dataset
    from training.data.image_dataset import ImageDataset as ImageDataset
    from training.data.loading import load_dataset as load_dataset
    from training.data.sources.encoded_images import EncodedImages as EncodedImages
    from training.data.sources.image_files import ImageFiles as ImageFiles
    from training.data.sources.image_source import ImageSource as ImageSource
    from training.data.sources.pixel_arrays import PixelArrays as PixelArrays
    from training.data.sources.vectors import VectorDataset as VectorDataset

_FILES = {
    "Dataset": "dataset",
    "EncodedImages": "sources.encoded_images",
    "ImageDataset": "image_dataset",
    "ImageFiles": "sources.image_files",
    "ImageSource": "sources.image_source",
    "PixelArrays": "sources.pixel_arrays",
    "VectorDataset": "sources.vectors",
    "load_dataset": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'training.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"training.data.{_FILES[name]}"), name)
