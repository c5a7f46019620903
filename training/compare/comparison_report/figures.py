"""The figures of a report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from training.compare.comparison_report.results import ComparisonResults
from training.compare.comparison_report.statistics import Summary
from training.pictures.drawing_style import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    SKY,
    STYLE,
    as_png,
    mark_cut,
)

COLOURS = {
    "none": GREY,
    "native": AMBER,
    "sign": GREEN,
    "hswd": BLUE,
    "hswd-pairs": SKY,
    "swd": PINK,
    "ot": ORANGE,
}
_COLUMNS = 3
_WIDTH = 11.0  # inches, of all panels
_HISTOGRAM = 4  # where its axis is cut


def write_figures(results: ComparisonResults, folder: Path) -> dict[str, Path]:
    """Draws all figures as PNG files.

    Args:
        results: The runs.
        folder: Where the files go.

    Returns:
        The files by what they show, in the order in which a reader wants them.
    """
    bits, seeds, main = results.typical_bits, results.seeds, results.title(results.main)
    drawings: list[tuple[str, Callable[[ComparisonResults], Any], str]] = [
        (
            f"{results.main}_by_bits",
            _by_bits,
            f"{main} by bits. Mean over {len(seeds)} seeds, bars: standard deviation. The vertical "
            "axis is cut where it has two strokes: it does not begin at 0.",
        ),
        (
            "precision_recall",
            _precision_recall,
            f"Precision and recall within each Hamming radius, {bits} bits, mean over the seeds.",
        ),
        (
            "code_histogram",
            _code_histogram,
            f"Continuous codes of the database, {bits} bits, all seeds. The horizontal axis is cut "
            f"at both ends: codes beyond ±{_HISTOGRAM} are not shown.",
        ),
        (
            "bit_balance",
            _bit_balance,
            f"Bit balance: |mean of the ±1 bit| of each bit, sorted, {bits} bits, mean over the "
            "seeds. 0 is balanced.",
        ),
        (
            "bit_correlation",
            _bit_correlation,
            f"Bit correlation: |Pearson correlation| of each pair of bits, {bits} bits, seed "
            f"{seeds[0]}. The scale is cut where it ends in a point.",
        ),
    ]
    written = {}
    for name, draw, caption in drawings:
        with plt.rc_context(STYLE):
            figure = draw(results)
            if figure is not None:
                path = folder / f"{name}.png"
                path.write_bytes(as_png(figure))
                written[caption] = path
    return written


def _panels(
    results: ComparisonResults, x: str, y: str, share_y: bool
) -> tuple[Any, dict[str, Any]]:
    """A panel per method."""
    columns = min(_COLUMNS, len(results.methods))
    rows = -(-len(results.methods) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(_WIDTH, 0.4 + rows * min(4.2, 0.75 * _WIDTH / columns)),
        sharex=True,
        sharey=share_y,
        squeeze=False,
    )
    panels = dict(zip(results.methods, axes.flat, strict=False))
    for axis in axes.flat[len(results.methods) :]:
        axis.set_axis_off()
    for method, axis in panels.items():
        axis.set_title(method)
        axis.tick_params(labelbottom=True)
    figure.supxlabel(x, fontsize="medium")
    figure.supylabel(y, fontsize="medium")
    return figure, panels


def _legend(figure: Any, panels: dict[str, Any]) -> None:
    """One legend above all panels, of the quantizations that any of them shows."""
    shown = {}
    for axis in panels.values():
        handles, labels = axis.get_legend_handles_labels()
        shown.update(dict(zip(labels, handles, strict=True)))
    order = [name for name in COLOURS if name in shown]
    figure.legend(
        [shown[name] for name in order], order, loc="outside upper left", ncols=len(order)
    )


def _by_bits(results: ComparisonResults) -> Any:
    values = results.values(results.main)
    figure, panels = _panels(results, "bits", results.title(results.main), share_y=True)
    for method, axis in panels.items():
        for at, name in enumerate(results.quantizations):
            cells = {
                b: values[method, name, b] for b in results.bits if (method, name, b) in values
            }
            if not cells:
                continue
            summaries = [Summary.of(cell.values()) for cell in cells.values()]
            # Side by side, so that bars of equal means can be told apart.
            shift = (at - (len(results.quantizations) - 1) / 2) * 0.06
            axis.errorbar(
                [results.bits.index(bits) + shift for bits in cells],
                [summary.mean for summary in summaries],
                [np.nan_to_num(summary.deviation) for summary in summaries],
                marker="o",
                markersize=4,
                capsize=3,
                **_style_of(name),
            )
        axis.set_xticks(range(len(results.bits)), [str(bits) for bits in results.bits])
    for axis in panels.values():
        if axis.get_ylim()[0] > 0:
            mark_cut(axis, (0, 0.01))
        else:
            axis.set_ylim(bottom=0)
    _legend(figure, panels)
    return figure


def _style_of(name: str) -> dict[str, Any]:
    of_interest = name == "hswd"
    width, order = (2.2, 3) if of_interest else (1.5, 2)
    return {"color": COLOURS[name], "linewidth": width, "label": name, "zorder": order}


def _curves(
    results: ComparisonResults, x: str, y: str, curve: Callable[[list[dict]], tuple[Any, Any]]
) -> tuple[Any, dict[str, Any]]:
    """In the panel of each method a curve per quantization, made from its runs' arrays."""
    figure, panels = _panels(results, x, y, share_y=True)
    for method, axis in panels.items():
        for name in results.quantizations:
            runs = results.arrays((method, name, results.typical_bits))
            if runs:
                axis.plot(*curve(list(runs.values())), **_style_of(name))
    _legend(figure, panels)
    return figure, panels


