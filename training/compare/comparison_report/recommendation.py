"""Which setting to take: a stated rule, applied to the results."""

import itertools
from dataclasses import dataclass

from training.compare.comparison_report.results import ComparisonResults
from training.compare.comparison_report.statistics import Cell, Summary, difference, name_of
from training.compare.comparison_report.tables import plus_minus, signed

FEWEST_SEEDS = 3
MOST_LOST = 0.05  # of the main figure, by taking what is simple

RULE = (
    "At each number of bits, the setting with the highest mean over the seeds leads. Another is "
    "told apart from it if the 95% t interval of their differences, paired by seed (the same split "
    "and initial weights), leaves out 0. Where the leader has a quantization loss, the best "
    "setting without one is taken in its place if it is not told apart from it and by that "
    f"interval loses less than {MOST_LOST}: it leaves nothing to choose. With fewer than "
    f"{FEWEST_SEEDS} seeds there are too few to tell, and so there are if the leader has a "
    "quantization loss and every "
    "interval of those not told apart from it is wider than that. A setting of which fewer seeds "
    "are finished than of others is left out. Expect a little less on other queries than on those "
    "by which a setting was chosen."
)


@dataclass(frozen=True)
class Recommendation:
    """What to take at one number of bits.

    Args:
        leader: The cell with the highest mean.
        figure: Its figure over the seeds.
        take: The cell to take: the leader, or a simpler one that is as good.
        tied: The leader minus each cell that is not told apart from it, the next best first.
        told: Whether there are enough seeds to tell.
    """

    leader: Cell
    figure: Summary
    take: Cell
    tied: dict[Cell, Summary]
    told: bool

    @property
    def bits(self) -> int:
        """The length of the codes."""
        return self.leader[2]

    def sentence(self, name: str) -> str:
        """What to take, and why.

        Args:
            name: That of the figure.
        """
        bits, leader, seeds = self.bits, name_of(self.leader), self.figure.count
        found = f"{name} {plus_minus(self.figure, 3)}, mean of {seeds} seed{'s' * (seeds != 1)}"
        tied = [f"{name_of(cell)} ({_lower(by)})" for cell, by in self.tied.items()]
        others = f"{len(tied)} other{'s' * (len(tied) != 1)}"
        if not self.told:
            return (
                f"{bits} bits: too few seeds to tell. **{leader}** is highest ({found})"
                + (f", but not told apart from {others}, next {tied[0]}" if tied else "")
                + ". Run more seeds."
            )
        if self.take != self.leader:
            lower = _lower(self.tied[self.take])
            return (
                f"{bits} bits: take **{name_of(self.take)}**. The highest is {leader} ({found}), "
                f"but the difference is noise ({lower}), and without a quantization loss there is "
                "nothing to choose."
            )
        why = (
            f"not told apart from {others}, next {tied[0]}"
            if tied
            else "told apart from all others"
        )
        return f"{bits} bits: take **{leader}**: the highest ({found}), {why}."


def _lower(by: Summary) -> str:
    return f"{signed(by).removeprefix('+')} lower"


def recommend(results: ComparisonResults, bits: int) -> Recommendation | None:
    """Applies `RULE`; None where no run of this length is finished."""
    values = {cell: one for cell, one in results.values(results.main).items() if cell[2] == bits}
    if not values:
        return None
    fullest = max(values.values(), key=len)
    means = {
        cell: Summary.of(one.values()) for cell, one in values.items() if set(one) == set(fullest)
    }
    leader, *others = sorted(means, key=lambda cell: -means[cell].mean)
    leads = {cell: Summary.of(difference(values[leader], values[cell]).values()) for cell in others}
    tied = {cell: lead for cell, lead in leads.items() if lead.verdict != "above"}
    as_good = [cell for cell, lead in tied.items() if lead.interval[1] < MOST_LOST]
    is_simple = leader[1] == "none"
    told = len(fullest) >= FEWEST_SEEDS and bool(as_good or not tied or is_simple)
    simple = [cell for cell in as_good if cell[1] == "none"]
    take = simple[0] if told and simple and not is_simple else leader
    return Recommendation(leader, means[leader], take, tied, told)


def gain_by_bits(results: ComparisonResults, cell: Cell) -> list[str]:
    """What longer codes give a setting, as a sentence; none where it was run at one length."""
    values = results.values(results.main)
    lengths = [bits for bits in results.bits if (*cell[:2], bits) in values]
    gains = []
    for short, long in itertools.pairwise(lengths):
        paired = difference(values[*cell[:2], long], values[*cell[:2], short])
        if paired:
            gain = Summary.of(paired.values())
            noise = " (noise)" * (gain.verdict == "even")
            gains.append(f"{signed(gain)} from {short} to {long} bits{noise}")
    figure = results.title(results.main)
    return [f"Longer codes, {name_of(cell)}: {figure} {', '.join(gains)}."] if gains else []
