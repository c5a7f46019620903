"""Training on several devices, and by several processes."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from trained_by_processes import cases, weights_of

from training.callbacks.history_log import read_history
from training.data.epoch_order import Share
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.distribution import Distribution, distributed
from training.trainer.early_checks import check_resumed_run
from training.trainer.fit import fit, resume
from training.trainer.processes import ALONE, Processes, processes_of
from training.trainer.trainer import Trainer

KERAS = {
    "KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:1234,10.0.0.2:1234",
    "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    "KERAS_DISTRIBUTION_PROCESS_ID": "1",
}
SLURM = {"SLURM_STEP_NODELIST": "node[1-2]", "SLURM_NTASKS": "2", "SLURM_PROCID": "1"}
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    labels = random.integers(0, 5, 200)
    centres = random.normal(size=(5, 20))
    path = tmp_path_factory.mktemp("vectors") / "vectors.npz"
    noise = random.normal(size=(200, 20))
    np.savez(path, vectors=(centres[labels] + noise).astype("float32"), labels=labels)
    return path


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ALONE),
        (KERAS, Processes(2, 1, "10.0.0.1:1234")),
        (SLURM, Processes(2, 1, None)),
        ({**SLURM, "SLURM_NTASKS": "1"}, ALONE),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, ALONE),  # the batch script, not a step of srun
    ],
)
def test_processes_are_those_that_the_environment_names(
    environment: dict[str, str], expected: Processes
) -> None:
    assert processes_of(environment) == expected


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("KERAS_DISTRIBUTION_PROCESS_ID", "", "`KERAS_DISTRIBUTION_PROCESS_ID` must be set"),
        ("KERAS_DISTRIBUTION_PROCESS_ID", "2", "must be an integer from 0 to 1. Received: '2'"),
        ("KERAS_DISTRIBUTION_NUM_PROCESSES", "two", "must be an integer of at least 1"),
        ("KERAS_DISTRIBUTION_JOB_ADDRESSES", "10.0.0.1", "must begin with host:port"),
    ],
)
def test_an_environment_that_is_not_complete_is_refused(
    name: str, value: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        processes_of({**KERAS, name: value})


CLUSTER = {"cluster": {"worker": ["10.0.0.1:1", "10.0.0.2:1"]}, "task": {"index": 0}}


@pytest.mark.parametrize(
    ("distribute", "environment", "message"),
    [
        ("data-parallel", {}, "'data-parallel' is for the JAX backend.*set KERAS_BACKEND=jax"),
        ("auto", KERAS, "several processes train on the JAX backend.*KERAS_BACKEND=jax.*20585"),
        ("mirrored", {"TF_CONFIG": json.dumps(CLUSTER)}, "TF_CONFIG names 2 workers.*20585"),
    ],
)
def test_what_tensorflow_cannot_do_is_refused(
    distribute: str,
    environment: dict[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        fit(FitSettings.check({"distribute": distribute}), tmp_path / "run", verbose=0)
    assert not (tmp_path / "run").exists()


def test_a_batch_is_dealt_out_in_equal_parts() -> None:
    distribution = Distribution("data-parallel", 4, Processes(2, 1))
    with pytest.raises(ValueError, match="`batch_size` must be a multiple.*devices, 4.*126"):
        distribution.check(126, "hswd")
    with pytest.raises(ValueError, match="`quantization` 'ot' is solved by one process"):
        distribution.check(128, "ot")
    assert distribution.share.rows(128) == slice(64, 128)
    with distributed("auto") as alone:
        assert (alone.kind, alone.share) == ("none", Share(0, 1))


def test_a_method_that_trains_nothing_is_not_distributed(vectors: Path) -> None:
    settings = {"dataset": "vectors", "data_dir": str(vectors), "method": "itq"}
    with pytest.raises(ValueError, match="`distribute` must be 'auto' or 'none'.*'itq'"):
        FitSettings.check({**settings, "distribute": "mirrored"})


def settings_of(vectors: Path, **changes: object) -> FitSettings:
    values = {"dataset": "vectors", "data_dir": str(vectors), "method": "dpsh", "bits": 8}
    values |= {"epochs": 2, "batch_size": 64, "dropout": 0.0, "evaluate_every": 1}
    return FitSettings.check({**values, "quantization_memory": 100, **changes})


def test_mirrored_devices_train_like_one_with_the_whole_batch(
    vectors: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    fit(settings_of(vectors), one, verbose=0)
    metrics = fit(settings_of(vectors, distribute="mirrored"), two, verbose=0)
    check_same(figures(one), figures(two))
    check_resumed_run(two, {"distribute": "none"})  # what trains a run may change
    assert resume(two, {"distribute": "none"}, verbose=0) == metrics


@pytest.mark.slow
@pytest.mark.parametrize("name", cases(""))
def test_mirrored_devices_train_every_method_like_one(
    name: str, vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without dropout, which each device draws for itself."""
    values = cases(str(vectors))[name]
    if values["dataset"] == "vectors" and FitSettings.check(values).takes_two_views:
        values["view_neighbours"] = 3  # in place of the dropouts
    values["dropout"] = 0.0
    trained, original = [], Trainer.run

    def run(trainer: Trainer, *args: object) -> None:
        original(trainer, *args)
        trained.append({"weights": weights_of(trainer.model)})

    monkeypatch.setattr(Trainer, "run", run)
    for distribute in ("none", "mirrored"):
        fit(FitSettings.check({**values, "distribute": distribute}), tmp_path / distribute, 0)
        trained[-1] |= figures(tmp_path / distribute)
    check_same(*trained)


