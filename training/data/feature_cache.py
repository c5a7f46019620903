"""Features of a frozen backbone, or of its first stages, computed once and kept on disk."""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_hashing.command_line.progress import loading_progress
from keras_hashing.command_line.stages import stage
from keras_hashing.encoder.leaf_layers import leaf_layers
from keras_hashing.files.atomic_write import rename_durably, write_json
from keras_hashing.files.file_lock import file_lock
from keras_hashing.images.preprocessing import ImagePreprocessing
from training.data import ImageDataset
from training.data.pipeline import evaluation_batches

_VERSION = 1
_BATCH = 128
_BATCHES_BETWEEN_SAVES = 16
_IMAGES_IN_DIGEST = 256
_TRAINING_ONLY = (keras.layers.Dropout, keras.layers.GaussianNoise, keras.layers.GaussianDropout)


def cached_features(
    dataset: ImageDataset,
    preprocessing: ImagePreprocessing,
    backbone: keras.Model,
    folder: str | os.PathLike[str],
    verbose: int = 0,
    dtype: str = "float16",
) -> np.ndarray:
    """The backbone's features of all images, from the cache or computed into it.

    The file is `<key>.npy`, the key being `features_key`: other data, preprocessing or weights
    have another key. It appears whole or not at all; an interrupted computation resumes where it
    was; a file that is truncated or changed is computed again.

    Args:
        preprocessing: Size and channels of the backbone's images.
        backbone: Images to features; dropout and the like are off.
        verbose: Whether to say that damaged features are computed again.
        dtype: "float16" or "float32", in which features are kept.

    Returns:
        Features, [N, D], or feature maps, [N, h, w, D], mapped from disk, read-only.

    Raises:
        ValueError: when features are not finite or do not fit `dtype`.
        OSError: when the folder cannot be written.
    """
    if dtype not in ("float16", "float32"):
        raise ValueError(f"`dtype` must be 'float16' or 'float32'. Received: {dtype!r}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    key = features_key(dataset, preprocessing, backbone, dtype)
    shape = (len(dataset), *backbone.output_shape[1:])
    with file_lock(folder / f"{key}.lock"):
        path = folder / f"{key}.npy"
        found = _read(path, shape, dtype)
        if found is not None:
            return found
        if path.exists() and verbose:
            print(f"Features are damaged and computed again: {path}", file=sys.stderr, flush=True)
        with stage("Computing features"):
            _compute(dataset, preprocessing, backbone, path, shape, dtype)
        found = _read(path, shape, dtype)
    if found is None:
        raise OSError(f"Features that were just written cannot be read back: {path}")
    return found


def features_key(
    dataset: ImageDataset,
    preprocessing: ImagePreprocessing,
    backbone: keras.Model,
    dtype: str = "float16",
) -> str:
    """The name of the features: 16 hexadecimal digits.

    SHA-256 over the data set's name, ids, labels and 256 of its images as encoded, over the
    preprocessing, and over the backbone's layers and weights. Dropout leaves no trace in features,
    so its share does not count.
    """
    digest = hashlib.sha256(f"features {_VERSION} {dtype} {dataset.name}".encode())
    digest.update("\n".join(dataset.ids).encode("utf-8", "surrogatepass"))
    digest.update(dataset.labels.tobytes())
    spread = np.linspace(0, len(dataset) - 1, min(_IMAGES_IN_DIGEST, len(dataset)), dtype=int)
    for position in spread:
        digest.update(dataset.images.encoded_image(int(position))[0])
    digest.update(json.dumps(preprocessing.to_config(), sort_keys=True).encode())
    for layer in leaf_layers(backbone):
        if not isinstance(layer, _TRAINING_ONLY):
            config = layer.get_config()
            parts = {name: repr(config[name]) for name in sorted(config) if name != "name"}
            digest.update(json.dumps([type(layer).__name__, parts]).encode())
    for weight in backbone.weights:
        if "seed_generator" not in weight.path:
            value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight.value))
            digest.update(f"{value.shape}{value.dtype}".encode())
            digest.update(value.tobytes())
    return digest.hexdigest()[:16]


def _read(path: Path, shape: tuple[int, ...], dtype: str) -> np.ndarray | None:
    """The features if the file is there and sound."""
    try:
        expected = json.loads(_seal(path).read_text())
        features = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    if features.shape != shape or features.dtype != dtype:
        return None
    return features if _digest(features) == expected.get("sha256") else None


def _seal(path: Path) -> Path:
    """The small file that says what the large one holds; without it the large one is not read."""
    return path.with_suffix(".json")


def _digest(features: np.ndarray) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(features), 512):
        digest.update(np.ascontiguousarray(features[start : start + 512]).tobytes())
    return digest.hexdigest()


def _compute(
    dataset: ImageDataset,
    preprocessing: ImagePreprocessing,
    backbone: keras.Model,
    path: Path,
    shape: tuple[int, ...],
    dtype: str,
) -> None:
    partial, marker = path.with_suffix(".partial.npy"), path.with_suffix(".partial.json")
    done = _rows_done(partial, marker, shape, dtype)
    features = np.lib.format.open_memmap(
        partial, mode="r+" if done else "w+", dtype=dtype, shape=shape
    )

    def save(rows: int) -> None:
        features.flush()
        write_json(marker, {"rows": rows})

    positions = np.arange(done, len(dataset))
    batches = evaluation_batches(dataset, positions, preprocessing, _BATCH)
    with loading_progress("Computing features", len(dataset), done) as advance:
        for number, (images, _) in enumerate(batches, 1):
            block = np.asarray(backbone.predict_on_batch(np.asarray(images)))
            with np.errstate(over="ignore"):
                features[done : done + len(block)] = block
            if not np.isfinite(features[done : done + len(block)]).all():
                raise ValueError(
                    f"Features of images {done} to {done + len(block) - 1} are not finite as "
                    f"{dtype}. Received: values up to {np.abs(block).max()}; dtype='float32' "
                    "holds larger ones"
                )
            done += len(block)
            advance(len(block))
            if number % _BATCHES_BETWEEN_SAVES == 0:
                save(done)
    save(done)
    about: dict[str, Any] = {"sha256": _digest(features), "shape": shape, "dtype": dtype}
    rename_durably(partial, path)
    write_json(_seal(path), about)
    marker.unlink(missing_ok=True)


def _rows_done(partial: Path, marker: Path, shape: tuple[int, ...], dtype: str) -> int:
    """How many rows of an interrupted computation can be kept."""
    try:
        rows = json.loads(marker.read_text())["rows"]
        features = np.load(partial, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    fits = features.shape == shape and features.dtype == dtype
    return rows if fits and isinstance(rows, int) and 0 <= rows <= shape[0] else 0
