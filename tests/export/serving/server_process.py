"""The test server in a process of its own, whose memory can be measured and that can be killed."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self


class ServerProcess:
    """Serves a model from a process that ends with the `with` statement.

    Args:
        base_path: the folder of the model's numbered versions.
        name: the model's name.
        environment: variables beside those of this process.
    """

    def __init__(
        self, base_path: Path, name: str, environment: Mapping[str, str] | None = None
    ) -> None:
        root = Path(__file__).parents[3]
        script = Path(__file__).with_name("prediction_server.py")
        self._process = subprocess.Popen(
            [
                *(sys.executable, str(script)),
                *("--model-base-path", str(Path(base_path).absolute()), "--model-name", name),
            ],
            cwd=root,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        ports = json.loads(self._process.stdout.readline())
        self.target = f"127.0.0.1:{ports['grpc']}"
        self.rest_target = f"127.0.0.1:{ports['rest']}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # it serves until then
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
