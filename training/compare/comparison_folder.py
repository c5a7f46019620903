"""The folder of a comparison, and its small files."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keras_hashing.files.atomic_write import write_json
from keras_hashing.files.file_lock import file_lock
from training.compare.grid import Choice, Column
from training.compare.grid_run import GridRun
from training.compare.recipe import digest_of, in_full
from training.compare.results_file import ResultsFile
from training.settings import DataSettings

FEATURES_DIR = Path("runs/features")


class ComparisonFolder:
    """The files of a comparison.

    settings.json    recipe, data, versions; results of another recipe are refused
    skipped.txt      the image files that were left out, and why; only if there are any
    results.jsonl    a line per run of the grid
    tuning.jsonl     a line per run of the tuning
    place.json       where the data lies, for the report: it may move, so it is no setting
    choices.json     weight and place by method and quantization, once tuning has ended
    arrays/          curves, histograms, bit statistics, nearest of queries: a file per run
    report/          tables, figures and page
    work/            what the workers read; may be deleted
    runs/            of fine-tuned runs that have no result yet: their checkpoints; features
                     of frozen first stages
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / "settings.json"
        self.skipped = path / "skipped.txt"
        self.results = path / "results.jsonl"
        self.tuning = path / "tuning.jsonl"
        self.place = path / "place.json"
        self.choices = path / "choices.json"
        self.arrays = path / "arrays"
        self.report = path / "report"
        self.work = path / "work"
        self.runs = path / "runs"

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Makes the folder and keeps other comparisons out of it.

        Raises:
            OSError: when it cannot be written.
            ValueError: when another process compares in it.
        """
        for folder in (self.arrays, self.work):
            folder.mkdir(parents=True, exist_ok=True)

        def refused(holder: str) -> ValueError:
            return ValueError(
                f"Another process is comparing in {self.path} ({holder}): wait for it, or choose "
                "another --output (one command uses several processes by --workers)"
            )

        with file_lock(self.work / "lock", 0, refused):
            yield

    def read_settings(self) -> dict[str, Any]:
        """The content of `settings.json`.

        Raises:
            FileNotFoundError: when the folder holds no comparison.
            ValueError: when the file cannot be read.
        """
        if not self.settings.exists():
            raise FileNotFoundError(f"Not the folder of a comparison: {self.path}")
        try:
            return json.loads(self.settings.read_text())
        except ValueError as error:
            raise ValueError(f"Not a JSON file: {self.settings} ({error})") from None

    def keep_settings(self, settings: dict[str, Any]) -> str:
        """Writes the settings, or refuses those that the folder was not begun with.

        Returns:
            The digest of those that it was begun with.

        Raises:
            ValueError: naming the first difference.
        """
        if not self.settings.exists():
            write_json(self.settings, settings)
            return digest_of(settings)
        begun = self.read_settings()
        for part in settings:
            asked, was = settings[part], begun.get(part, {})
            if part == "recipe":
                asked, was = in_full(asked), in_full(was)
            for name in {**asked, **was}:
                if name not in asked or name not in was or asked[name] != was[name]:
                    raise ValueError(
                        f"The results in {self.path} are of other settings, and do not mix: "
                        f"`{name}` was {_told(was, name)}. Received: {_told(asked, name)}; "
                        "choose another --output"
                    )
        return digest_of(begun)

    def write_place(self, place: DataSettings, features_dir: Path) -> None:
        """Writes where the images are, and the features of a frozen backbone."""
        data = place.model_dump(mode="json", exclude_unset=True)
        write_json(self.place, {"data": data, "features_dir": str(features_dir)})

    def read_place(self) -> tuple[DataSettings, Path]:
        """What `write_place` wrote; of a comparison of an earlier version, what can be known."""
        if self.place.exists():
            written = json.loads(self.place.read_text())
            return DataSettings(**written["data"]), Path(written["features_dir"])
        settings = self.read_settings()
        place = DataSettings(dataset=settings["recipe"]["dataset"])
        if settings["data"].get("skipped"):
            place = place.model_copy(update={"on_bad_image": "skip"})
        return place, FEATURES_DIR

    def tried_weights(self, digest: str) -> list[float]:
        """The weights that tuning has tried, but for schedules, whose weight is their speed."""
        tried = ResultsFile(self.tuning, digest).read()
        return sorted({run.weight for run in tried if run.place in ("raw", "relaxed")})

    def drop_checkpoints(self, run: GridRun) -> None:
        """Removes what an interrupted run would have gone on from: its result is written."""
        shutil.rmtree(run_folder(self.runs, run), ignore_errors=True)

    def read_choices(self) -> dict[Column, tuple[Choice, float]]:
        """Weight and place by column as tuning chose them, with their validation mAP.

        Empty without tuning.
        """
        if not self.choices.exists():
            return {}
        content = json.loads(self.choices.read_text())
        return {
            (entry["method"], entry["quantization"]): (
                Choice(entry["weight"], entry["place"]),
                entry["validation_map"],
            )
            for entry in content["choices"]
        }

    def write_choices(self, choices: dict[Column, tuple[Choice, float]]) -> None:
        """Writes what `read_choices` reads."""
        entries = [
            {
                "method": method,
                "quantization": quantization,
                **asdict(choice),
                "validation_map": value,
            }
            for (method, quantization), (choice, value) in sorted(choices.items())
        ]
        write_json(self.choices, {"choices": entries})


def _told(values: dict[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "not there"


def run_folder(runs: Path, run: GridRun) -> Path:
    """Where a fine-tuned run keeps its checkpoints, in the folder `runs` of its comparison."""
    return runs / f"{run.stage}-{run.file_name}"
