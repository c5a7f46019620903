"""Which reading of the reference figures for CIFAR-10 explains them, from the test's queries.

The figures are mAP@all at 32 bits on frozen features of EfficientNet-Lite0 at 128 px, of five
methods without quantization, with 0.1 × their native one (HashNet: the distance from the signs;
0.3, the library's default weight, stands beside it), and with the best of HSWD × {0.1, 1} on
{raw, relaxed} code; and the bits' imbalance without quantization. They name a recipe, and leave
open what else was done. Each method is trained as its paper has it and as a reading of the
imbalance suggests, on the features and splits of a comparison (`python -m training compare`), and
is measured twice: with the database of the protocol `cifar10`, which leaves the training images
out, and with them in it.

    csq-first-rows  CSQ whose centres are the first rows of Sylvester's Hadamard matrix
    dpsh-relaxed    DPSH's likelihood and its native quantization of tanh u

Imbalance is here the mean over bits of |share of +1 - 1/2|.

    python -m benchmarks.quality.reference_recipe --comparison runs/compare --output runs/reference
"""

import dataclasses

import numpy as np

from benchmarks.quality.on_frozen_features import BITS, Benchmark, Results, values
from training.compare.grid_run import GridRun
from training.compare.workers.frozen_data import FrozenData
from training.data.split import Split

OF_REFERENCE = ("cifar10", "cifar10", "efficientnet-lite0", 128, 128)
# Name, and the reference's figures: none, native, HSWD, imbalance of none.
READINGS: dict[str, tuple[float, float, float, float]] = {
    "hashnet": (0.655, 0.658, 0.664, 0.007),
    "dpsh": (0.640, 0.646, 0.655, 0.011),
    "dpsh-relaxed": (0.640, 0.646, 0.655, 0.011),
    "csq": (0.631, 0.631, 0.643, 0.093),
    "csq-first-rows": (0.631, 0.631, 0.643, 0.093),
    "greedyhash": (0.597, 0.636, 0.643, 0.065),
    "dch": (0.648, 0.652, 0.650, 0.022),
}
METHOD_OF = {"csq-first-rows": "csq:random_rows=false", "dpsh-relaxed": "dhn"}
# HashNet's own quantization is a schedule; DPSH's is the distance from the signs.
NATIVE_OF = {"hashnet": ("sign", "raw"), "dpsh-relaxed": ("sign", "relaxed")}
NATIVE_WEIGHTS = (0.1, 0.3)
HSWD = [(weight, place) for weight in (0.1, 1.0) for place in ("raw", "relaxed")]

Column = tuple[str, float, str]


def columns_of(name: str) -> tuple[Column, list[Column], list[Column]]:
    """Quantization, weight and place: none, native, and HSWD."""
    quantization, place = NATIVE_OF.get(name, ("native", ""))
    native = [(quantization, weight, place) for weight in NATIVE_WEIGHTS]
    return ("none", 0.0, ""), native, [("hswd", *setting) for setting in HSWD]


def with_training_images(data: FrozenData) -> FrozenData:
    """The data, with the training images in the database."""
    splits = {
        seed: Split(one.query, one.train, np.union1d(one.database, one.train))
        for seed, one in data.splits.items()
    }
    return dataclasses.replace(data, splits=splits)


def mean_of(results: Results, name: str, column: Column, figure: str = "map") -> float:
    """Mean over the seeds."""
    fields = dict(zip(("quantization", "weight", "place"), column, strict=True))
    return float(values(results, figure, method=METHOD_OF.get(name, name), **fields).mean())


def table(by_database: dict[str, Results]) -> str:
    """The figures beside the reference's, in Markdown."""
    rows = [
        "| method | database | none | native × 0.1 | native × 0.3 | HSWD, best of four | "
        "imbalance of none |",
        "|---" * 7 + "|",
    ]
    for name, (of_none, of_native, of_hswd, imbalance) in READINGS.items():
        none, native, hswd = columns_of(name)
        for database, results in by_database.items():
            figures = [
                (mean_of(results, name, none), of_none),
                *((mean_of(results, name, column), of_native) for column in native),
                (max(mean_of(results, name, column) for column in hswd), of_hswd),
                (mean_of(results, name, none, "bit_balance") / 2, imbalance),
            ]
            cells = [f"{value:.3f} ({value - wanted:+.3f})" for value, wanted in figures]
            rows.append(f"| {name} | {database} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    benchmark = Benchmark(__doc__)
    recipe = benchmark.data.recipe
    found = recipe.dataset, recipe.protocol, recipe.backbone, recipe.height, recipe.width
    if found != OF_REFERENCE:
        benchmark.error(f"--comparison must be of {OF_REFERENCE}. Received: {found}")
    runs = [
        GridRun(METHOD_OF.get(name, name), quantization, BITS, weight, place, seed)
        for name in READINGS
        for none, native, hswd in [columns_of(name)]
        for quantization, weight, place in (none, *native, *hswd)
        for seed in benchmark.seeds
    ]
    results = {
        "54,000": benchmark.finish(runs, "54000"),
        "59,000": benchmark.finish(runs, "59000", with_training_images),
    }
    print("mAP, and in brackets its difference from the reference's:\n")
    print(table(results))


if __name__ == "__main__":
    main()
