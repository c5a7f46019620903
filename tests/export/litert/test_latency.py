import pytest

from export.litert.verification import latency


def test_calls_take_turns_and_the_median_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    now, called = [0.0], []
    takes = {"a": iter([9, 9, 9, 1, 5, 3]), "b": iter([9, 9, 9, 20, 40, 60])}

    def call(name: str) -> None:
        called.append(name)
        now[0] += next(takes[name]) / 1000

    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])
    found = latency.interleaved_latency({n: lambda n=n: call(n) for n in "ab"}, rounds=3)
    assert found == pytest.approx({"a": 3, "b": 40})  # the three of the warm-up do not count
    assert "".join(called) == "aaabbb" + "abbaab"


def test_rounds_are_at_least_one() -> None:
    with pytest.raises(ValueError, match="`rounds` must be at least 1. Received: 0"):
        latency.interleaved_latency({}, rounds=0)
