"""Training one model on several devices, or by several processes."""

import atexit
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from keras_hashing.command_line.stages import stage
from keras_hashing.models import HashingModel
from training.callbacks.checkpoint import latest_checkpoint
from training.callbacks.undistributed import synchronized
from training.data.epoch_order import Share
from training.runs.run_folder import RunFolder
from training.trainer.processes import ALONE, Processes, processes_of

_BY_PROCESSES = (
    "several processes train on the JAX backend: set KERAS_BACKEND=jax in each of them (Keras' fit "
    "fails under TensorFlow's MultiWorkerMirroredStrategy, keras issue 20585)"
)
# JAX has no class of errors for another process that cannot be reached.
_OF_CONNECTION = ("Gloo", "NCCL", "UNAVAILABLE")
_SECONDS_TO_TELL = 5.0


@dataclass(frozen=True)
class Distribution:
    """How a training is distributed.

    A batch is global: its size is that of all devices together, and the loss, the weights and the
    history are those of one device that has it whole.

    Args:
        kind: "none"; "mirrored", by one process on TensorFlow; "data-parallel", on JAX.
        devices: Devices of all processes together.
        processes: This process among those that train together.
        strategy: `tf.distribute.Strategy` or `keras.distribution.Distribution`.
    """

    kind: Literal["none", "mirrored", "data-parallel"] = "none"
    devices: int = 1
    processes: Processes = ALONE
    strategy: Any = None

    @property
    def first(self) -> bool:
        """Whether this process writes the run folder and measures; the others only train."""
        return self.processes.number == 0

    @property
    def share(self) -> Share:
        """What this process reads of each batch."""
        return Share(self.processes.number, self.processes.count)

    def scope(self) -> AbstractContextManager:
        """Weights that are made in it are on all devices."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def check(self, size: int, quantization: str) -> None:
        """Refuses a batch or a quantization that cannot be dealt out, by a `ValueError`."""
        if self.kind == "data-parallel" and quantization == "ot":
            raise ValueError(
                "`quantization` 'ot' is solved by one process for one device on the JAX backend. "
                "Received: quantization='ot', distributed by data-parallel"
            )
        if size % self.devices:
            raise ValueError(
                f"`batch_size` must be a multiple of the number of devices, {self.devices}, which "
                f"get equal parts of a batch. Received: {size}"
            )

    @contextmanager
    def training(self, model: HashingModel) -> Iterator[None]:
        """What to train a model in."""
        if self.kind == "mirrored":
            model.jit_compile = False  # XLA does not compile what gathers a batch
        # TensorFlow's strategy knows its model; in its scope a callback's would be on all too.
        scope = nullcontext() if self.kind == "mirrored" else self.scope()
        with synchronized(model, self.kind == "mirrored"), scope:
            yield

    def from_first(self, make: Callable[[], bytes]) -> bytes:
        """What `make` gives in the first process, in all; what it raises is raised in all."""
        if self.processes.count == 1:
            return make()
        answer, error = b"", None
        if self.first:
            try:
                answer = b"+" + make()
            except (ValueError, OSError) as raised:
                answer, error = b"-" + str(raised).encode(), raised
        answer = _broadcast(answer)
        if answer[:1] == b"-":
            self.part()
            raise error or ValueError(f"Process 0 stopped: {answer[1:].decode()}")
        return answer[1:]

    @contextmanager
    def checkpoint_of_first(self, folder: RunFolder) -> Iterator[tuple[Path, int] | None]:
        """The latest checkpoint of the first process, for all; see `latest_checkpoint`."""
        found = latest_checkpoint(folder.checkpoints) if self.first else None
        if self.processes.count == 1:
            yield found
            return
        content = self.from_first(lambda: b"" if found is None else found[0].read_bytes())
        epoch = self.from_first(lambda: b"" if found is None else b"%d" % found[1])
        with tempfile.TemporaryDirectory() as copies:
            copy = Path(copies) / "checkpoint.keras"
            copy.write_bytes(content)
            yield (copy, int(epoch)) if content else None

    def check_same(self, what: str, facts: Any) -> None:
        """Refuses, by a `ValueError`, facts that are not those of the first process."""
        own = json.loads(json.dumps(facts))
        first = json.loads(self.from_first(json.dumps(facts).encode))
        differing = [name for name in own if own[name] != first.get(name)]
        if differing:
            raise ValueError(
                f"All processes must have the same {what}. Process {self.processes.number} differs "
                f"from process 0 in {', '.join(f'`{name}`' for name in differing)}"
            )

    def on_all(self, model: keras.Model) -> keras.Model:
        """In `scope`: a copy of a model on all devices, or the model if there is one device."""
        if self.strategy is None:
            return model
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        return copy

    def alone(self, model: keras.Model) -> keras.Model:
        """A copy of a model on one device of the first process, or the model if it is on one."""
        if self.strategy is None or not self.first:
            return model
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            return keras.saving.load_model(path)

    def part(self) -> None:
        """Lets all processes go their ways, once each has come here."""
        if self.processes.count > 1:
            import jax

            jax.distributed.shutdown()


ON_ONE_DEVICE = Distribution()


@contextmanager
def distributed(distribute: str) -> Iterator[Distribution]:
    """The distribution that a setting and the environment ask for; several processes meet here.

    Args:
        distribute: "auto", "none", "mirrored" or "data-parallel", as in the settings.

    Raises:
        ValueError: when it cannot be had.
        ConnectionError: when the processes do not find each other, or lose each other later.
    """
    processes = processes_of()
    if distribute == "none":
        yield ON_ONE_DEVICE
        return
    if keras.backend.backend() == "tensorflow":
        yield _mirrored(distribute, processes)
        return
    if distribute == "mirrored":
        raise ValueError(
            "`distribute` 'mirrored' is for the TensorFlow backend; JAX's is 'data-parallel'. "
            "Received: mirrored, with KERAS_BACKEND=jax"
        )
    if processes.count > 1:
        _meet(processes)
    try:
        yield _data_parallel(distribute, processes)
    except BaseException as error:
        if processes.count == 1:
            raise
        atexit.register(_leave_at_once, processes)
        if any(word in str(error) for word in _OF_CONNECTION):
            raise ConnectionError(_lost(processes, error)) from error
        raise


def _mirrored(distribute: str, processes: Processes) -> Distribution:
    if distribute == "data-parallel" or processes.count > 1:
        raise ValueError(
            f"`distribute` 'data-parallel' is for the JAX backend; {_BY_PROCESSES}. Received: "
            f"distribute={distribute!r}, {processes.count} processes, KERAS_BACKEND=tensorflow"
        )
    workers = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {}).get("worker", [])
    if len(workers) > 1:
        raise ValueError(
            f"TF_CONFIG names {len(workers)} workers, but {_BY_PROCESSES}. Unset TF_CONFIG, or set "
            "--distribute none to train on this host alone"
        )
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    if distribute == "auto" and len(gpus) < 2:
        return ON_ONE_DEVICE
    if len(devices) < 2:
        raise ValueError(
            "`distribute` 'mirrored' must have two devices or more. Received: "
            f"{', '.join(device.name.removeprefix('/device:') for device in devices)}"
        )
    strategy = mirrored_strategy(tuple(device.name for device in devices))
    return Distribution("mirrored", len(devices), strategy=strategy)


@cache
def mirrored_strategy(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One for a process: the collectives of a second one would meet those of the first."""
    return tf.distribute.MirroredStrategy(devices)


