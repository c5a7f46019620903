"""Tables in Markdown."""

from collections.abc import Iterable

from training.compare.comparison_report.statistics import Summary


def head(*cells: str) -> list[str]:
    """The first two lines of a table."""
    return [f"| {' | '.join(cells)} |", "|---" * len(cells) + "|"]


def interval(values: Iterable[float], digits: int = 4) -> str:
    """Mean of differences, one per seed, ± half of its 95% interval; empty without any."""
    values = list(values)
    if not values:
        return ""
    summary = Summary.of(values)
    spread = f" ± {summary.half_width:.{digits}f}" if summary.count > 1 else ""
    return f"{summary.mean:+.{digits}f}{spread}"
