"""What can be refused before an image is read or a network made. Loads no TensorFlow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.backbones import check_weights
from training.data.dataset_place import check_data
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.processes import processes_of

# Where the data is and what trains it: neither changes the run.
MAY_DIFFER = ("data_dir", "image_root", "download", "distribute")


def check_new_run(settings: FitSettings, output: str | Path) -> None:
    """Refuses a run whose folder, data or weights do not fit.

    Raises:
        FileExistsError: when the output folder exists and is not empty.
        FileNotFoundError: when data or weights are not there.
        ValueError, ModuleNotFoundError: when the data set or its weights are unknown.
    """
    if processes_of().count == 1:  # of several, the first makes it, when they have met
        RunFolder(output).check_new()
    check_data(settings)
    if settings.weights_of_a_run is None:
        check_weights(settings.backbone, settings.weights)
    else:
        RunFolder(settings.weights_of_a_run).check_finished()


def check_resumed_run(output: str | Path, chosen: Mapping[str, Any]) -> None:
    """Refuses settings that a resumed run was not begun with, and data that is not there.

    Where the data lies may change; whether it is the same is seen when it is read.

    Raises:
        FileNotFoundError: when the folder is no run, or the data is not there.
        ValueError: naming the first setting that differs.
    """
    folder = RunFolder(output)
    begun = FitSettings.check(folder.read_json(folder.config)["settings"]).model_dump()
    now = FitSettings.check({**begun, **chosen})
    for name, value in now.model_dump(exclude=set(MAY_DIFFER)).items():
        if value != begun[name]:
            raise ValueError(
                f"A resumed run keeps the settings it was begun with: `{name}` is "
                f"{begun[name]!r}. Received: {value!r}"
            )
    if not folder.finished:
        check_data(now)
