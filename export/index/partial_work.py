"""The folder of work that can be interrupted and resumed."""

import json
from pathlib import Path
from typing import Any

from keras_hashing.files.atomic_write import write_json


def begin_or_resume(
    folder: Path, file: str, plan: dict[str, Any], begun: bool, resume: bool, what: str
) -> None:
    """Makes the folder of a work's parts, or checks that those in it are of this very work.

    Args:
        folder: where parts are saved until the work is done.
        file: the name of the file in it that says what the work is.
        what: the work in a word, such as "build".

    Raises:
        FileExistsError: if there are parts and `resume` is false.
        ValueError: if there are parts of other work.
    """
    path = folder / file
    if not begun:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, plan)
        return
    if not resume:
        raise FileExistsError(
            f"An interrupted {what} is there: {folder}. Resume it with --resume, or delete it"
        )
    try:
        interrupted = json.loads(path.read_text())
    except (OSError, ValueError):
        interrupted = {}
    for name, value in plan.items():
        if interrupted.get(name) != value:
            raise ValueError(
                f"What was interrupted is another {what}: {folder}. `{name}` was "
                f"{interrupted.get(name)!r}. Received: {value!r}; delete the folder to start again"
            )
