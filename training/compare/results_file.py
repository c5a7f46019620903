"""Results as JSON lines, each on the disk before the next run begins."""

import json
import os
from pathlib import Path
from typing import Any

from training.compare.grid_run import GridRun


class ResultsFile:
    """The lines of a comparison.

    A line is whole when it ends in a line break. What follows the last one was cut off by an
    interruption: it is not read, and dropped before the next line is written.

    Args:
        path: The file; it need not exist yet.
        digest: Digest of the settings; each line bears it, and lines of others are refused.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.digest = digest

    def read(self) -> dict[GridRun, dict[str, Any]]:
        """The line of each run, the latest if there are several.

        Raises:
            ValueError: when a whole line is no JSON object of this kind, or is of other settings.
        """
        if not self.path.exists():
            return {}
        lines = self.path.read_bytes().split(b"\n")[:-1]
        found = {}
        for number, text in enumerate(lines, 1):
            try:
                line = json.loads(text)
                run = GridRun.of(line)
                digest = line["settings"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"Line {number} of {self.path} is no result of a comparison ({error!r})"
                ) from None
            if digest != self.digest:
                raise ValueError(
                    f"Line {number} of {self.path} was measured with other settings: results do "
                    f"not mix. Received: settings {digest}, expected {self.digest}; choose another "
                    "--output"
                )
            found[run] = line
        return found

    def append(self, run: GridRun, result: dict[str, Any]) -> None:
        """Writes one line, and returns when it is on the disk."""
        line = {"settings": self.digest, **run.to_json(), **result}
        content = json.dumps(line).encode() + b"\n"
        with self.path.open("ab+") as file:
            self._drop_what_is_not_whole(file)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    @staticmethod
    def _drop_what_is_not_whole(file: Any) -> None:
        size = file.seek(0, os.SEEK_END)
        if not size:
            return
        file.seek(size - 1)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
