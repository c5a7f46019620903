"""Whether a run that starts from another one is measured on images which that has not seen."""

from pathlib import Path

import numpy as np

from training.data.protocols import make_split
from training.runs.run_data import RunData
from training.runs.run_folder import RunFolder
from training.settings import FitSettings


def check_queries_unseen(run: str | Path, data: RunData) -> None:
    """Refuses a split whose queries an earlier run on the same images was trained on.

    Of another data set, or one that has changed since, nothing is known and nothing refused.

    Args:
        run: The folder of the run that the backbone's weights come from.
        data: What the new run is trained and measured on.

    Raises:
        ValueError: when it was trained on some of the new run's queries.
        FileNotFoundError: when the folder is no finished run.
    """
    folder = RunFolder(run)
    config = folder.read_json(folder.config)
    folder.read_json(folder.metrics)
    if config["images"]["digest"] != data.describe()["images"]["digest"]:
        return
    settings = FitSettings.check(config["settings"])
    earlier = make_split(
        data.dataset, settings.protocol, settings.seed, **settings.protocol_options
    )
    seen = len(np.intersect1d(earlier.train, data.split.query))
    if seen:
        raise ValueError(
            f"The run in `weights` was trained on {seen} of the {len(data.split.query)} queries, "
            f"so the figures would be too good. Use its seed, {settings.seed}, and its protocol, "
            f"{settings.protocol!r} {settings.protocol_options}"
        )
