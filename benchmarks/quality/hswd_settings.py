"""What weight, place and batch size of HSWD work, by method, on validation data.

Every setting trains the head on frozen features with the recipe of a comparison (`python -m
training compare`), as its tuning does: on the training images without a fifth, which is held out
as queries and database, so that no query of the test is looked at. The table shows what a setting
adds to the mAP of no quantization with the same method, seed and batch size: the mean over the
seeds by method, and over all methods with a 95% interval over the seeds.

    python -m benchmarks.quality.hswd_settings --comparison runs/compare --output runs/hswd_settings
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from benchmarks.quality.markdown import head, interval
from benchmarks.quality.on_frozen_features import BITS, Benchmark, Results, values
from keras_hashing.names import METHODS
from training.compare.grid_run import GridRun
from training.compare.workers.frozen_data import FrozenData

CODES = ("quantization_error", "bit_balance", "bit_correlation")
NAMES = sorted(METHODS)


class Setting(NamedTuple):
    """One row of the table; `batch_size` of None is the recipe's."""

    weight: float = 0.0
    place: str = ""
    batch_size: int | None = None

    def __str__(self) -> str:
        text = f"{self.weight:g} {self.place}" if self.place else "none"
        return text if self.batch_size is None else f"{text}, batch {self.batch_size}"


SETTINGS = (
    Setting(),
    *(Setting(weight, "raw") for weight in (0.1, 0.3, 1.0, 3.0)),
    *(Setting(weight, "relaxed") for weight in (0.1, 1.0)),
    *(Setting(batch_size=size) for size in (64, 256)),
    *(Setting(1.0, "raw", size) for size in (64, 256)),
)


def with_batch_size(data: FrozenData, size: int | None) -> FrozenData:
    """The data, whose recipe has another batch size if one is given."""
    if size is None:
        return data
    return dataclasses.replace(data, recipe=data.recipe.model_copy(update={"batch_size": size}))


def table(by_batch_size: dict[int | None, Results]) -> str:
    """Gains of mAP over no quantization, in Markdown."""

    def of_all(setting: Setting, figure: str) -> np.ndarray:
        results, (weight, place) = by_batch_size[setting.batch_size], setting[:2]
        rows = [values(results, figure, method=m, weight=weight, place=place) for m in NAMES]
        return np.array(rows)

    rows = head("setting", *NAMES, "mean", "quantization error", "balance", "correlation")
    for setting in SETTINGS:
        codes = [f"{of_all(setting, figure).mean():.3f}" for figure in CODES]
        found = of_all(setting, "map")
        if setting.place:
            gain = found - of_all(Setting(batch_size=setting.batch_size), "map")
            gains = [f"{value:+.3f}" for value in gain.mean(axis=1)]
            mean = interval(gain.mean(axis=0))
        else:
            gains, mean = [f"{value:.3f}" for value in found.mean(axis=1)], f"{found.mean():.4f}"
        rows.append(f"| {setting} | {' | '.join(gains)} | {mean} | {' | '.join(codes)} |")
    return "\n".join(rows)


def main() -> None:
    benchmark = Benchmark(__doc__)
    results = {}
    for size in dict.fromkeys(setting.batch_size for setting in SETTINGS):
        runs = [
            GridRun(method, "hswd" if place else "none", BITS, weight, place, seed, "tuning")
            for weight, place, batch_size in SETTINGS
            if batch_size == size
            for method in NAMES
            for seed in benchmark.seeds
        ]
        name = "batch-of-the-recipe" if size is None else f"batch-{size}"
        results[size] = benchmark.finish(runs, name, lambda data, s=size: with_batch_size(data, s))
    print(table(results))


if __name__ == "__main__":
    main()
