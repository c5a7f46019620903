"""Figure: queries of a finished run and their nearest database images.

One query of each class, the first in the order of the data set; a hit (an image that shares a label
with the query) has a green frame, a miss a red one.
"""

import argparse
import io
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from keras_hashing.retrieval import CodeIndex, pack_codes
from training.data.image_dataset import ImageDataset
from training.data.pipeline import evaluation_batches
from training.runs.run_folder import load_run

HIT, MISS = "#2e9e5b", "#d0402f"


def picture(dataset: ImageDataset, position: int) -> np.ndarray:
    """The original image, as matplotlib reads its file."""
    content, suffix = dataset.images.encoded_image(int(position))
    return plt.imread(io.BytesIO(content), format=suffix.removeprefix("."))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a finished run")
    parser.add_argument("--data-dir", help="where its data is now")
    parser.add_argument("--queries", type=int, default=6, help="classes to show")
    parser.add_argument("--k", type=int, default=10, help="neighbours of each query")
    parser.add_argument("--output", type=Path, required=True, help="the PNG file to write")
    arguments = parser.parse_args()
    run = load_run(arguments.run)
    data = run.data(arguments.data_dir)
    labels, database = data.dataset.labels, data.split.database
    first_of_class = [
        data.split.query[np.flatnonzero(labels[data.split.query, column])[0]]
        for column in np.linspace(0, labels.shape[1] - 1, arguments.queries, dtype=int)
    ]
    query = np.array(first_of_class)
    batches = evaluation_batches(data.dataset, query, run.preprocessing, 256)
    codes = run.model.encoder.predict(batches.map(lambda images, _: images), verbose=0)
    index = CodeIndex.load(run.index_path)
    positions, distances = index.search(pack_codes(codes), k=arguments.k)

    columns = arguments.k + 1
    figure, axes = plt.subplots(
        len(query), columns, figsize=(0.92 * columns, 1.08 * len(query)), squeeze=False,
        gridspec_kw={"width_ratios": [1.15] + [1] * arguments.k},
    )  # fmt: skip
    for row, position in enumerate(query):
        shown = [position, *database[positions[row]]]
        for column, (axis, at) in enumerate(zip(axes[row], shown, strict=True)):
            axis.imshow(picture(data.dataset, at), cmap="gray")
            axis.set(xticks=[], yticks=[])
            hit = bool((labels[at] & labels[position]).any())
            for spine in axis.spines.values():
                spine.set(color=(HIT if hit else MISS) if column else "#222222", linewidth=2.2)
            if column:
                axis.set_xlabel(distances[row, column - 1], fontsize=7, labelpad=1.5)
        (name,) = np.flatnonzero(labels[position])[:1]
        axes[row][0].set_ylabel(data.dataset.class_names[name], fontsize=9)
    axes[0][0].set_title("query", fontsize=9)
    axes[0][1].set_title("nearest (Hamming distance below)", fontsize=9, loc="left")
    figure.subplots_adjust(0.035, 0.035, 0.995, 0.945, wspace=0.06, hspace=0.3)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.output, dpi=130)
    print(arguments.output)


if __name__ == "__main__":
    main()
