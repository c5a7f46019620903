"""What weight, place, schedule and batch size of HSWD work, by method, on validation data.

Every setting trains the head on frozen features with the recipe of a comparison (`python -m
training compare`), as its tuning does: on the training images without a fifth, which is held out
as queries and database, so that no query of the test is looked at. The table shows what a setting
adds to the mAP of no quantization with the same method, seed and batch size: the mean over the
seeds by method, and over all methods with a 95% interval over the seeds.

    weight, place   weight × HSWD of the raw code, or of the relaxed one, for the whole training
    rise, fall      the weight goes linearly from 0 to its value, or from its value to 0

Each finished cell is appended to `--output`; the same command goes on where it was interrupted.

    python -m benchmarks.hswd_settings --comparison runs/compare --output runs/hswd_settings.jsonl
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy import stats

from benchmarks import on_frozen_features as frozen
from keras_hashing import methods
from training.compare.grid_run import GridRun
from training.compare.workers.frozen_data import FrozenData
from training.compare.workers.frozen_trainer import Trainer

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _: 1.0,
    "rise": lambda progress: progress,
    "fall": lambda progress: 1 - progress,
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One row of the table; `batch_size` of None is the recipe's."""

    weight: float = 0.0
    place: str = ""
    schedule: str = "constant"
    batch_size: int | None = None

    @property
    def base(self) -> "Setting":
        """No quantization, with the same batch size."""
        return Setting(batch_size=self.batch_size)

    def __str__(self) -> str:
        parts = [f"{self.weight:g} {self.place}" if self.place else "none"]
        if self.schedule != "constant":
            parts.append(self.schedule)
        if self.batch_size is not None:
            parts.append(f"batch {self.batch_size}")
        return ", ".join(parts)


SETTINGS = (
    Setting(),
    *(Setting(weight, "raw") for weight in (0.1, 0.3, 1.0, 3.0)),
    *(Setting(weight, "relaxed") for weight in (0.1, 1.0)),
    *(Setting(1.0, "raw", schedule) for schedule in ("rise", "fall")),
    *(Setting(batch_size=size) for size in (64, 256)),
    *(Setting(1.0, "raw", batch_size=size) for size in (64, 256)),
)


class ScheduledTrainer(Trainer):
    """The trainer of `compare` with a weight of the quantization that changes by epoch."""

    def __init__(self, run: GridRun, data: FrozenData, schedule: str) -> None:
        self._template: Any = None
        super().__init__(run, data)
        model, epochs = self._template, self.recipe.epochs

        def epoch(state: Any, weight: Any, order: Any, features: Any, labels: Any) -> Any:
            model.quantization_weight = weight

            def step(state: Any, rows: Any) -> tuple[Any, None]:
                return model.train_step(state, (features[rows], labels[rows]))[1], None

            return jax.lax.scan(step, state, order)[0]

        compiled = jax.jit(epoch, donate_argnums=0)
        self._epochs_done = 0

        def with_weight(state: Any, *batches: Any) -> Any:
            progress = (self._epochs_done % epochs + 0.5) / epochs
            self._epochs_done += 1
            return compiled(state, run.weight * SCHEDULES[schedule](progress), *batches)

        self._epoch = with_weight

    def _new_model(self, run: GridRun, steps: int) -> Any:
        model = super()._new_model(run, steps)
        if self._template is None:
            self._template = model
        return model


def train(folder: Path, method: str, setting: Setting, seeds: Iterable[int]) -> list[frozen.Line]:
    """Trains one setting of a method with each seed, compiled once; one line of results each."""
    data = FrozenData.read(folder)
    if setting.batch_size is not None:
        recipe = data.recipe.model_copy(update={"batch_size": setting.batch_size})
        data = dataclasses.replace(data, recipe=recipe)
    quantization = "hswd" if setting.place else "none"
    runs = [
        GridRun(method, quantization, frozen.BITS, setting.weight, setting.place, seed, "tuning")
        for seed in seeds
    ]
    trainer = (
        Trainer(runs[0], data)
        if setting.schedule == "constant"
        else ScheduledTrainer(runs[0], data, setting.schedule)
    )
    kept = ("map", "quantization_error", "bit_balance", "bit_correlation")
    lines = []
    for run in runs:
        figures = trainer.train(run)[0]
        line = {"method": method, **dataclasses.asdict(setting), "seed": run.seed}
        lines.append({**line, **{name: float(figures[name]) for name in kept}})
    return lines


def key_of(line: frozen.Line) -> tuple[str, Setting, int]:
    names = [field.name for field in dataclasses.fields(Setting)]
    return line["method"], Setting(**{name: line[name] for name in names}), line["seed"]


def table(lines: list[frozen.Line], seeds: list[int]) -> str:
    """Gains of mAP over no quantization, in Markdown."""
    figures = {key_of(line): line for line in lines}
    names = methods.available()

    def of_all(setting: Setting, figure: str) -> np.ndarray:
        return np.array([[figures[m, setting, s][figure] for s in seeds] for m in names])

    rows = [
        f"| setting | {' | '.join(names)} | mean | quantization error | balance | correlation |",
        "|---" * (len(names) + 5) + "|",
    ]
    for setting in SETTINGS:
        codes = [
            f"{of_all(setting, figure).mean():.3f}"
            for figure in ("quantization_error", "bit_balance", "bit_correlation")
        ]
        found = of_all(setting, "map")
        if setting == setting.base:
            gains = [f"{value:.3f}" for value in found.mean(axis=1)]
            mean = f"{found.mean():.4f}"
        else:
            gain = found - of_all(setting.base, "map")
            gains = [f"{value:+.3f}" for value in gain.mean(axis=1)]
            by_seed = gain.mean(axis=0)
            width = stats.t.ppf(0.975, len(seeds) - 1) * stats.sem(by_seed)
            mean = f"{by_seed.mean():+.4f} ± {width:.4f}"
        rows.append(f"| {setting} | {' | '.join(gains)} | {mean} | {' | '.join(codes)} |")
    return "\n".join(rows)


def main() -> None:
    parser = frozen.new_parser(__doc__)
    frozen.add_output(parser)
    arguments = parser.parse_args()
    folder = frozen.data_folder(parser, arguments)
    seeds = frozen.seeds_of(parser, FrozenData.read(folder))
    done = {key_of(line) for line in frozen.read_lines(arguments.output, folder)}
    cells = [(method, setting) for setting in SETTINGS for method in methods.available()]
    frozen.train_missing(train, cells, seeds, done, folder, arguments.output, arguments.workers)
    print(table(frozen.read_lines(arguments.output, folder), seeds))


if __name__ == "__main__":
    main()
