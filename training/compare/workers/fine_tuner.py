"""Training and measuring one run with its whole backbone, as `training.trainer.fit` does."""

import gc
import time
from pathlib import Path
from typing import Any

import keras

from training.callbacks.history_log import read_history
from training.compare.comparison_folder import run_folder
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe
from training.compare.workers.image_data import ImageData
from training.compare.workers.measure_codes import line_of, measure_codes
from training.data.split import Split
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.fit import begin_or_resume


class FineTuner:
    """Trains runs one after another; an interrupted one resumes from its latest epoch.

    Args:
        data: Images, labels and splits.
        runs: The folder that holds a folder per run. What is in it stays until the run's result is
            written: `ComparisonFolder.drop_checkpoints`.
        code: Which code trains; a run that other code began starts again.
    """

    def __init__(self, data: ImageData, runs: Path, code: str) -> None:
        self.data = data
        self.runs = runs
        self.code = code

    def train(self, run: GridRun) -> tuple[dict[str, Any], dict[str, Any]]:
        """Trains and measures one run.

        Returns:
            The figures of its line of results, and the arrays for the figures' companion file.
            The seconds of training are those of all epochs, also before an interruption.

        Raises:
            ValueError: when the loss or a code is not finite, or settings and data do not fit.
        """
        started = time.perf_counter()
        keras.utils.clear_session()
        gc.collect()  # the previous run's images
        recipe, data = self.data.recipe, self.data.of(run)
        folder = RunFolder(run_folder(self.runs, run))
        training = begin_or_resume(
            fit_settings(run, recipe, data.split), data, folder, self.code, run.schedules
        )
        prepared = time.perf_counter()
        training.run(folder, verbose=0)
        history = read_history(folder.history)
        trained = time.perf_counter()

        split = data.split
        query, database = training.codes(split.query), training.codes(split.database)
        figures, arrays = measure_codes(run, recipe, data.dataset.labels, split, query, database)
        seconds = {
            "prepare": prepared - started,
            "first_epoch": history[0]["seconds"],
            "train": sum(line["seconds"] for line in history),
            "evaluate": time.perf_counter() - trained,
        }
        return line_of(figures, history[-1], seconds), arrays


def fit_settings(run: GridRun, recipe: Recipe, split: Split) -> FitSettings:
    """As `Recipe.fit_settings`; the cut is lowered to what the split has."""
    settings = recipe.fit_settings(run)
    return settings.model_copy(update={"k": min(recipe.k, len(split.database))})
