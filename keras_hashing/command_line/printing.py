"""What the commands of `export` print for a reader."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

out = Console()

_ANY_WIDTH = 10_000  # characters


def print_facts(facts: dict[str, Any]) -> None:
    """Prints a line for each name and value."""
    for name, value in facts.items():
        out.print(Text.assemble((f"{name:>12}  ", "bold"), str(value)), soft_wrap=True)


def print_whole(table: Table) -> None:
    """Prints a table with no cell cut or broken: an id is to be copied, so rather a long line."""
    needed = out.measure(table, options=out.options.update(max_width=_ANY_WIDTH)).maximum
    Console(width=max(out.width, needed)).print(table)
