import multiprocessing
import threading
from pathlib import Path

import pytest

from keras_hashing.files.atomic_write import atomic_write, write_text
from keras_hashing.files.file_lock import HeldByAnotherError, file_lock


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with atomic_write(path) as first, atomic_write(path) as second:
        assert first != second
        assert first.suffix == second.suffix == ".keras"
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    write_text(path, "whole")

    def fill_the_disk() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("ha")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fill_the_disk()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def hold(path: Path, held: threading.Event) -> None:
    with file_lock(path):
        held.set()
        threading.Event().wait()


def test_a_lock_names_its_holder_and_ends_with_the_process(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    held = spawn.Event()
    path = tmp_path / "lock"
    holder = spawn.Process(target=hold, args=(path, held))
    holder.start()
    try:
        assert held.wait(30)
        with (
            pytest.raises(HeldByAnotherError, match=rf"process {holder.pid} on "),
            file_lock(path, wait=0.2),
        ):
            pass
        assert f"process {holder.pid}" in path.read_text()
    finally:
        holder.kill()
        holder.join()
    assert path.exists()
    with file_lock(path, wait=0):
        pass
    assert not path.exists()
