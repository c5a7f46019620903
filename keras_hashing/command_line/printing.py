"""What the commands of `export` print for a reader."""

from typing import Any

from rich.console import Console
from rich.text import Text

out = Console()


def print_facts(facts: dict[str, Any]) -> None:
    """Prints a line for each name and value."""
    for name, value in facts.items():
        out.print(Text.assemble((f"{name:>12}  ", "bold"), str(value)), soft_wrap=True)
