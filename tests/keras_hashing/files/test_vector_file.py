"""Files of vectors: what was written is read, a part at a time, and anything else is refused."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from keras_hashing.files import parquet_vectors
from keras_hashing.files.vector_file import open_vectors

VECTORS = np.random.default_rng(0).normal(size=(11, 5)).astype(np.float32)
IDS = [f"item/{row}" for row in range(11)]
LABELS = [("cat", "dog", "eel")[row % 3] for row in range(11)]


def write_parquet(path: Path, vectors=VECTORS, fixed=True, group=4, **columns) -> Path:
    of = pyarrow.list_(pyarrow.float32(), 5) if fixed else pyarrow.list_(pyarrow.float64())
    column = pyarrow.array([None if row is None else list(row) for row in vectors], of)
    table = pyarrow.table({"vector": column, **columns})
    pyarrow.parquet.write_table(table, path, row_group_size=group)
    return path


def write(path: Path, kind: str) -> Path:
    path = path / f"v.{kind.split()[0]}"
    named = {"ids": np.array(IDS), "labels": np.array(LABELS)}
    match kind:
        case "npy":
            np.save(path, VECTORS)
        case "npy in Fortran's order":
            np.save(path, np.asfortranarray(VECTORS.astype(">f8")))
        case "npz":
            np.savez(path, vectors=VECTORS, **named)
        case "npz compressed":
            np.savez_compressed(path, vectors=VECTORS, ids=np.array(IDS, "S"), labels=LABELS)
        case "parquet":
            write_parquet(path, id=IDS, label=LABELS)
        case "parquet of lists":
            write_parquet(path, fixed=False, id=IDS, label=LABELS)
    return path


@pytest.mark.parametrize(
    "kind",
    ["npy", "npy in Fortran's order", "npz", "npz compressed", "parquet", "parquet of lists"],
)
def test_what_was_written_is_read(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(parquet_vectors, "_BATCH", 3)
    file = open_vectors(write(tmp_path, kind))
    assert (len(file), file.width) == (11, 5)
    # One after another, again from the middle, beyond the end, none.
    for rows in map(slice, (0, 3, 4, 5, 0, 9, 2), (3, 4, 9, 6, 11, 99, 2)):
        np.testing.assert_array_equal(file.read(rows), VECTORS[rows])
    rows = np.array([10, 0, 7, 7])
    np.testing.assert_array_equal(file.read(rows), VECTORS[rows])
    assert file.read(rows).dtype == np.float32
    if kind.startswith("npy"):
        assert file.ids is file.labels is None
        assert file.name(3) == "row 3"
    else:
        assert (file.ids, file.integer_ids, file.labels) == (IDS, False, LABELS)
        assert file.class_names == ["cat", "dog", "eel"]
        assert file.name(3) == "row 3 (id 'item/3')"


def test_large_files_are_not_read_whole(tmp_path):
    for kind in ("npy", "npz"):
        vectors = open_vectors(write(tmp_path, kind)).vectors
        assert isinstance(vectors, np.memmap)
        assert not vectors.flags.writeable


def test_integers_are_ids_and_labels_in_their_order(tmp_path):
    np.savez(tmp_path / "v.npz", vectors=VECTORS, ids=np.arange(11)[::-1], labels=[10, 2] * 5 + [2])
    write_parquet(tmp_path / "v.parquet", id=range(10, -1, -1), label=[10, 2] * 5 + [2])
    for name in ("v.npz", "v.parquet"):
        file = open_vectors(tmp_path / name)
        assert file.integer_ids
        assert file.ids[:2] == ["10", "9"]
        assert file.class_names == ["2", "10"]


class Harm:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_pickles_are_never_loaded(tmp_path):
    objects = np.array([Harm()] * 11, object)
    np.save(tmp_path / "objects.npy", objects)
    np.savez(tmp_path / "vectors.npz", vectors=objects)
    np.savez(tmp_path / "ids.npz", vectors=VECTORS, ids=objects)
    np.savez_compressed(tmp_path / "labels.npz", vectors=VECTORS, labels=objects)
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Harm()))
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match=rf"{path.name}: it (is|holds).*never loaded"):
            open_vectors(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"vectors": VECTORS[0]}, r"numbers of shape \[n, D\]. Received: shape=\(5,\)"),
        ({"vectors": VECTORS.astype(str)}, r"vectors must be real numbers.*dtype=<U32"),
        ({"vectors": VECTORS[:0]}, r"there must be vectors. Received: none, shape=\(0, 5\)"),
        ({"codes": VECTORS}, "must hold the array `vectors`.*Received: codes"),
        ({"vectors": VECTORS, "x": VECTORS}, "must hold.*Received: vectors, x"),
        ({"vectors": VECTORS, "ids": IDS[1:]}, "ids must be one for each.*Received: 10 for 11"),
        ({"vectors": VECTORS, "labels": [*LABELS, "a"]}, "labels must be one.*Received: 12 for 11"),
        ({"vectors": VECTORS, "ids": IDS[:9] + IDS[:2]}, "differ.*times: item/0, item/1"),
        ({"vectors": VECTORS, "ids": np.ones(11)}, "ids must be all.*Received: 1.0 in row 0"),
        ({"vectors": VECTORS, "labels": np.eye(11)}, r"labels must.*: \[1.0, .*row 0"),
        ({"vectors": VECTORS, "ids": np.full(11, 2**63)}, "integers of 64 bits. Received: 9223"),
    ],
)  # fmt: skip
def test_another_npz_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "v.npz", **arrays)
    with pytest.raises(ValueError, match=rf"v.npz: .*{message}"):
        open_vectors(tmp_path / "v.npz")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file of vectors"):
        open_vectors(tmp_path / "none.npy")
    with pytest.raises(ValueError, match=r"must end in .npy, .npz, .parquet. Received: .csv"):
        open_vectors(tmp_path / "v.csv")
    for kind, damaged in (("npy", "it is cut off"), ("npz", "zip"), ("parquet", "")):
        path = write(tmp_path, kind)
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(ValueError, match=rf"v.{kind}: .*{damaged}"):
            open_vectors(path)
        path.write_bytes(b"")
        with pytest.raises(ValueError, match=rf"v.{kind}: "):
            open_vectors(path)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path, "parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "keras_hashing.files.parquet_vectors")
    with pytest.raises(ImportError, match=r"pip install 'keras-hashing\[stores\]'"):
        open_vectors(path)


def test_another_parquet_is_refused(tmp_path):
    path = tmp_path / "v.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"vector": ["a"], "id": ["b"]}), path)
    with pytest.raises(ValueError, match="column `vector` of lists.*: vector string, id string"):
        open_vectors(path)
    with pytest.raises(ValueError, match="ids must be all strings.*Received: None in row 2"):
        open_vectors(write_parquet(path, id=[*IDS[:2], None, *IDS[3:]]))
    for fixed, row in ((True, None), (False, None), (False, VECTORS[3][:4])):
        write_parquet(path, [*VECTORS[:6], row, *VECTORS[7:]], fixed)
        with pytest.raises(ValueError, match=r"v.parquet: .* 5 values.*Received: . in row 6"):
            open_vectors(path).read(slice(0, 11))
    write_parquet(path, np.zeros((0, 5)))
    with pytest.raises(ValueError, match="there must be vectors"):
        open_vectors(path)


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_bad_vectors_are_named(tmp_path, kind):
    vectors = VECTORS.copy()
    vectors[2, 1], vectors[4], vectors[7, 0], vectors[8, 3] = np.nan, 0, np.inf, -np.inf
    if kind == "npz":
        path = tmp_path / "v.npz"
        np.savez(path, vectors=vectors, ids=IDS)
    else:
        path = write_parquet(tmp_path / "v.parquet", vectors, id=IDS)
    file = open_vectors(path)
    message = (
        r"must be finite and not zero. Received: row 2 \(id 'item/2'\) is not finite, "
        r"row 4 \(id 'item/4'\) is zero.*row 7 .* and 1 more"
    )
    with pytest.raises(ValueError, match=message):
        file.read(slice(1, 9))
    with pytest.raises(ValueError, match=r"Received: row 8 \(id 'item/8'\) is not finite"):
        file.read(np.array([0, 8]))
    file.read(np.array([0, 1, 3, 10]))


def test_numbers_that_float32_has_not_are_not_finite(tmp_path):
    np.save(tmp_path / "v.npy", np.array([[1.0, 1e39]]))
    with pytest.raises(ValueError, match="row 0 is not finite"):
        open_vectors(tmp_path / "v.npy").read(slice(0, 1))
