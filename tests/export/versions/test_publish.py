"""Versions appear, are kept and are rolled back under the eyes of a server."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from export.saved_model import export_saved_model as saved_model
from export.saved_model.served_encoder import ServedEncoder
from export.versions import version_folders
from export.versions.checksums import verify_files, write_checksums
from export.versions.publish import publish, rollback
from export.versions.publisher_lock import LOCK, publisher_lock
from export.versions.version_folders import new_version, write_version
from keras_hashing.encoder.card import Card, IndexCard
from keras_hashing.retrieval import CodeIndex
from training.runs.run_folder import Run

CHECKOUT = Path(__file__).resolve().parents[3]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def seen_by_a_server(folder: Path) -> list[int]:
    """The versions that TensorFlow Serving would find: names of digits."""
    return sorted(int(name) for name in names(folder) if name.isdigit())


def write_small_version(folder: Path) -> None:
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    write_checksums(folder)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Versions 1 to 4, which hold next to nothing."""
    folder = tmp_path / "models"
    folder.mkdir()
    for number in range(1, 5):
        write_version(folder, number, write_small_version)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Publishes next to nothing in the place of a SavedModel."""

    def add_version(run: Run, models: Path, *options: object) -> Path:
        return write_version(models, new_version(models, None), write_small_version)

    monkeypatch.setattr(saved_model, "add_version", add_version)


def test_a_changed_index_is_published_without_training(
    grey_run: Run, digits: np.ndarray, tmp_path: Path
) -> None:
    index = CodeIndex(
        grey_run.model.encode(digits[:3]), ["a", "b", "c"], grey_run.encoder.fingerprint
    )
    first = publish(grey_run.encoder, tmp_path, index).folder
    second = publish(grey_run.encoder, tmp_path, index.remove(["b"]), keep=1)
    assert (first.name, second.folder.name, second.removed) == ("1", "2", [1])
    assert names(tmp_path) == ["2"]
    card = ServedEncoder.load(tmp_path).card
    assert card.index is not None
    assert (card.index.items, card.fingerprint) == (2, grey_run.encoder.fingerprint)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("keep", "left"), [(None, [1, 2, 3, 4, 5]), (9, [1, 2, 3, 4, 5]), (2, [4, 5]), (1, [5])]
)
def test_the_newest_versions_are_kept(
    keep: int | None, left: list[int], models: Path, grey_run: Run
) -> None:
    (models / "notes.txt").touch()
    published = publish(grey_run.encoder, models, keep=keep)
    assert published.folder == models / "5"
    assert published.removed == [number for number in range(1, 6) if number not in left]
    assert names(models) == [*map(str, left), "notes.txt"]


@pytest.mark.usefixtures("quick")
def test_no_server_sees_a_part_of_a_version(
    monkeypatch: pytest.MonkeyPatch, models: Path, grey_run: Run
) -> None:
    """At every write, sync, rename and deletion, each version in sight is whole."""
    seen = []

    def watch(module: object, name: str) -> None:
        function = getattr(module, name)

        def watched(*arguments: object, **options: object) -> object:
            versions = seen_by_a_server(models)
            for number in versions:
                verify_files(models / str(number))
            seen.append(versions)
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, watched)

    for name in ("fsync", "rename", "unlink", "rmdir", "mkdir"):
        watch(os, name)
    publish(grey_run.encoder, models, keep=2)
    assert seen[0] == [1, 2, 3, 4]
    assert [1, 2, 3, 4, 5] in seen
    assert all(max(versions) >= 4 for versions in seen)
    assert seen_by_a_server(models) == [4, 5]


def test_nothing_is_kept_is_no_wish(models: Path, grey_run: Run) -> None:
    with pytest.raises(ValueError, match="`keep` must be at least 1. Received: keep=0"):
        publish(grey_run.encoder, models, keep=0)


def test_rollback_serves_the_version_before(models: Path) -> None:
    back = rollback(models)
    assert back == (models / "3", models / "4.rolled-back")
    assert seen_by_a_server(models) == [1, 2, 3]
    verify_files(back.kept_as)
    assert rollback(models).served == models / "2"
    os.rename(models / "4.rolled-back", models / "4")
    assert seen_by_a_server(models) == [1, 2, 4]


@pytest.mark.usefixtures("quick")
def test_the_number_of_a_rolled_back_version_is_not_used_again(models: Path, grey_run: Run) -> None:
    """A server that has it in memory would take the new one for the old."""
    rollback(models)
    assert publish(grey_run.encoder, models).folder == models / "5"
    with pytest.raises(FileExistsError, match="Version 4 exists already"):
        new_version(models, 4)
    rollback(models)
    published = publish(grey_run.encoder, models, keep=2)
    assert published.folder == models / "6"
    assert (published.removed, published.removed_rolled_back) == ([1, 2], [4, 5])
    assert names(models) == ["3", "6"]


def test_rollback_needs_a_good_version_before(models: Path, tmp_path: Path) -> None:
    (models / "3" / "saved_model.pb").write_bytes(b"grape")
    with pytest.raises(ValueError, match=r"3' is damaged: saved_model\.pb is not as it was"):
        rollback(models)
    assert seen_by_a_server(models) == [1, 2, 3, 4]
    with pytest.raises(FileNotFoundError, match="no folder of a model"):
        rollback(tmp_path / "absent")
    (tmp_path / "one" / "7").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"no version to go back to.*Received: \[7\]"):
        rollback(tmp_path / "one")
    assert names(tmp_path / "one") == ["7"]


def test_a_version_holds_no_version(models: Path, grey_run: Run) -> None:
    before = names(models / "4")
    message = f"4', which is itself a version; name its parent '{models}'"
    for change in (
        lambda: publish(grey_run.encoder, models / "4"),
        lambda: saved_model.export_saved_model(grey_run, models / "4"),
        lambda: rollback(models / "4"),
    ):
        with pytest.raises(ValueError, match=message):
            change()
    assert names(models / "4") == before


def test_what_a_new_version_does_not_go_on_with_is_told(
    monkeypatch: pytest.MonkeyPatch, exports: dict[str, Path], grey_run: Run, tmp_path: Path
) -> None:
    grey, colour = (Card.load(exports[name]) for name in ("grey", "colour"))
    about_index = IndexCard(items=3, ids="int64", default_k=10, largest_k=1000, rerank=False)
    cards = iter([grey.model_copy(update={"index": about_index}), grey, colour, colour])

    def write_card(folder: Path) -> None:
        write_small_version(folder)
        next(cards).save(folder)

    def add_version(run: Run, models: Path, *options: object) -> Path:
        return write_version(models, new_version(models, None), write_card)

    monkeypatch.setattr(saved_model, "add_version", add_version)
    assert [publish(grey_run.encoder, tmp_path).lost for _ in range(4)] == [
        [],
        ["Version 1 has an index, this one has none: it does not answer search"],
        [
            f"The codes change from {grey.fingerprint} (version 2) to {colour.fingerprint}: codes "
            "kept elsewhere must be made anew"
        ],
        [],
    ]


def test_two_publishers_take_turns(models: Path) -> None:
    at_work = threading.Event()
    order: list[str] = []

    def slow_version(folder: Path) -> None:
        at_work.set()
        time.sleep(0.5)
        order.append("first")
        write_small_version(folder)

    def publish_slowly() -> None:
        with publisher_lock(models):
            write_version(models, new_version(models, None), slow_version)

    first = threading.Thread(target=publish_slowly)
    first.start()
    at_work.wait()
    with publisher_lock(models):
        order.append("second")
        write_version(models, new_version(models, None), write_small_version)
    first.join()
    assert order == ["first", "second"]
    assert names(models) == ["1", "2", "3", "4", "5", "6"]


def test_many_publishers_never_hold_the_lock_together(tmp_path: Path) -> None:
    """Each removes the lock file that others are waiting for."""
    holders, most = [0], [0]

    def hold() -> None:
        for _ in range(5):
            with publisher_lock(tmp_path):
                holders[0] += 1
                most[0] = max(most[0], holders[0])
                time.sleep(0.001)
                holders[0] -= 1

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert names(tmp_path) == []


def test_a_publisher_that_waits_in_vain_names_the_other(models: Path, grey_run: Run) -> None:
    with (
        publisher_lock(models),
        pytest.raises(TimeoutError, match=rf"Another publisher .*process {os.getpid()} on "),
    ):
        publish(grey_run.encoder, models, wait=0.2)
    assert seen_by_a_server(models) == [1, 2, 3, 4]


def test_the_lock_file_of_a_dead_publisher_locks_nothing(models: Path) -> None:
    (models / LOCK).write_text("process 1 on elsewhere")
    with publisher_lock(models, wait=0):
        pass
    assert LOCK not in names(models)


KILLED = """
import sys, time
from pathlib import Path
from export.saved_model import export_saved_model as saved_model
from export.versions.publish import publish
from training.runs.run_folder import load_run

