"""Worker processes, and the results that come from them."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from training.compare.grid_run import GridRun
from training.compare.recipe import Mode

# Many small runs side by side have one thread each; a backbone is trained on all cores.
_ENVIRONMENTS: dict[Mode, dict[str, str]] = {
    "frozen": {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    },
    "fine-tuned": {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
}
_ROOT = Path(__file__).resolve().parents[3]


def run_all(
    groups: list[list[GridRun]],
    folder: Path,
    arrays_folder: Path,
    workers: int,
    finished: Callable[[GridRun, dict[str, Any]], None],
    mode: Mode = "frozen",
) -> None:
    """Trains all runs, group by group, in worker processes.

    The runs of a group go to one worker, which compiles once for them. `finished` is called in
    the calling thread, so that one process alone writes the results.

    Args:
        groups: Runs that differ in their seed only, group by group.
        folder: Where `FrozenData.write` or `ImageData.write` wrote the data.

    Raises:
        ChildProcessError: when a worker ends before its work (out of memory, killed).
    """
    waiting: queue.SimpleQueue[list[GridRun]] = queue.SimpleQueue()
    for group in groups:
        waiting.put(group)
    results: queue.SimpleQueue[Any] = queue.SimpleQueue()
    processes = [_Worker(mode, folder, arrays_folder) for _ in range(min(workers, len(groups)))]
    threads = [
        threading.Thread(target=worker.serve, args=(waiting, results), daemon=True)
        for worker in processes
    ]
    try:
        for thread in threads:
            thread.start()
        left = sum(map(len, groups))
        while left:
            answer = results.get()
            if isinstance(answer, Exception):
                raise answer
            finished(*answer)
            left -= 1
    finally:
        for worker in processes:
            worker.stop()


class _Worker:
    def __init__(self, mode: Mode, folder: Path, arrays_folder: Path) -> None:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `stop`)
        folders = [str(folder.resolve()), str(arrays_folder.resolve())]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "training.compare.workers.worker", mode, *folders],
            cwd=_ROOT,
            env={**os.environ, **_ENVIRONMENTS[mode]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def serve(self, waiting: queue.SimpleQueue, results: queue.SimpleQueue) -> None:
        """Gives the worker one group after another."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self._answer(self.process.stdout)
            while True:
                try:
                    group = waiting.get_nowait()
                except queue.Empty:
                    return
                for run in group:
                    self.process.stdin.write(json.dumps(run.to_json()) + "\n")
                    self.process.stdin.flush()
                    answer = self._answer(self.process.stdout)
                    results.put((GridRun.of(answer["run"]), answer["result"]))
        except (OSError, ValueError) as error:
            results.put(error)

    def _answer(self, output: IO[str]) -> dict[str, Any]:
        line = output.readline()
        if line.endswith("\n"):
            return json.loads(line)
        code = self.process.wait()
        self.log.seek(0)
        tail = self.log.read().decode(errors="replace").strip().splitlines()[-12:]
        raise ChildProcessError(
            f"A worker of the comparison ended with code {code}. Finished runs are kept; the same "
            "command resumes. Its last words:\n" + "\n".join(tail)
        )

    def stop(self) -> None:
        """Ends the process, also in the middle of a run."""
        with contextlib.suppress(OSError):
            self.process.terminate()
        self.process.wait()
        self.log.close()
