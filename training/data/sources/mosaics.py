"""Multi-label images made from single-label ones: 2×2 mosaics, written as list files."""

import os
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_hashing.command_line.progress import loading_progress
from training.data.image_dataset import ImageDataset
from training.data.sources.list_files import CLASSES_NAME, LIST_NAMES, list_line

SOURCES_NAME = "sources.txt"

_TILES = 4


def write_mosaics(
    dataset: ImageDataset,
    output: str | os.PathLike[str],
    *,
    query: int = 500,
    train: int = 2000,
    database: int = 5000,
    seed: int = 0,
) -> None:
    """Writes 2×2 mosaics of a data set's images, with the list files that load them.

    A mosaic has twice the height and width of a source image, and the labels of all four. Each
    source image is in one mosaic at most, so query, training set and database share none. The
    training set is drawn from the database, as in NUS-WIDE's lists. The same data set, numbers and
    seed give the same files.

    The folder appears whole or not at all: it is written under a temporary name beside it. It holds
    PNG images in `query/` and `database/`, the lists `test.txt`, `train.txt` and `database.txt`
    (see `training.data.sources.list_files`), `classes.txt`, and `sources.txt`: the path of a mosaic
    and the ids of its sources (upper left, upper right, lower left, lower right), tab-separated.

    Args:
        dataset: The source images, all of one size.
        query: How many mosaics to search with.
        train: How many of the database's mosaics to train on.
        database: How many mosaics to search in.

    Raises:
        FileExistsError: when `output` exists and is not an empty folder.
        ValueError: when a number does not fit, there are too few source images, or they differ in
            size.
        OSError: when a file cannot be written.
    """
    folder = Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"The output folder exists and is not empty: {folder}")
    _check_numbers(dataset, query, train, database, seed)
    random = np.random.default_rng(seed)
    sources = random.permutation(len(dataset))[: (query + database) * _TILES].reshape(-1, _TILES)
    trained_on = np.sort(random.choice(database, train, replace=False))
    names = [
        f"{part}/{number:06}.png"
        for part, count in (("query", query), ("database", database))
        for number in range(count)
    ]
    lines = [
        list_line(name, labels)
        for name, labels in zip(names, dataset.labels[sources].max(axis=1), strict=True)
    ]
    listed = {"query": lines[:query], "database": lines[query:]}
    listed["train"] = [listed["database"][position] for position in trained_on]
    files = {file: listed[part] for part, file in LIST_NAMES.items()}
    files[CLASSES_NAME] = dataset.class_names
    files[SOURCES_NAME] = [
        "\t".join([name, *(dataset.ids[source] for source in of_mosaic)])
        for name, of_mosaic in zip(names, sources, strict=True)
    ]

    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)  # of a call that was killed
    try:
        _write_images(dataset, sources, [temporary / name for name in names])
        for file, content in files.items():
            (temporary / file).write_text("\n".join(content) + "\n", encoding="utf-8")
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_numbers(dataset: ImageDataset, query: int, train: int, database: int, seed: int) -> None:
    numbers = {"query": query, "train": train, "database": database}
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {value}")
    if train > database:
        raise ValueError(
            "`train` must be at most `database`, from which it is drawn. "
            f"Received: train={train}, database={database}"
        )
    needed = (query + database) * _TILES
    if needed > len(dataset):
        raise ValueError(
            f"{query + database} mosaics take {needed} source images, each used once. "
            f"Received: data set {dataset.name!r} with {len(dataset)}"
        )
    if seed < 0:
        raise ValueError(f"`seed` must be 0 or more. Received: {seed}")


def _write_images(dataset: ImageDataset, sources: np.ndarray, paths: list[Path]) -> None:
    """Write one mosaic of each row of `sources` (int [n, 4]) to each path."""
    for parent in {path.parent for path in paths}:
        parent.mkdir(parents=True)
    tiles = dataset.images.images(sources.ravel(), dataset.preprocessing())
    with loading_progress("Writing mosaics", len(paths)) as advance:
        for path, four in zip(paths, tiles.batch(_TILES), strict=True):
            upper = tf.concat([four[0], four[1]], axis=1)
            lower = tf.concat([four[2], four[3]], axis=1)
            path.write_bytes(tf.io.encode_png(tf.concat([upper, lower], axis=0)).numpy())
            advance(1)
