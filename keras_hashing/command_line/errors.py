"""What the command lines of `training` and `export` share: clear errors and a quiet start."""

import importlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from keras_hashing.command_line.stages import stage

_err = Console(stderr=True)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turns what a user can mend into one message and exit code 1: no traceback.

    That is `ValueError`, `OSError` and `ImportError` (another Keras backend, a missing package).
    """
    try:
        yield
    except BrokenPipeError:
        raise  # the reader, such as `head`, has seen enough: typer ends quietly
    except (ValueError, OSError, ImportError) as error:
        warn("[bold red]Error:[/]", str(error))
        raise typer.Exit(1) from None


def is_given(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line, rather than having its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def warn(markup: str, text: str) -> None:
    """Prints a marked-up word and a plain text on the standard error stream."""
    _err.print(f"{markup} {escape(text)}", soft_wrap=True, highlight=False)


def plain_warnings() -> None:
    """Prints the warnings that are for the user as a message, without a place in the source."""
    show = warnings.showwarning

    def plain(
        message: Warning | str, category: type[Warning], filename: str, *rest: Any, **options: Any
    ) -> None:
        if category is UserWarning:
            warn("[bold yellow]Warning:[/]", str(message))
        else:
            show(message, category, filename, *rest, **options)

    warnings.showwarning = plain


@contextmanager
def notices_kept_back(says_itself: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Keeps what C++ libraries write to the standard error stream back; shows it on failure.

    Args:
        says_itself: Errors that say what is wrong, so that nothing more is shown.
    """
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            yield
        except says_itself:
            raise
        except BaseException:
            notices.seek(0)
            os.write(stderr, notices.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def start_tensorflow() -> None:
    """Imports TensorFlow and keeps its start-up notices back; they appear if the import fails.

    TensorFlow 2.21 writes them to the standard error stream before it looks at
    `TF_CPP_MIN_LOG_LEVEL`, so that no setting silences them.
    """
    # Keras 3.15 turns variables into arrays by `np.array(variable)`, and TensorFlow 2.21's take no
    # `copy`: each file that is saved would warn, and stop under `python -W error`.
    warnings.filterwarnings(
        "ignore",
        "__array__ implementation doesn't accept a copy keyword",
        DeprecationWarning,
        r"keras\.src\.backend\.tensorflow\.core",
    )
    # The last batch of each set of images is smaller, and each network is traced for it.
    logging.getLogger("tensorflow").addFilter(_is_not_of_retracing)
    if "tensorflow" in sys.modules:
        return
    with stage("Loading TensorFlow", at_once=True), notices_kept_back():
        importlib.import_module("tensorflow")


def _is_not_of_retracing(record: logging.LogRecord) -> bool:
    return "triggered tf.function retracing" not in record.getMessage()