def _precision_recall(results: ComparisonResults) -> Any:
    def curve(runs: list[dict]) -> tuple[Any, Any]:
        precision = np.mean([run["precision"] for run in runs], axis=0)
        recall = np.mean([run["recall"] for run in runs], axis=0)
        # Balls that are empty for most queries have no precision to speak of.
        sound = recall > 0.01
        return recall[sound], precision[sound]

    figure, panels = _curves(results, "recall", "precision", curve)
    for axis in panels.values():
        axis.set(xlim=(0, 1), ylim=(0, 1))
    return figure


def _bit_balance(results: ComparisonResults) -> Any:
    def curve(runs: list[dict]) -> tuple[Any, Any]:
        means = np.mean([np.sort(np.abs(run["bit_mean"])) for run in runs], axis=0)
        return np.arange(1, len(means) + 1), means

    figure, panels = _curves(results, "bit, from the most balanced on", "|mean|", curve)
    for axis in panels.values():
        axis.set_ylim(bottom=0)
    return figure


def _code_histogram(results: ComparisonResults) -> Any:
    figure, panels = _panels(results, "value of a continuous code", "density", share_y=False)
    for method, axis in panels.items():
        for name in ("none", "native", "hswd"):
            runs = results.arrays((method, name, results.typical_bits))
            if runs:
                counts = np.sum([run["histogram"] for run in runs.values()], axis=0)
                edges = next(iter(runs.values()))["histogram_edges"]
                density = counts / counts.sum() / np.diff(edges)
                # The outer bars hold all that lies beyond them.
                axis.stairs(
                    density[1:-1],
                    edges[1:-1],
                    color=COLOURS[name],
                    fill=name == "hswd",
                    alpha=0.45 if name == "hswd" else 1.0,
                    label=name,
                )
        axis.set(xlim=(-_HISTOGRAM, _HISTOGRAM), xticks=[-3, -1, 1, 3], yticks=[])
        for end in (0.01, 0.96):
            mark_cut(axis, (end, 0), axis="x")
    _legend(figure, panels)
    return figure


def _bit_correlation(results: ComparisonResults) -> Any:
    rows = [name for name in ("none", "native", "hswd", "swd") if name in results.quantizations]
    columns = results.methods
    if not rows:
        return None
    figure, axes = plt.subplots(
        len(rows),
        len(columns),
        figsize=(_WIDTH, 0.5 + len(rows) * min(2.6, (_WIDTH - 1.5) / len(columns))),
        squeeze=False,
    )
    image = None
    for row, name in enumerate(rows):
        for column, method in enumerate(columns):
            axis = axes[row, column]
            axis.set_xticks([])
            axis.set_yticks([])
            axis.grid(False)
            for side in axis.spines.values():
                side.set_visible(False)
            runs = results.arrays((method, name, results.typical_bits))
            if runs:
                matrix = np.abs(next(iter(runs.values()))["bit_correlation"].astype(np.float32))
                np.fill_diagonal(matrix, np.nan)
                image = axis.imshow(matrix, vmin=0, vmax=0.6, cmap="viridis")
            else:
                axis.text(
                    0.5, 0.5, "–", ha="center", va="center", transform=axis.transAxes, color="grey"
                )
            if row == 0:
                axis.set_title(method)
            if column == 0:
                axis.set_ylabel(name)
    if image is not None:
        figure.colorbar(image, ax=axes, shrink=0.7, extend="max")
    return figure
