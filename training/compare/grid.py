"""Which runs make a comparison: cells, what is not defined, and the settings tried in tuning."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

import keras_hashing
from keras_hashing.checks import DEFAULT_WEIGHT, check_bits
from keras_hashing.names import (
    CLOSED_FORM_METHODS,
    LABEL_FREE_METHODS,
    METHODS,
    QUANTIZATIONS,
    name_and_options,
    quoted,
)
from keras_hashing.settings import Settings
from training.compare.grid_run import GridRun

DEFAULT_QUANTIZATIONS = ("none", "native", "sign", "hswd", "swd")
TUNED_WEIGHTS = (0.01, 0.1, 1.0)
TUNED_SPEEDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
TUNING_BITS = 32

Column = tuple[str, str]


@dataclass(frozen=True)
class Choice:
    """Weight and place of a quantization: see `Run`."""

    weight: float
    place: str


def _split(words: Any) -> Any:
    """The parts of a text that are separated by commas, as an option gives them."""
    if not isinstance(words, str):
        return words
    return tuple(part.strip() for part in words.split(",") if part.strip())


def _method_names(words: Any) -> Any:
    return tuple(sorted(METHODS)) if words == "all" else _split(words)


class Grid(Settings):
    """Methods × quantizations × bits × seeds, and the weights that tuning tries.

    Raises:
        ValueError: when a name is unknown, a list is empty or repeats, a number of bits is no
            positive integer, a seed is negative, or the weights are not three of more than 0.
    """

    model_config = ConfigDict(title="Grid: lists separated by commas")

    methods: Annotated[tuple[str, ...], BeforeValidator(_method_names)] = Field(
        default=tuple(sorted(METHODS)),
        description="Methods; 'all' for all that learn from labels. Options may follow a name: "
        f"dsdh:eta=3. Baselines without labels: {quoted(LABEL_FREE_METHODS, 'and')}.",
    )
    quantizations: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(
        default=DEFAULT_QUANTIZATIONS, description=f"Some of {quoted(QUANTIZATIONS, 'and')}."
    )
    bits: Annotated[tuple[int, ...], BeforeValidator(_split)] = (16, 32, 64)
    """Code lengths, multiples of 8."""
    seeds: Annotated[tuple[int, ...], BeforeValidator(_split)] = (0, 1, 2)
    """Seeds: each draws its own split and initial weights."""
    tune_weights: Annotated[tuple[float, ...], BeforeValidator(_split)] = TUNED_WEIGHTS
    """With --tune: the three weights to try, on the raw and the relaxed code."""

    @model_validator(mode="after")
    def _is_a_grid(self) -> Self:
        for name in ("methods", "quantizations", "bits", "seeds"):
            _check_list(name, getattr(self, name))
        names = [name_and_options(method)[0] for method in self.methods]
        _check_names("methods", names, [*sorted(METHODS), *sorted(LABEL_FREE_METHODS)])
        _check_names("quantizations", self.quantizations, QUANTIZATIONS)
        for bits in self.bits:
            check_bits(bits)
        for seed in self.seeds:
            if seed < 0:
                raise ValueError(f"`seeds` must be 0 or more. Received: {seed}")
        weights = self.tune_weights
        if len(set(weights)) != len(weights) or len(weights) != len(TUNED_WEIGHTS):
            raise ValueError(
                "`tune_weights` must be three different numbers, so that each column has the same "
                f"six trials. Received: {', '.join(f'{weight:g}' for weight in weights)}"
            )
        if not all(0 < weight < math.inf for weight in weights):
            raise ValueError(f"`tune_weights` must be finite and more than 0. Received: {weights}")
        return self

    @property
    def columns(self) -> list[Column]:
        """Methods × quantizations; those that train nothing have the quantization "none" alone."""
        return [
            (method, name)
            for method in self.methods
            for name in (("none",) if is_closed_form(method) else self.quantizations)
        ]


def is_closed_form(method: str) -> bool:
    """Whether the head is computed from features, and nothing is trained."""
    return name_and_options(method)[0] in CLOSED_FORM_METHODS


def _check_names(name: str, received: Iterable[str], known: Iterable[str]) -> None:
    unknown = [value for value in received if value not in known]
    if unknown:
        raise ValueError(
            f"`{name}` must be among {', '.join(known)}. Received: {', '.join(unknown)}"
        )


def _check_list(name: str, received: tuple) -> None:
    if not received:
        raise ValueError(f"`{name}` must name at least one. Received: none")
    if len(set(received)) != len(received):
        raise ValueError(f"`{name}` must not repeat. Received: {', '.join(map(str, received))}")


def reason_not_run(column: Column, single_label: bool) -> str | None:
    """Why a cell does not exist, or None if it does.

    Raises:
        ValueError: when the method does not have an option that follows its name.
    """
    method, quantization = column
    probe = _probe(method)
    if probe.single_label_only is not None and not single_label:
        return f"one label per image only: {probe.single_label_only}"
    if not probe.trains and quantization != "none":
        return "nothing is trained: the head is computed from features, without a quantization"
    no_loss = probe.native_quantization() is None and not native_is_schedule(method)
    if quantization == "native" and no_loss:
        return "the method's paper has no quantization term: native is none"
    return None


def reasons_not_run(columns: Iterable[Column], single_label: bool) -> dict[Column, str]:
    """The columns that do not exist, and why."""
    reasons = {column: reason_not_run(column, single_label) for column in columns}
    return {column: reason for column, reason in reasons.items() if reason is not None}


def native_is_schedule(method: str) -> bool:
    """Whether the native quantization is a schedule (HashNet's continuation)."""
    probe = _probe(method)
    return probe.native_quantization() is None and bool(probe.native_callbacks())


@cache
def _probe(method: str) -> "keras_hashing.methods.HashingMethod":
    """A small one, to ask what the method has."""
    return keras_hashing.methods.get(method, bits=16, num_classes=2)


def default_choice(column: Column, weight: float = DEFAULT_WEIGHT, place: str = "raw") -> Choice:
    """Weight and place without tuning; native as in the paper."""
    method, quantization = column
    if quantization == "none":
        return Choice(0.0, "")
    if quantization != "native":
        return Choice(weight, place)
    if native_is_schedule(method):
        return Choice(1.0, "schedule")
    return Choice(DEFAULT_WEIGHT, _probe(method).native_place)


def candidates(column: Column, tune_weights: tuple[float, ...] = TUNED_WEIGHTS) -> list[Choice]:
    """The settings that tuning tries, six per column; one where there is nothing to choose."""
    method, quantization = column
    if quantization == "none":
        return [default_choice(column)]
    if quantization == "native" and native_is_schedule(method):
        return [Choice(speed, "schedule") for speed in TUNED_SPEEDS]
    return [Choice(weight, place) for place in ("raw", "relaxed") for weight in tune_weights]


def tuning_runs(grid: Grid, single_label: bool) -> list[GridRun]:
    """The runs that settings are chosen by: 32 bits, the first seed, the validation split."""
    return [
        GridRun(*column, TUNING_BITS, choice.weight, choice.place, grid.seeds[0], "tuning")
        for column in grid.columns
        if reason_not_run(column, single_label) is None
        for choice in candidates(column, grid.tune_weights)
    ]


def grid_runs(grid: Grid, choices: dict[Column, Choice], single_label: bool) -> list[GridRun]:
    """The runs of the grid, those of a cell one after another."""
    return [
        GridRun(*column, bits, choices[column].weight, choices[column].place, seed)
        for column in grid.columns
        if reason_not_run(column, single_label) is None
        for bits in grid.bits
        for seed in grid.seeds
    ]


def by_cell(runs: list[GridRun]) -> list[list[GridRun]]:
    """Groups of neighbours that differ in the seed only."""
    return [list(group) for _, group in groupby(runs, lambda run: run.cell)]
