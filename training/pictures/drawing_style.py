"""Colours and style of all drawings."""

import io
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

# Okabe & Ito's palette: told apart by colour-blind readers too.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7f7f7f"
SKY, AMBER, GREEN, PINK = "#56B4E9", "#E69F00", "#009E73", "#CC79A7"

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "savefig.dpi": 130,
    "figure.constrained_layout.use": True,
}


def mark_cut(axes: Any, low: tuple[float, float], axis: str = "y") -> None:
    """Marks an axis that does not show all there is, by a broken line at its end.

    Args:
        low: Where the mark goes, in shares of the axes: (0, 0) for where both begin.
        axis: "x" or "y".
    """
    stroke = [(-1, -0.6), (1, 0.6)] if axis == "y" else [(-0.6, -1), (0.6, 1)]
    step = 0.03
    for at in (0, step):
        x, y = (low[0], low[1] + at) if axis == "y" else (low[0] + at, low[1])
        axes.plot(
            [x],
            [y],
            transform=axes.transAxes,
            marker=stroke,
            markersize=11,
            color="k",
            linestyle="none",
            clip_on=False,
        )


def as_png(figure: Any) -> bytes:
    """A figure as a PNG file; it is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return buffer.getvalue()