def _data_parallel(distribute: str, processes: Processes) -> Distribution:
    import jax

    with suppress(RuntimeError):  # TensorFlow runs already
        tf.config.set_visible_devices([], "GPU")  # it reads images only, and would fill them
    devices = jax.device_count()
    if devices == 1:
        if distribute == "auto":
            return ON_ONE_DEVICE
        raise ValueError(
            "`distribute` 'data-parallel' must have two devices or more, in this process or in "
            f"several. Received: {jax.devices()[0]}"
        )
    strategy = keras.distribution.DataParallel(auto_shard_dataset=False)
    return Distribution("data-parallel", devices, processes, strategy)


def _meet(processes: Processes) -> None:
    """Connects the processes."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    where = processes.coordinator or "the place that the launcher names"
    try:
        with stage(f"Process {processes.number} of {processes.count} meets the others at {where}"):
            if processes.coordinator is None:
                jax.distributed.initialize()
            else:
                jax.distributed.initialize(where, processes.count, processes.number)
    except RuntimeError as error:
        raise ConnectionError(
            f"The {processes.count} processes did not find each other at {where}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    if not processes.number:
        return
    print(
        f"Process {processes.number} trains its share; process 0 shows the progress and writes the "
        "run. If one of them ends, all do: start them again with --resume",
        file=sys.stderr,
        flush=True,
    )


def _broadcast(message: bytes) -> bytes:
    """The first process's message, in all."""
    from jax.experimental import multihost_utils

    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(message))))
    own = np.frombuffer(message.ljust(length, b"\0")[:length], np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(own)).astype(np.uint8).tobytes()


def _lost(processes: Processes, error: BaseException) -> str:
    return (
        f"Process {processes.number} of {processes.count} lost the others: one of them has ended, "
        "or cannot be reached. Its own messages tell why. Start all again with --resume "
        f"({str(error).splitlines()[0]})"
    )


def _leave_at_once(processes: Processes) -> None:
    """Ends this process without JAX's farewell, which waits for others that wait for this one.

    The first process ends the others by its end, so it leaves them a moment to say what they know.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if not processes.number:
        time.sleep(_SECONDS_TO_TELL)
    os._exit(1)
