"""What the benchmarks on frozen features share.

`trained_head` trains one head as `fit --frozen` does, and `run_cells` trains and measures one for
each cell of a table, a line of `--output` each. A `Benchmark` is on the features of a comparison:
its runs are runs of a grid, workers of `compare` train them, and each result is kept in `--output`
at once. Either way the same command resumes an interrupted benchmark.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_hashing.names import METHODS
from training.compare.comparison_folder import ComparisonFolder
from training.compare.finish_runs import finish_runs
from training.compare.grid_run import GridRun
from training.compare.results_file import ResultsFile
from training.compare.workers.frozen_data import FrozenData
from training.data.neighbours import nearest_rows
from training.data.pipeline import evaluation_feature_batches, training_feature_batches
from training.data.rows import Rows
from training.runs.run_data import RunData
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.evaluate import evaluate
from training.trainer.frozen_features import frozen_features
from training.trainer.model import new_model

BITS = 32
# CIFAR-10 by the frozen EfficientNet-Lite0, and the head that labels train on it.
LITE0 = {
    "dataset": "cifar10",
    "backbone": "efficientnet-lite0",
    "height": 128,
    "width": 128,
    "frozen": True,
}
HEAD = {**LITE0, "hidden": 512, "dropout": 0.3, "epochs": 25, "bits": BITS}
NEIGHBOURS = 10  # of an image, that its second view is drawn from

Results = dict[GridRun, dict[str, Any]]


def trained_head(
    settings: FitSettings,
    features: Any,
    labels: np.ndarray,
    train: np.ndarray,
    unit_length: bool = False,
    **batches: Any,
) -> Callable[[np.ndarray], np.ndarray]:
    """Trains a head on frozen features, as `fit` does.

    Args:
        settings: What to train.
        features: Features of all images, [N, D].
        labels: Labels of all images, [N, C].
        train: Positions of the training images.
        unit_length: As in `new_model`.
        **batches: As in `training_feature_batches`.

    Returns:
        From positions to the continuous codes of these images.
    """
    inputs, steps = training_feature_batches(
        features,
        labels,
        train,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        seed=settings.seed,
        **batches,
    )
    seen = Rows(features, train)
    model = new_model(settings, None, labels.shape[1], steps, seen, unit_length)
    if model.method.trains:
        model.fit(inputs, epochs=settings.epochs, steps_per_epoch=steps, verbose=0)
    else:
        model.solve_head(Rows(features, train, model.backbone.predict_on_batch), settings.seed)

    def encode(positions: np.ndarray) -> np.ndarray:
        images = evaluation_feature_batches(features, labels, positions, 256)
        return model.encoder.predict(images.map(lambda inputs, _: inputs), verbose=0)

    return encode


class SeedData:
    """The features of all images, and the split of a seed.

    Args:
        common: Settings of all cells, those of the data among them.
        seed: Draws the split.
    """

    def __init__(self, common: dict[str, Any], seed: int) -> None:
        settings = FitSettings.check({**common, "seed": seed})
        self.data = RunData.load(settings)
        self.features = frozen_features(settings, self.data, RunFolder("unused"))[1]
        self.train = Rows(self.features, self.data.split.train)

    @cached_property
    def neighbours(self) -> Any:
        """Those of the training images; minutes of work, and not needed by every method."""
        return nearest_rows(self.train, NEIGHBOURS)

    def figures(self, settings: FitSettings) -> dict[str, Any]:
        """Trains a head on the features, as `fit` does, and measures its codes."""
        labels, split = self.data.dataset.labels, self.data.split
        views = {"views": 2, "neighbours": self.neighbours} if settings.takes_two_views else {}
        encode = trained_head(settings, self.features, labels, split.train, **views)
        vectors = None if settings.method in METHODS else self.features
        return evaluate(encode, labels, split, settings.k, vectors=vectors).figures


def run_cells(
    options: argparse.Namespace,
    common: dict[str, Any],
    cells: Iterable[dict[str, Any]],
    figures: Iterable[str],
) -> None:
    """Measures the cells that have no line in `--output` yet, and appends a line for each.

    Args:
        options: With `data_dir`, `feature_cache` and `output`: see `add_place`.
        common: Settings of all cells.
        cells: The settings that make a cell, its seed first; those of a seed one after another.
        figures: Names of the figures to keep.
    """
    common = {**common, "data_dir": options.data_dir, "feature_cache": options.feature_cache}
    done = read_lines(options.output)
    data, seed = None, None
    for cell in cells:
        if any(cell.items() <= line.items() for line in done):
            continue
        if data is None or seed != cell["seed"]:
            seed = cell["seed"]
            data = SeedData(common, seed)
        found = data.figures(FitSettings.check({**common, **cell}))
        line = json.dumps({**cell, **{name: round(found[name], 4) for name in figures}})
        with options.output.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of results; none where there is no file yet."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def add_place(parser: argparse.ArgumentParser, prints: bool = False) -> None:
    """Options for `run_cells`; with `prints`, the data are not needed for what `--table` prints."""
    parser.add_argument("--data-dir", required=not prints, help="TFDS' folder with cifar10")
    parser.add_argument("--output", type=Path, required=True, help="file of results, a line a run")
    parser.add_argument("--feature-cache", default="features", help="folder for the features")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])


class Benchmark:
    """The command line of a benchmark, and its runs.

    Args:
        description: The docstring of the benchmark.
        *options: Names of lists of numbers to ask for, with their defaults.
    """

    def __init__(self, description: str | None, **options: list[float]) -> None:
        parser = argparse.ArgumentParser(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        add = parser.add_argument
        add("--comparison", type=Path, required=True, help="folder of `compare`, frozen features")
        add("--output", type=Path, required=True, help="folder for the results; may exist")
        add("--workers", type=int, default=os.cpu_count(), help="processes")
        for name, default in options.items():
            add(f"--{name}", type=float, nargs="+", default=default, help=f"{default}")
        self.options = parser.parse_args()
        work = ComparisonFolder(self.options.comparison).work
        if not (work / "data.json").exists():
            parser.error(f"--comparison must hold data of frozen features. Received: {work.parent}")
        self.data = FrozenData.read(work)
        self.seeds = sorted(self.data.splits)
        if len(self.seeds) < 2:
            parser.error(f"--comparison must have two seeds or more. Received: {self.seeds}")
        self.error = parser.error

    def finish(
        self,
        runs: list[GridRun],
        name: str = "runs",
        change: Callable[[FrozenData], FrozenData] = lambda data: data,
    ) -> Results:
        """The results of runs; those that have none yet are trained.

        Args:
            runs: The runs, those of a cell one after another.
            name: Of the folder in `--output`.
            change: What is different from the data of the comparison.

        Raises:
            ValueError: when a run failed, or the folder is of another comparison.
        """
        folder = ComparisonFolder(self.options.output / name)
        data = change(self.data)
        features = Path(self.data.features.filename)  # type: ignore[attr-defined]
        with folder.opened():
            digest = folder.keep_settings(
                {
                    "recipe": data.recipe.model_dump(mode="json"),
                    "data": {"features": features.name},
                }
            )
            data.write(folder.work, features)
        results = ResultsFile(folder.results, digest)
        found = finish_runs(runs, folder, results, self.options.workers, title=name)
        for run, line in found.items():
            if line["status"] != "done":
                raise ValueError(f"{run} failed: {line['error']}")
        return found


def values(results: Results, figure: str, **fields: Any) -> np.ndarray:
    """A figure of the runs with these fields, by seed."""
    chosen = {
        run.seed: line[figure]
        for run, line in results.items()
        if all(getattr(run, name) == value for name, value in fields.items())
    }
    return np.array([chosen[seed] for seed in sorted(chosen)])
