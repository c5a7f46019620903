"""What the runs of a grid say: means over seeds, paired differences, and their intervals."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from training.compare.grid_run import GridRun

CONFIDENCE = 0.95

Cell = tuple[str, str, int]
Values = dict[Cell, dict[int, float]]


def name_of(cell: Cell) -> str:
    """Method and quantization, for a reader."""
    method, quantization, _ = cell
    return (
        f"{method} without quantization"
        if quantization == "none"
        else f"{method} with {quantization}"
    )


@dataclass(frozen=True)
class Summary:
    """Mean and spread of values, one per seed.

    Args:
        deviation: Their standard deviation with n - 1 in the denominator; NaN for one value.
    """

    count: int
    mean: float
    deviation: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Summary":
        """The summary of at least one value."""
        array = np.asarray(list(values), dtype=np.float64)
        deviation = float(array.std(ddof=1)) if len(array) > 1 else math.nan
        return cls(len(array), float(array.mean()), deviation)

    @property
    def half_width(self) -> float:
        """Half of the t confidence interval of the mean, NaN for one value.

        t(0.975; n - 1) · deviation / √n.
        """
        if self.count < 2:
            return math.nan
        quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, self.count - 1))
        return quantile * self.deviation / math.sqrt(self.count)

    @property
    def interval(self) -> tuple[float, float]:
        """The confidence interval of the mean."""
        return self.mean - self.half_width, self.mean + self.half_width

    @property
    def verdict(self) -> str:
        """ "above" or "below" if the interval leaves out 0, else "even"; so for one value."""
        low, high = self.interval
        return "above" if low > 0 else "below" if high < 0 else "even"


@dataclass(frozen=True)
class Difference:
    """A quantization minus a reference in one cell: the difference at each seed that both have."""

    method: str
    quantization: str
    bits: int
    by_seed: dict[int, float]

    @property
    def summary(self) -> Summary:
        """Mean and interval over the seeds."""
        return Summary.of(self.by_seed.values())


@dataclass(frozen=True)
class Overall:
    """One quantization against a reference over all cells that both have.

    The cells share splits and seeds, so they are not independent: the mean over the cells is
    taken at each seed, and the interval is over the seeds.

    Args:
        cells: How many cells were compared.
        higher: In how many of them the mean difference is above 0.
        interval_above: In how many the interval of the mean is above 0.
        interval_below: In how many it is below 0.
        mean: Mean difference and its spread over the seeds.
    """

    cells: int
    higher: int
    interval_above: int
    interval_below: int
    mean: Summary


def values_of(results: dict[GridRun, dict[str, Any]], figure: str) -> Values:
    """One figure of all finished runs, by cell and seed."""
    values: Values = {}
    for run, line in results.items():
        if line.get("status") == "done" and line.get(figure) is not None:
            cell = (run.method, run.quantization, run.bits)
            values.setdefault(cell, {})[run.seed] = line[figure]
    return values


def differences(values: Values, reference: str) -> list[Difference]:
    """Every quantization against `reference` in its own method and bits, where both exist."""
    found = []
    for (method, quantization, bits), by_seed in sorted(values.items()):
        paired = difference(by_seed, values.get((method, reference, bits), {}))
        if quantization != reference and paired:
            found.append(Difference(method, quantization, bits, paired))
    return found


def difference(one: dict[int, float], other: dict[int, float]) -> dict[int, float]:
    """One minus the other at each seed that both have."""
    return {seed: one[seed] - other[seed] for seed in sorted(set(one) & set(other))}


def overall(found: list[Difference], quantization: str) -> Overall | None:
    """One quantization over all cells of `differences`; None without a cell."""
    chosen = [one for one in found if one.quantization == quantization]
    if not chosen:
        return None
    seeds = set.intersection(*(set(one.by_seed) for one in chosen))
    by_seed = [float(np.mean([one.by_seed[seed] for one in chosen])) for seed in sorted(seeds)]
    verdicts = [one.summary.verdict for one in chosen]
    return Overall(
        cells=len(chosen),
        higher=sum(one.summary.mean > 0 for one in chosen),
        interval_above=verdicts.count("above"),
        interval_below=verdicts.count("below"),
        mean=Summary.of(by_seed) if by_seed else Summary(0, math.nan, math.nan),
    )
