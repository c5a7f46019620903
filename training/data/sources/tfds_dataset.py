"""Any data set of TensorFlow Datasets (TFDS) that has images and class labels."""

import os
import warnings
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_hashing.command_line.progress import loading_progress
from training.data.image_dataset import ImageDataset
from training.data.sources.encoded_images import EncodedImages
from training.data.sources.tfds_builder import prepared_builder

_PARTS = ("train", "test", "validation")
_READ_AT_ONCE = 256


class _Part(NamedTuple):
    """One split: n encoded images, their ids, and their labels, uint8 [n, C]."""

    encoded: list[bytes]
    ids: list[str]
    labels: np.ndarray


def load_tfds(
    name: str, data_dir: str | os.PathLike[str] | None = None, *, download: bool = False
) -> ImageDataset:
    """Load the splits train, test and validation of a TFDS data set into memory, encoded.

    Images stay as the JPEG or PNG strings that TFDS stores. Labels come from the feature "label"
    (else "labels", else the only one of its kind): a `ClassLabel` gives one-hot labels, a sequence
    of them multi-hot. Ids are the split and the position in it, such as "train/17".

    Args:
        name: The TFDS name, with configuration and version if wanted ("name/config:version").
        data_dir: Where TFDS keeps its prepared data; its own default when None.
        download: Whether to download and prepare the data set when it is not in `data_dir`.

    Returns:
        The data set. Images whose `ClassLabel` is unknown (-1 in TFDS) are left out with a warning.

    Raises:
        ValueError: when there is no such data set (close names are listed), or it has no image or
            no class label (its features are named).
        FileNotFoundError: when it is not prepared and `download` is False.
    """
    builder = prepared_builder(name, data_dir, download=download)
    image, label = _image_feature(name, builder), _label_feature(name, builder)
    if not builder.is_prepared():
        builder.download_and_prepare()
    split_names = [part for part in _PARTS if part in builder.info.splits]
    if not split_names:
        raise ValueError(
            f"Data set {name!r} has none of the splits {list(_PARTS)}. "
            f"It has: {list(builder.info.splits)}"
        )
    parts = [_read_part(builder, split, image, label) for split in split_names]
    return ImageDataset(
        name=name,
        images=EncodedImages([encoded for part in parts for encoded in part.encoded]),
        labels=np.concatenate([part.labels for part in parts]),
        ids=[image_id for part in parts for image_id in part.ids],
        class_names=_class_label(builder.info.features[label]).names,
        part=np.repeat(split_names, [len(part.ids) for part in parts]),
        image_shape=builder.info.features[image].shape,
    )


def _image_feature(name: str, builder: Any) -> str:
    return _choose(
        name,
        builder,
        preferred=("image",),
        fits=lambda feature: isinstance(feature, tfds.features.Image),
        wanted="image feature (tfds.features.Image)",
    )


def _label_feature(name: str, builder: Any) -> str:
    return _choose(
        name,
        builder,
        preferred=("label", "labels"),
        fits=lambda feature: _class_label(feature) is not None,
        wanted="class label (tfds.features.ClassLabel or a Sequence of it)",
    )


def _choose(name: str, builder: Any, preferred: tuple[str, ...], fits: Any, wanted: str) -> str:
    features = builder.info.features
    fitting = [key for key in features if fits(features[key])]
    for key in preferred:
        if key in fitting:
            return key
    if len(fitting) == 1:
        return fitting[0]
    described = ", ".join(f"{key}: {type(features[key]).__name__}" for key in features)
    raise ValueError(
        f"Data set {name!r} needs exactly one {wanted}, or one named "
        f"{' or '.join(map(repr, preferred))}. It has {len(fitting)}; its features are {described}"
    )


def _class_label(feature: Any) -> Any:
    """The ClassLabel that `feature` is or is a sequence of; None for any other feature."""
    inner = feature.feature if isinstance(feature, tfds.features.Sequence) else feature
    return inner if isinstance(inner, tfds.features.ClassLabel) and inner.num_classes else None


def _read_part(builder: Any, split: str, image: str, label: str) -> _Part:
    label_feature = builder.info.features[label]
    class_count = _class_label(label_feature).num_classes
    examples = builder.as_dataset(
        split=split,
        shuffle_files=False,
        read_config=tfds.ReadConfig(interleave_cycle_length=1),  # in the order of the files
        decoders=tfds.decode.PartialDecoding(
            {image: True, label: True}, decoders={image: tfds.decode.SkipDecoding()}
        ),
    )

    def with_multi_hot(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        labels = tf.reshape(example[label], [-1])
        one_hot = tf.one_hot(labels, class_count, on_value=True, off_value=False)
        return example[image], tf.cast(tf.reduce_any(one_hot, axis=0), tf.uint8)

    encoded: list[bytes] = []
    labels: list[np.ndarray] = [np.zeros((0, class_count), np.uint8)]
    with loading_progress(f"Loading {split}", builder.info.splits[split].num_examples) as advance:
        for images, multi_hot in examples.map(with_multi_hot).batch(_READ_AT_ONCE):
            encoded.extend(images.numpy().tolist())
            labels.append(multi_hot.numpy())
            advance(len(multi_hot))
    part = _Part(encoded, [f"{split}/{i}" for i in range(len(encoded))], np.concatenate(labels))
    one_label_each = isinstance(label_feature, tfds.features.ClassLabel)
    return _without_unlabelled(part, split) if one_label_each else part


def _without_unlabelled(part: _Part, split: str) -> _Part:
    labelled = np.flatnonzero(part.labels.any(axis=1))
    if len(labelled) == len(part.ids):
        return part
    warnings.warn(
        f"Left out {len(part.ids) - len(labelled)} of {len(part.ids)} images of {split!r}: "
        "they have no label",
        stacklevel=4,
    )
    return _Part(
        encoded=[part.encoded[position] for position in labelled],
        ids=[part.ids[position] for position in labelled],
        labels=part.labels[labelled],
    )
