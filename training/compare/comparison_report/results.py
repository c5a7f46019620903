"""What a report is made of, read from the folder of a comparison."""

import itertools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_hashing.retrieval.figures import FIGURES
from training.compare.comparison_folder import ComparisonFolder
from training.compare.comparison_report.statistics import (
    Cell,
    Difference,
    Values,
    differences,
    values_of,
)
from training.compare.grid import (
    QUANTIZATIONS,
    Choice,
    Column,
    reasons_not_run,
)
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe, digest_of
from training.compare.results_file import ResultsFile
from training.compare.workers.worker import arrays_name
from training.settings import DataSettings


@dataclass(frozen=True, eq=False)
class ComparisonResults:
    """The runs of a grid with what they were run with.

    Args:
        settings: The content of its `settings.json`.
        results: The runs with the settings in force (chosen by tuning, or the default ones).
        choices: Weight and place of each column, and the validation mAP where it was tuned.
        features_dir: Where the features of a frozen backbone are kept.
    """

    folder: ComparisonFolder
    settings: dict[str, Any]
    results: dict[GridRun, dict[str, Any]]
    choices: dict[Column, tuple[Choice, float | None]]
    place: DataSettings
    features_dir: Path

    @classmethod
    def read(cls, path: Path, moved: dict[str, str] | None = None) -> "ComparisonResults":
        """Reads a comparison, whether it is finished or not.

        Args:
            moved: Where the images are now, as fields of `DataSettings`.

        Raises:
            FileNotFoundError: when the folder holds no comparison.
            ValueError: when a file is damaged or of other settings, or no run is finished.
        """
        folder = ComparisonFolder(path)
        settings = folder.read_settings()
        digest = digest_of(settings)
        every = ResultsFile(folder.results, digest).read()
        tuned, recipe = folder.read_choices(), Recipe.read(settings["recipe"])
        choices: dict[Column, tuple[Choice, float | None]] = {
            column: tuned[column] if column in tuned else (recipe.default_choice(column), None)
            for column in sorted({run.column for run in every})
        }
        results = {
            run: line
            for run, line in every.items()
            if choices[run.column][0] == Choice(run.weight, run.place)
        }
        if not any(line.get("status") == "done" for line in results.values()):
            raise ValueError(f"No run of the grid is finished in {path}: run the comparison first")
        place, features_dir = folder.read_place()
        place = place.model_copy(update=moved or {})
        return cls(folder, settings, results, choices, place, features_dir)

    @property
    def recipe(self) -> Recipe:
        """How the runs were trained."""
        return Recipe.read(self.settings["recipe"])

    @cached_property
    def methods(self) -> list[str]:
        """Names of the methods, in alphabetical order."""
        return sorted({run.method for run in self.results})

    @cached_property
    def quantizations(self) -> list[str]:
        """Names of the quantizations, in the order of the tables."""
        present = {run.quantization for run in self.results}
        return [name for name in QUANTIZATIONS if name in present]

    @cached_property
    def bits(self) -> list[int]:
        """Lengths of the codes."""
        return sorted({run.bits for run in self.results})

    @cached_property
    def seeds(self) -> list[int]:
        """Seeds."""
        return sorted({run.seed for run in self.results})

    @property
    def typical_bits(self) -> int:
        """The length that figures of one length show: 32 if there is, else the middle one."""
        return 32 if 32 in self.bits else self.bits[len(self.bits) // 2]

    @property
    def tuned(self) -> bool:
        """Whether weight and place of some column were chosen by tuning."""
        return any(map(self.is_tuned, self.choices))

    def is_tuned(self, column: Column) -> bool:
        """Whether weight and place of a column were chosen by tuning."""
        return column in self.choices and self.choices[column][1] is not None

    @cached_property
    def tuned_weights(self) -> list[float]:
        """As `ComparisonFolder.tried_weights`."""
        return self.folder.tried_weights(digest_of(self.settings))

    @property
    def failed(self) -> dict[GridRun, str]:
        """The runs that failed, and why."""
        return {
            run: line["error"]
            for run, line in self.results.items()
            if line.get("status") == "failed"
        }

    @cached_property
    def not_run(self) -> dict[Column, str]:
        """The columns that do not exist, and why."""
        columns = itertools.product(self.methods, self.quantizations)
        return reasons_not_run(columns, self.settings["data"]["single_label"])

    def values(self, figure: str) -> Values:
        """One figure of all finished runs, by cell and seed."""
        return values_of(self.results, figure)

    def differences(self, figure: str, reference: str) -> list[Difference]:
        """Every quantization against `reference` in its own method and bits, where both exist."""
        return differences(self.values(figure), reference)

    @cached_property
    def figures(self) -> list[str]:
        """The figures that the runs have; those of an earlier version lack the later ones."""
        return [name for name in FIGURES if any(self.values(name).values())]

    @property
    def main(self) -> str:
        """The figure that settings are judged by: mAP where there are labels."""
        return next(name for name in self.figures if FIGURES[name].better == "higher")

    def title(self, figure: str) -> str:
        """The name of a figure for a reader."""
        return FIGURES[figure].heading(self.recipe.k, self.recipe.radius)

    def arrays(self, cell: Cell) -> dict[int, dict[str, np.ndarray]]:
        """The companion files of a cell's runs by seed, in ascending order."""
        found = {}
        for run in sorted(self.results, key=lambda run: run.seed):
            path = self.folder.arrays / arrays_name(run)
            if (run.method, run.quantization, run.bits) == cell and path.exists():
                with np.load(path, allow_pickle=False) as content:
                    found[run.seed] = dict(content)
        return found

    @property
    def seconds(self) -> float:
        """Mean seconds of a run, compilation included."""
        totals = [
            sum(line["seconds"][part] for part in ("prepare", "train", "evaluate"))
            for line in self.results.values()
            if line.get("status") == "done"
        ]
        return float(np.mean(totals))
