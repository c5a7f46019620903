import pytest

from keras_hashing.command_line.progress import loading_progress


def load() -> None:
    with loading_progress("Loading things", total=3) as advance:
        advance(1)
        advance(2)


def test_progress_shows_on_standard_error_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    load()
    shown = capsys.readouterr()
    assert "Loading things" in shown.err
    assert "3/3" in shown.err
    assert shown.out == ""


def test_progress_is_silent_where_nobody_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    load()
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")
