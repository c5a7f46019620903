"""What a pydantic model refused, for a reader."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_LONGEST = 100


def broken_rules(error: "ValidationError") -> str:
    """One line for each value that breaks its rule: where it stands, the rule, what was received.

    The message of a validator of ours says all three itself.
    """
    lines = []
    for problem in error.errors():
        if problem["type"] == "value_error":
            lines.append(str(problem["ctx"]["error"]))
            continue
        name = ".".join(map(str, problem["loc"]))
        where = f"`{name}`: " if name else ""
        received = repr(problem["input"])
        if len(received) > _LONGEST:
            received = f"{received[:_LONGEST]}…"
        lines.append(f"{where}{problem['msg']}. Received: {received}")
    return "\n".join(lines)