def stop(folder):
    print("half", flush=True)
    time.sleep(600)

saved_model.write_checksums = stop
publish(load_run(sys.argv[1]).encoder, sys.argv[2])
"""


def test_a_killed_publisher_leaves_the_last_good_version(
    run_folder: Path, grey_run: Run, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    publish(grey_run.encoder, models)
    script = [sys.executable, "-c", KILLED, str(run_folder), str(models)]
    with subprocess.Popen(
        script, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "half\n"
        other.send_signal(signal.SIGKILL)
    left = [name for name in names(models) if name.endswith(".partial")]
    assert len(left) == 1
    assert (models / left[0] / "variables").is_dir()
    assert seen_by_a_server(models) == [1]
    verify_files(models / "1")
    assert publish(grey_run.encoder, models, wait=0).folder == models / "2"
    assert names(models) == ["1", "2"]


def test_what_a_killed_deletion_has_left_is_cleared_away(models: Path) -> None:
    (models / ".1.abcd.removed" / "variables").mkdir(parents=True)
    (models / ".git").mkdir()
    write_version(models, 5, write_small_version)
    assert names(models) == [".git", "1", "2", "3", "4", "5"]


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kilobytes", [1, 50])
def test_a_disk_that_takes_no_more_leaves_nothing(
    kilobytes: int, grey_run: Run, models: Path
) -> None:
    """The graph is larger than the one limit, the weights are larger than the other."""
    before = names(models)
    with file_size_limit(kilobytes * 1024), pytest.raises(OSError, match="File too large"):
        publish(grey_run.encoder, models)
    assert names(models) == before


def test_all_files_are_forced_to_the_disk_before_the_rename(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forced: list[Path] = []
    monkeypatch.setattr(version_folders, "sync_file", forced.append)
    monkeypatch.setattr(version_folders, "sync_folder", forced.append)
    rename = os.rename

    def checked_rename(old: Path, new: Path) -> None:
        assert {path.relative_to(old).as_posix() for path in forced} == {
            ".",
            "saved_model.pb",
            "assets.extra",
            "assets.extra/SHA256SUMS",
        }
        rename(old, new)

    monkeypatch.setattr(os, "rename", checked_rename)
    write_version(tmp_path, 1, write_small_version)
    assert forced[-1] == tmp_path


def test_a_run_that_cannot_be_exported_touches_nothing(
    make_run: Callable[..., Run], tmp_path: Path
) -> None:
    run = make_run((4, 4, 1), bits=8)
    run.model.head.projection.bias.assign(np.full(8, np.nan))
    with pytest.raises(ValueError, match="weights must be finite"):
        publish(run.encoder, tmp_path / "models")
    assert list(tmp_path.iterdir()) == []
