"""The figures of a report."""

import itertools
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
    results: ComparisonResults,
    x: str,
    y: str,
    draw: Callable[[Any, str, str], None],
    share_y: bool = True,
    **limits: Any,
) -> Any:
    """A panel per method with all its quantizations, and a legend; None where nothing is drawn.

    Args:
        x: What the horizontal axis shows.
        y: What the vertical axis shows.
        draw: Draws a quantization of a method: called with axes, method and quantization.
        share_y: Whether all panels have the vertical axis of the others.
        **limits: What all axes get.
    """
    columns = min(_COLUMNS, len(results.methods))
    rows = -(-len(results.methods) // columns)
    size = _WIDTH, 0.4 + rows * min(4.2, 0.75 * _WIDTH / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, sharex=True, sharey=share_y, squeeze=False
    )
    shown = {}
    for method, axis in zip(results.methods, axes.flat, strict=False):
        for name in results.quantizations:
            draw(axis, method, name)
        axis.set(title=method, **limits)
        axis.tick_params(labelbottom=True)
        handles, labels = axis.get_legend_handles_labels()
        shown.update(dict(zip(labels, handles, strict=True)))
    if not shown:
        plt.close(figure)
        return None
    for axis in axes.flat[len(results.methods) :]:
        axis.set_axis_off()
    if axes[0, 0].get_ylim()[0] > 0:
        for axis in axes.flat[: len(results.methods)]:
            mark_cut(axis, (0, 0.01))
    figure.supxlabel(x, fontsize="medium")
    figure.supylabel(y, fontsize="medium")
    names = [name for name in COLOURS if name in shown]
    handles = [shown[name] for name in names]
    figure.legend(handles, names, loc="outside upper left", ncols=len(names))
    return figure


def _style_of(name: str) -> dict[str, Any]:
    width, order = (2.2, 3) if name == "hswd" else (1.5, 2)
    return {"color": COLOURS[name], "linewidth": width, "label": name, "zorder": order}


def _by_bits(results: ComparisonResults) -> Any:
    values, lengths = results.values(results.main), results.bits

    def draw(axis: Any, method: str, name: str) -> None:
        found = {
            bits: Summary.of(values[method, name, bits].values())
            for bits in lengths
            if (method, name, bits) in values
        }
        if found:
            # Side by side, so that bars of equal means can be told apart.
            middle = (len(results.quantizations) - 1) / 2
            shift = (results.quantizations.index(name) - middle) * 0.06
            axis.errorbar(
                [lengths.index(bits) + shift for bits in found],
                [summary.mean for summary in found.values()],
                [np.nan_to_num(summary.deviation) for summary in found.values()],
                marker="o",
                markersize=4,
                capsize=3,
                **_style_of(name),
            )

    ticks = range(len(lengths))
    return _panels(
        results, "bits", results.title(results.main), draw, xticks=ticks, xticklabels=lengths
    )


def _of_arrays(
    results: ComparisonResults, needed: str, draw: Callable[[Any, str, list[dict]], None]
) -> Callable[[Any, str, str], None]:
    """What draws a quantization from the arrays of its runs, where these have what is needed."""

    def of_cell(axis: Any, method: str, name: str) -> None:
        runs = results.arrays((method, name, results.typical_bits)).values()
        if found := [run for run in runs if needed in run]:
            draw(axis, name, found)

    return of_cell


def _precision_recall(results: ComparisonResults) -> Any:
    def draw(axis: Any, name: str, runs: list[dict]) -> None:
        precision = np.mean([run["precision"] for run in runs], axis=0)
        recall = np.mean([run["recall"] for run in runs], axis=0)
        # Balls that are empty for most queries have no precision to speak of.
        sound = recall > 0.01
        axis.plot(recall[sound], precision[sound], **_style_of(name))

    of_cell = _of_arrays(results, "precision", draw)
    return _panels(results, "recall", "precision", of_cell, xlim=(0, 1), ylim=(0, 1))


def _bit_balance(results: ComparisonResults) -> Any:
    def draw(axis: Any, name: str, runs: list[dict]) -> None:
        means = np.mean([np.sort(np.abs(run["bit_mean"])) for run in runs], axis=0)
        axis.plot(np.arange(1, len(means) + 1), means, **_style_of(name))

    of_cell = _of_arrays(results, "bit_mean", draw)
    return _panels(results, "bit, from the most balanced on", "|mean|", of_cell, ylim=(0, 1))


def _code_histogram(results: ComparisonResults) -> Any:
    def draw(axis: Any, name: str, runs: list[dict]) -> None:
        if name not in ("none", "native", "hswd"):
            return
        counts = np.sum([run["histogram"] for run in runs], axis=0)
        edges = runs[0]["histogram_edges"]
        density = counts / counts.sum() / np.diff(edges)
        style = {"fill": True, "alpha": 0.45} if name == "hswd" else {}
        # The outer bars hold all that lies beyond them.
        axis.stairs(density[1:-1], edges[1:-1], color=COLOURS[name], label=name, **style)
        for end in (0.01, 0.96):
            mark_cut(axis, (end, 0), axis="x")

    of_cell = _of_arrays(results, "histogram", draw)
    limits = {"xlim": (-_HISTOGRAM, _HISTOGRAM), "xticks": [-3, -1, 1, 3], "yticks": []}
    return _panels(results, "value of a continuous code", "density", of_cell, False, **limits)


def _bit_correlation(results: ComparisonResults) -> Any:
    rows = [name for name in ("none", "native", "hswd", "swd") if name in results.quantizations]
    columns, image = results.methods, None
    if not rows:
        return None
    size = _WIDTH, 0.5 + len(rows) * min(2.6, (_WIDTH - 1.5) / len(columns))
    figure, axes = plt.subplots(len(rows), len(columns), figsize=size, squeeze=False)
    for (row, name), (column, method) in itertools.product(enumerate(rows), enumerate(columns)):
        axis = axes[row, column]
        axis.set(xticks=[], yticks=[], frame_on=False)
        axis.set(title=method if row == 0 else "", ylabel="" if column else name)
        for run in list(results.arrays((method, name, results.typical_bits)).values())[:1]:
            matrix = np.abs(run["bit_correlation"].astype(np.float32))
            np.fill_diagonal(matrix, np.nan)
            image = axis.imshow(matrix, vmin=0, vmax=0.6, cmap="viridis")
    if image is not None:
        figure.colorbar(image, ax=axes, shrink=0.7, extend="max")
    return figure
