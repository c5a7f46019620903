"""Stages of a command, and how long a load will take, where there is no terminal."""

import logging
from typing import ClassVar

import numpy as np
import pytest

from keras_hashing.command_line import progress, stages
from keras_hashing.command_line.progress import duration, loading_progress
from keras_hashing.command_line.stages import show_stages, stage


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_LOG", logging.Logger("stages of a test"))
    show_stages()


def test_a_stage_is_told_with_its_time(shown: None, capsys: pytest.CaptureFixture) -> None:
    with stage("Reading images"):
        pass
    assert capsys.readouterr().err == "Reading images: 0.0 s\n"


def test_a_stage_may_be_announced(shown: None, capsys: pytest.CaptureFixture) -> None:
    with stage("Reading images", at_once=True):
        assert capsys.readouterr().err == "Reading images …\n"


def test_a_long_stage_is_told_while_it_runs_at_doubling_times(
    shown: None, capsys: pytest.CaptureFixture
) -> None:
    class Ended:
        waits: ClassVar[list[float]] = []

        def wait(self, seconds: float) -> bool:
            self.waits.append(seconds)
            return len(self.waits) == 4

    stages._tell_while_running("Reading images", Ended())
    assert np.cumsum(Ended.waits).tolist() == [3, 6, 12, 24]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"Reading images … {seconds} s" for seconds in (3, 6, 12)]


def test_a_stage_that_fails_is_not_told_as_ended(
    shown: None, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(KeyError), stage("Reading images"):
        raise KeyError
    assert capsys.readouterr().err == ""


def test_a_library_that_is_used_from_python_is_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(stages, "_LOG", logging.Logger("unused", logging.WARNING))
    with stage("Reading images", at_once=True):
        pass
    assert capsys.readouterr().err == ""


def test_a_long_load_is_told_in_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    times = iter([0.0, 1.0, 6.0, 7.0, 12.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(times))
    with loading_progress("Computing features", total=1500, done=500) as advance:
        for _ in range(4):
            advance(100)
    assert capsys.readouterr().err.splitlines() == [
        "Computing features: 700 of 1,500, 24 s left",  # 200 took 6 s
        "Computing features: 900 of 1,500, 18 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (29, "29 s"), (99, "99 s"), (150, "2 min"), (11100, "3 h 5 min")],
)
def test_a_time_to_wait(seconds: float, text: str) -> None:
    assert duration(seconds) == text
