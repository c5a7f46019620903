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

Imbalance is here the mean over bits of |share of +1 - 1/2|. Each finished cell is appended to
`--output`; the same command goes on where it was interrupted.

    python -m benchmarks.reference_recipe --comparison runs/compare --output runs/reference.jsonl
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import on_frozen_features as frozen
from keras_hashing import losses
from keras_hashing.methods import CSQ, DPSH
from keras_hashing.methods.hash_centres import hadamard_matrix
from training.compare.grid_run import GridRun
from training.compare.workers.frozen_data import FrozenData
from training.compare.workers.frozen_trainer import Trainer
from training.data.split import Split


class RelaxedDPSH(DPSH):
    """DPSH of tanh u."""

    native_place = "relaxed"

    def objective(self) -> losses.DPSH:
        """The likelihood of tanh u, which is DHN's."""
        return losses.DHN()


def csq_of_first_rows(bits: int, num_classes: int) -> CSQ:
    """CSQ with the first rows of Sylvester's matrix in place of random ones."""
    method = CSQ(bits, num_classes)
    rows = hadamard_matrix(bits)
    assert rows is not None
    method.centres.assign(rows[:num_classes])
    return method


CHANGED: dict[str, tuple[str, Callable[..., Any]]] = {
    "csq-first-rows": ("csq", csq_of_first_rows),
    "dpsh-relaxed": ("dpsh", RelaxedDPSH),
}
OF_REFERENCE = ("cifar10", "cifar10", "efficientnet-lite0", 128, 128)
# Name, and the reference's figures: none, native, HSWD, imbalance of none.
METHODS: dict[str, tuple[float, float, float, float]] = {
    "hashnet": (0.655, 0.658, 0.664, 0.007),
    "dpsh": (0.640, 0.646, 0.655, 0.011),
    "dpsh-relaxed": (0.640, 0.646, 0.655, 0.011),
    "csq": (0.631, 0.631, 0.643, 0.093),
    "csq-first-rows": (0.631, 0.631, 0.643, 0.093),
    "greedyhash": (0.597, 0.636, 0.643, 0.065),
    "dch": (0.648, 0.652, 0.650, 0.022),
}
HSWD = [("hswd", weight, place) for weight in (0.1, 1.0) for place in ("raw", "relaxed")]
NONE = ("none", 0.0, "")
NATIVE = [("native", weight, "") for weight in (0.1, 0.3)]
COLUMNS = [NONE, *NATIVE, *HSWD]


class TwoDatabases(Trainer):
    """A trainer that also measures with the training images in the database."""

    def _measure(
        self, run: GridRun, model: Any, split: Any, mean: np.ndarray, deviation: np.ndarray
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        figures, arrays = super()._measure(run, model, split, mean, deviation)
        larger = np.sort(np.concatenate([split.database, split.train]))
        with_train = Split(split.query, split.train, larger)
        other = super()._measure(run, model, with_train, mean, deviation)[0]
        return {**figures, "map_with_train": other["map"]}, arrays


def train(
    folder: Path, name: str, column: tuple[str, float, str], seeds: Iterable[int]
) -> list[frozen.Line]:
    """Trains one cell with each seed; one line of results each."""
    quantization, weight, place = column
    if (name, quantization) == ("hashnet", "native"):
        quantization = "sign"  # HashNet's own is a schedule
    method, changed = CHANGED.get(name, (name, None))
    with mock.patch.dict("keras_hashing.methods.METHODS", {method: changed} if changed else {}):
        runs = [
            GridRun(method, quantization, frozen.BITS, weight, place, seed, "grid")
            for seed in seeds
        ]
        trainer = TwoDatabases(runs[0], FrozenData.read(folder))
        lines = []
        for run in runs:
            figures = trainer.train(run)[0]
            lines.append(
                {
                    "name": name,
                    "column": list(column),
                    "seed": run.seed,
                    "map": float(figures["map"]),
                    "map_with_train": float(figures["map_with_train"]),
                    "imbalance": float(figures["bit_balance"]) / 2,
                }
            )
    return lines


def table(lines: list[frozen.Line], seeds: list[int]) -> str:
    """The figures beside the reference's, in Markdown."""
    found = {(line["name"], tuple(line["column"]), line["seed"]): line for line in lines}

    def mean(name: str, column: tuple[str, float, str], figure: str) -> float:
        return float(np.mean([found[name, column, seed][figure] for seed in seeds]))

    rows = [
        "| method | database | none | native × 0.1 | native × 0.3 | HSWD, best of four | "
        "imbalance of none |",
        "|---" * 7 + "|",
    ]
    for name, (none, native, hswd, imbalance) in METHODS.items():
        for database, figure in (("54,000", "map"), ("59,000", "map_with_train")):
            values = [
                (mean(name, NONE, figure), none),
                *((mean(name, column, figure), native) for column in NATIVE),
                (max(mean(name, column, figure) for column in HSWD), hswd),
            ]
            if figure == "map":
                values.append((mean(name, NONE, "imbalance"), imbalance))
            cells = [f"{value:.3f} ({value - wanted:+.3f})" for value, wanted in values]
            cells += [""] * (5 - len(cells))  # the imbalance was measured of the smaller database
            rows.append(f"| {name} | {database} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    parser = frozen.new_parser(__doc__)
    frozen.add_output(parser)
    arguments = parser.parse_args()
    folder = frozen.data_folder(parser, arguments)
    data = FrozenData.read(folder)
    seeds, recipe = frozen.seeds_of(parser, data), data.recipe
    found = recipe.dataset, recipe.protocol, recipe.backbone, recipe.height, recipe.width
    if found != OF_REFERENCE:
        parser.error(f"--comparison must be of {OF_REFERENCE}. Received: {found}")
    done = {
        (line["name"], tuple(line["column"]), line["seed"])
        for line in frozen.read_lines(arguments.output, folder)
    }
    cells = [(name, column) for column in COLUMNS for name in METHODS]
    frozen.train_missing(train, cells, seeds, done, folder, arguments.output, arguments.workers)
    print("mAP, and in brackets its difference from the reference's:\n")
    print(table(frozen.read_lines(arguments.output, folder), seeds))


if __name__ == "__main__":
    main()
