"""The tables of a report, as text for Markdown, HTML and CSV alike."""

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_hashing.files.atomic_write import atomic_write
from keras_hashing.retrieval.figures import FIGURES
from training.compare.comparison_report.results import ComparisonResults
from training.compare.comparison_report.statistics import (
    Overall,
    Summary,
    difference,
    overall,
)
from training.compare.grid import TUNED_SPEEDS, TUNING_BITS, Choice

_DIGITS = 3  # at most


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Args:
        header: Names of the columns.
        rows: As many texts per row as there are columns.
        note: How to read it.
        groups: Whether rows that begin alike belong together.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""
    groups: bool = False

    def to_markdown(self) -> str:
        """The table with its title and note."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        # `|` stands for a column's end, also inside a text.
        body = "\n".join(
            "| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines
        )
        note = f"\n\n{self.note}" if self.note else ""
        return f"### {self.title}\n\n{body}{note}\n"


def settings_table(results: ComparisonResults) -> Table:
    """Weight and place of each quantization, by method."""
    rows = []
    for method in results.methods:
        row = [method]
        for quantization in results.quantizations:
            found = results.choices.get((method, quantization))
            if quantization != "none":
                row.append("–" if found is None else _choice(*found))
        rows.append(row)
    recipe = results.recipe
    notes = [_how_tuned(results)] if results.tuned else []
    if any(column[1] != "none" and not results.is_tuned(column) for column in results.choices):
        notes.append(
            f"Not tuned{', where there is no mAP' * results.tuned}: "
            f"{recipe.quantization_weight:g} on the {recipe.quantize} code; native as in the "
            "method's paper."
        )
    header = ["method", *(name for name in results.quantizations if name != "none")]
    return Table("Settings", header, rows, " ".join(notes))


def _how_tuned(results: ComparisonResults) -> str:
    weights = _set_of(results.tuned_weights) if results.tuned_weights else "three weights"
    return (
        f"Weight and place (in brackets: validation mAP). Chosen at {TUNING_BITS} bits with one "
        "seed, by mAP on a validation part of the training set: a fifth of it, held out, whose "
        "halves search in each other; the same six trials for each ({raw, relaxed} × "
        f"{weights}; HashNet's native is a schedule: its speed × {_set_of(TUNED_SPEEDS)} of the "
        "published one). The queries of the test played no part."
    )


def _set_of(weights: Iterable[float]) -> str:
    return "{" + ", ".join(f"{weight:g}" for weight in weights) + "}"


def _choice(choice: Choice, validation_map: float | None) -> str:
    text = f"{choice.weight:g} {choice.place}"
    return text if validation_map is None else f"{text} ({validation_map:.3f})"


BOLD = (
    "Bold: the best of a row, where its difference from the next best is not noise (the 95% t "
    "interval of the differences, paired by seed, leaves out 0)."
)


def main_table(results: ComparisonResults) -> Table:
    """The main figure of every cell, mean ± standard deviation over the seeds."""
    rows = [
        [method, str(bits), *_cells(results, results.main, method, bits)]
        for method in results.methods
        for bits in results.bits
    ]
    note = f"Mean ± standard deviation over {len(results.seeds)} seeds. {BOLD}"
    if results.not_run:
        note += " " + _not_run_note(results)
    title = results.title(results.main)
    title += " over the whole database, tie-aware" * (results.main == "map")
    return Table(title, ["method", "bits", *results.quantizations], rows, note, groups=True)


def figure_table(results: ComparisonResults, figure: str) -> Table:
    """Another figure at the typical number of bits, mean ± standard deviation."""
    bits = results.typical_bits
    rows = [[method, *_cells(results, figure, method, bits)] for method in results.methods]
    title = results.title(figure)
    header = ["method", *results.quantizations]
    if not title.startswith("mAP"):
        title = f"{title[0].upper()}{title[1:]}"
    return Table(f"{title}, {bits} bits", header, rows)


def _cells(results: ComparisonResults, figure: str, method: str, bits: int) -> list[str]:
    """One figure of each quantization; in bold as `BOLD` says."""
    values, digits = results.values(figure), min(FIGURES[figure].digits, _DIGITS)
    cells = {name: values.get((method, name, bits), {}) for name in results.quantizations}
    clearly_best = _clearly_best(cells, FIGURES[figure].better)
    texts = []
    for name, cell in cells.items():
        text = _why_empty(results, method, name, bits)
        if cell:
            text = plus_minus(Summary.of(cell.values()), digits)
        texts.append(f"**{text}**" if name == clearly_best else text)
    return texts


def _clearly_best(cells: dict[str, dict[int, float]], better: str) -> str | None:
    sign = {"higher": 1, "lower": -1, "": 0}[better]
    means = {name: sign * Summary.of(cell.values()).mean for name, cell in cells.items() if cell}
    if not sign or len(means) < 2:
        return None
    best, following = sorted(means, key=lambda name: -means[name])[:2]
    lead = Summary.of(sign * by for by in difference(cells[best], cells[following]).values())
    return best if lead.verdict == "above" else None


def _why_empty(results: ComparisonResults, method: str, quantization: str, bits: int) -> str:
    if (method, quantization) in results.not_run:
        return "not run"
    failed = any(
        (run.method, run.quantization, run.bits) == (method, quantization, bits)
        for run in results.failed
    )
    return "failed" if failed else "–"


def _not_run_note(results: ComparisonResults) -> str:
    by_method: dict[tuple[str, str], list[str]] = {}
    for (method, quantization), reason in results.not_run.items():
        by_method.setdefault((method, reason), []).append(quantization)
    told = [
        f"{method} with {', '.join(names)}: {reason}"
        for (method, reason), names in by_method.items()
    ]
    return "Not run: " + "; ".join(told) + "."


def differences_table(results: ComparisonResults, reference: str) -> Table:
    """The main figure of each quantization minus that of `reference`, with intervals."""
    found = results.differences(results.main, reference)
    others = [name for name in results.quantizations if name != reference]
    by_cell = {(one.method, one.quantization, one.bits): one for one in found}
    rows = []
    for method in results.methods:
        for bits in results.bits:
            cells = [by_cell.get((method, name, bits)) for name in others]
            if any(cells):
                texts = ["–" if cell is None else signed(cell.summary) for cell in cells]
                rows.append([method, str(bits), *texts])
    note = (
        f"Mean over the seeds ± half of the 95% t interval (n = {len(results.seeds)}, paired by "
        f"seed: the same split and the same initial weights). Positive: better than {reference}."
    )
    title = f"{results.title(results.main)} minus that of {reference}"
    return Table(title, ["method", "bits", *others], rows, note, groups=True)


def _compared(results: ComparisonResults, figure: str) -> Iterator[tuple[str, Overall | None]]:
    """Each quantization against native and against none, over all cells.

    None against native is native against none.
    """
    for reference in ("native", "none"):
        found = results.differences(figure, reference)
        for name in results.quantizations:
            if name not in (reference, "none"):
                yield f"{name} against {reference}", overall(found, name)


def overall_table(results: ComparisonResults) -> Table:
    """Each quantization against native and against none, over all cells."""
    rows = [
        [
            title,
            f"{one.higher} of {one.cells}",
            str(one.interval_above),
            str(one.interval_below),
            signed(one.mean, 4),
        ]
        for title, one in _compared(results, results.main)
        if one is not None
    ]
    name = results.title(results.main)
    header = ["", f"cells with higher {name}", "interval above 0", "below 0", "mean difference"]
    note = (
        "A cell is a method at a number of bits; those where the reference is not defined are left "
        "out. Mean difference: over the cells, then mean ± half of the 95% t interval over the "
        "seeds (cells share splits, so they are not independent)."
    )
    return Table(f"{name} over all cells", header, rows, note)


_EFFECTS = ("quantization_error", "bit_balance", "bit_correlation", "precision_within_radius")


def effects_table(results: ComparisonResults) -> Table:
    """What each quantization does to the codes, against native and against none."""
    effects = [dict(_compared(results, figure)) for figure in _EFFECTS]
    rows = [[title, *(_effect(one[title]) for one in effects)] for title in effects[0]]
    titles = map(results.title, _EFFECTS)
    note = (
        "Mean difference over all cells ± half of the 95% t interval over the seeds; in brackets "
        "the share of cells in which the figure is lower. Lower is better but for precision. "
        "Quantization error is that of the raw code, which has no natural scale without a "
        "quantization term."
    )
    return Table("Effect on the codes", ["", *titles], [row for row in rows if any(row[1:])], note)


def _effect(one: Overall | None) -> str:
    return "" if one is None else f"{signed(one.mean)} ({one.cells - one.higher} of {one.cells})"


def report_tables(results: ComparisonResults) -> list[Table]:
    """All tables, in the order in which a reader wants them."""
    tables = [main_table(results), overall_table(results)]
    for reference in ("native", "none"):
        if reference in results.quantizations and len(results.quantizations) > 1:
            tables.append(differences_table(results, reference))
    tables += [effects_table(results), settings_table(results)]
    others = (figure_table(results, name) for name in results.figures if name != results.main)
    return [table for table in (*tables, *others) if table.rows]


def write_cells(results: ComparisonResults, path: Path) -> None:
    """CSV, a row per cell: mean and standard deviation of every figure."""
    header = ["method", "quantization", "bits", "weight", "place", "seeds"]
    header += [f"{name}_{kind}" for name in results.figures for kind in ("mean", "deviation")]
    by_figure = {name: results.values(name) for name in results.figures}
    rows = []
    for cell in sorted(by_figure[results.main]):
        choice = results.choices[cell[:2]][0]
        row = [*cell, choice.weight, choice.place, len(by_figure[results.main][cell])]
        for values in by_figure.values():
            summary = Summary.of(values[cell].values())
            row += [_number(summary.mean), _number(summary.deviation)]
        rows.append(row)
    _write_csv(path, header, rows)


def write_differences(results: ComparisonResults, path: Path) -> None:
    """CSV, a row per cell, figure and reference: paired difference and its interval."""
    names = "method quantization reference bits figure seeds mean low high"
    rows = [
        [one.method, one.quantization, reference, one.bits, name, one.summary.count]
        + [_number(value) for value in (one.summary.mean, *one.summary.interval)]
        for name in results.figures
        for reference in ("native", "none")
        for one in results.differences(name, reference)
    ]
    _write_csv(path, names.split(), rows)


def _write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def plus_minus(summary: Summary, digits: int) -> str:
    """Mean ± standard deviation."""
    if math.isnan(summary.deviation):
        return f"{summary.mean:.{digits}f}"
    return f"{summary.mean:.{digits}f} ± {summary.deviation:.{digits}f}"


def signed(summary: Summary, digits: int = 3) -> str:
    """Mean with its sign ± half of the interval."""
    mean = f"{summary.mean:+.{digits}f}".replace("-", "−")
    if math.isnan(summary.half_width):
        return mean
    return f"{mean} ± {summary.half_width:.{digits}f}"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
