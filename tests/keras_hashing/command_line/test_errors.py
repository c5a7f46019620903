"""Errors and warnings as messages."""

import logging
import warnings

import pytest
import typer

from keras_hashing.command_line.errors import clear_errors, plain_warnings, start_tensorflow


def test_a_warning_for_the_user_is_a_message_and_others_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shown = []
    monkeypatch.setattr(warnings, "showwarning", lambda *place: shown.append(place))
    plain_warnings()
    warnings.showwarning("2 of 81 files were [skipped]", UserWarning, "source.py", 17)
    assert capsys.readouterr().err == "Warning: 2 of 81 files were [skipped]\n"
    warnings.showwarning("soon gone", DeprecationWarning, "source.py", 17)
    assert shown == [("soon gone", DeprecationWarning, "source.py", 17)]
    assert capsys.readouterr().err == ""


def test_an_error_of_several_lines_keeps_them(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(typer.Exit), clear_errors():
        raise ValueError("2 files are no images:\n  a.txt\n  b.txt")
    assert capsys.readouterr().err == "Error: 2 files are no images:\n  a.txt\n  b.txt\n"


def test_tensorflow_tells_all_but_retracing() -> None:
    start_tensorflow()
    logger = logging.getLogger("tensorflow")
    for text, told in (("5 calls triggered tf.function retracing.", False), ("No GPU.", True)):
        record = logger.makeRecord("tensorflow", logging.WARNING, "", 0, text, (), None)
        assert bool(logger.filter(record)) == told