@pytest.mark.slow
def test_an_interrupted_mirrored_run_goes_on_by_whatever_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batch normalization in backbone and head is synchronized while it trains, in no file."""
    values = {"train_per_class": 30, "shift": 1, "dropout": 0.0, "method": "orthohash", "bits": 16}
    values |= {"epochs": 3, "batch_size": 50, "evaluate_every": 3}
    fit(FitSettings.check(values), tmp_path / "whole", verbose=0)
    original = Trainer.callbacks
    stop = keras.callbacks.LambdaCallback(on_epoch_begin=stop_at_the_second)
    with monkeypatch.context() as changed:
        changed.setattr(Trainer, "callbacks", lambda *args: [*original(*args), stop])
        with pytest.raises(InterruptedError):
            fit(FitSettings.check({**values, "distribute": "mirrored"}), tmp_path / "run", 0)
    for distribute in ("mirrored", "none", "auto"):
        shutil.copytree(tmp_path / "run", tmp_path / distribute)
        if distribute == "auto":  # on JAX
            command = ["-m", "training", "fit", "--resume", "--distribute", "auto", "--output"]
            (process,) = start([*command, str(tmp_path / "auto")], tmp_path / "logs", processes=1)
            assert process.wait() == 0
        else:
            resume(tmp_path / distribute, {"distribute": distribute}, verbose=0)
        check_same(figures(tmp_path / "whole"), figures(tmp_path / distribute))


def stop_at_the_second(epoch: int, logs: dict | None = None) -> None:
    if epoch:
        raise InterruptedError


def figures(run: Path) -> dict[str, np.ndarray]:
    """The history, a column a figure, but for the seconds."""
    lines = read_history(run / "history.jsonl")
    return {name: np.array([line[name] for line in lines if name in line]) for name in lines[-1]}


def check_same(expected: dict[str, np.ndarray], received: dict[str, np.ndarray]) -> None:
    """Less sharp for figures of signs, and of other images: a code near zero may have either."""
    assert expected.keys() == received.keys()
    for name in expected.keys() - {"seconds"}:
        one, two = expected[name], received[name]
        assert one.shape == two.shape, name
        difference, norm = np.linalg.norm(two - one), np.linalg.norm(one)
        if name.endswith(("loss", "error", "weights")) and not name.startswith("validation"):
            assert difference <= 1e-4 * norm, (name, difference / norm)
        else:
            assert difference <= max(0.05 * norm, 5e-3), (name, one, two)


def environments(processes: int) -> list[dict[str, str]]:
    """Of processes that train together on this machine, on the JAX backend."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    common = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    if processes == 1:
        return [common]
    common |= {"KERAS_DISTRIBUTION_JOB_ADDRESSES": address}
    common |= {"KERAS_DISTRIBUTION_NUM_PROCESSES": str(processes)}
    return [{**common, "KERAS_DISTRIBUTION_PROCESS_ID": str(i)} for i in range(processes)]


def start(arguments: list[str], logs: Path, processes: int = 2) -> list[subprocess.Popen]:
    """The processes; each writes to a file of its number in `logs`."""
    logs.mkdir(exist_ok=True)
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            cwd=ROOT,
            stdout=(logs / str(number)).open("w"),
            stderr=subprocess.STDOUT,
        )
        for number, environment in enumerate(environments(processes))
    ]


@pytest.mark.slow
def test_two_processes_train_like_one_with_the_whole_batch(vectors: Path, tmp_path: Path) -> None:
    """Every method, with and without HSWD: dropout, augmentation and memories included."""
    script = str(Path(__file__).with_name("trained_by_processes.py"))
    for processes in (1, 2):
        started = start(
            [script, str(tmp_path / f"{processes}.npz"), str(vectors)], tmp_path / "logs", processes
        )
        assert [process.wait() for process in started] == [0] * processes
    one, two = (dict(np.load(tmp_path / f"{processes}.npz")) for processes in (1, 2))
    check_same(one, two)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("killed", "message"), [(1, "lost the others.*--resume"), (0, "another task died")]
)
def test_a_killed_process_ends_the_others_and_the_run_resumes(
    killed: int, message: str, vectors: Path, tmp_path: Path
) -> None:
    run, whole, epochs = tmp_path / "run", tmp_path / "whole", 60
    values = {**settings_of(vectors, epochs=epochs, evaluate_every=0).model_dump(mode="json")}
    config = tmp_path / "settings.json"
    config.write_text(json.dumps(values))
    command = ["-m", "training", "fit", "--config", str(config), "--output"]
    processes = start([*command, str(run)], tmp_path / "logs")
    history = RunFolder(run).history
    while not history.exists() or not history.read_text().count("\n") >= 3:
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.1)
    processes[killed].send_signal(signal.SIGKILL)
    assert processes[1 - killed].wait(timeout=120) not in (0, -signal.SIGKILL)
    assert re.search(message, (tmp_path / "logs" / str(1 - killed)).read_text(), re.DOTALL)
    assert not RunFolder(run).finished

    resumed = start(["-m", "training", "fit", "--resume", "--output", str(run)], tmp_path / "logs")
    assert [process.wait() for process in resumed] == [0, 0]
    (alone,) = start([*command, str(whole)], tmp_path / "logs", processes=1)
    assert alone.wait() == 0
    lines = [read_history(folder / "history.jsonl") for folder in (run, whole)]
    assert [line["epoch"] for line in lines[0]] == list(range(1, epochs + 1))
    assert lines[0][-1]["loss"] == pytest.approx(lines[1][-1]["loss"], rel=1e-4)
