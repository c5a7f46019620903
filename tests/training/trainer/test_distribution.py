"""Training on several devices, and by several processes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from training.callbacks.history_log import read_history
from training.data.epoch_order import Share
from training.runs.run_folder import RunFolder
from training.settings import FitSettings
from training.trainer.distribution import Distribution, distributed
from training.trainer.early_checks import check_resumed_run
from training.trainer.fit import fit, resume
from training.trainer.processes import ALONE, Processes, processes_of

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
    check_same_history(one, two)
    check_resumed_run(two, {"distribute": "none"})  # what trains a run may change
    assert resume(two, {"distribute": "none"}, verbose=0) == metrics


@pytest.mark.slow
@pytest.mark.parametrize("method", ["orthohash", "dsdh"])
def test_mirrored_devices_also_normalize_the_whole_batch(method: str, tmp_path: Path) -> None:
    """Batch normalization in backbone and head; an interrupted run goes on."""
    digits = {"train_per_class": 30, "shift": 1, "dropout": 0.0, "method": method, "bits": 16}
    settings = {**digits, "epochs": 2, "batch_size": 50, "evaluate_every": 2}
    for distribute in ("none", "mirrored"):
        fit(FitSettings.check({**settings, "distribute": distribute}), tmp_path / distribute, 0)
    check_same_history(tmp_path / "none", tmp_path / "mirrored")


def check_same_history(one: Path, other: Path, tolerance: float = 1e-4) -> None:
    """But for the seconds; less sharp for figures of signs: a code near zero may have either."""
    for expected, received in zip(
        *(read_history(folder / "history.jsonl") for folder in (one, other)), strict=True
    ):
        assert expected.keys() == received.keys()
        for name in expected.keys() - {"seconds"}:
            allowed = tolerance if name.endswith(("loss", "error")) else 0.02
            assert received[name] == pytest.approx(expected[name], rel=allowed, abs=1e-6), name


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
    one, two = np.load(tmp_path / "1.npz"), np.load(tmp_path / "2.npz")
    assert set(one) == set(two)
    for name in one:
        difference = np.linalg.norm(two[name] - one[name]) / np.linalg.norm(one[name])
        assert difference < 1e-4, (name, difference)


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
