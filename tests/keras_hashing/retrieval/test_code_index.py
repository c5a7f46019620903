import errno
import os
import tracemalloc

import faiss
import numpy as np
import pytest

from keras_hashing.retrieval import CodeIndex, code_index, query_blocks

NAMES = ["cat", "cat, dog", "", "ünï — 猫", "line\nbreak", "nul\0", "not utf-8 \udcff", "x" * 1000]


def random_codes(rows, bits, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, bits // 8), dtype=np.uint8)


def make_index(codes, labels=None, fingerprint="space"):
    return CodeIndex(codes, [f"item/{i}" for i in range(len(codes))], fingerprint, labels)


def brute_force(queries, database, k, plain_distance):
    """Positions and distances after a stable sort of all distances."""
    distance = plain_distance(queries, database)
    order = np.argsort(distance, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(distance, order, axis=1)


@pytest.mark.parametrize("bits", [8, 24, 64, 72, 256, 512])
def test_distances_equal_those_of_faiss(bits):
    queries, database = random_codes(9, bits, 1), random_codes(300, bits, 2)
    oracle = faiss.IndexBinaryFlat(bits)
    oracle.add(database)
    expected, _ = oracle.search(queries, 20)
    positions, distances = make_index(database).search(queries, k=20)
    assert (positions.dtype, distances.dtype) == (np.int64, np.int32)
    np.testing.assert_array_equal(distances, expected)


@pytest.mark.parametrize("k", [1, 7, 60, 99, 100])
@pytest.mark.parametrize("bits", [8, 64])
def test_equal_distances_come_in_the_order_of_the_database(k, bits, plain_distance):
    queries, database = random_codes(40, bits, 1) & 3, random_codes(100, bits, 2) & 3
    positions, distances = make_index(database).search(queries, k=k)
    order, distance = brute_force(queries, database, k, plain_distance)
    np.testing.assert_array_equal(positions, order)
    np.testing.assert_array_equal(distances, distance)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("tile", [1, 7, 64])
@pytest.mark.parametrize("k", [3, 50])
def test_result_depends_on_neither_tile_nor_threads(monkeypatch, threads, tile, k, plain_distance):
    queries, database = random_codes(40, 16, 1) & 7, random_codes(90, 16, 2) & 7
    monkeypatch.setattr(code_index, "TILE", tile)
    monkeypatch.setattr(query_blocks, "THREADS", threads)
    positions, distances = make_index(database).search(queries, k=k)
    order, distance = brute_force(queries, database, k, plain_distance)
    np.testing.assert_array_equal(positions, order)
    np.testing.assert_array_equal(distances, distance)


def test_more_than_the_database_gives_the_whole_of_it(plain_distance):
    queries, database = random_codes(4, 16, 1), random_codes(6, 16, 2)
    positions, distances = make_index(database).search(queries, k=50)
    order, distance = brute_force(queries, database, 6, plain_distance)
    np.testing.assert_array_equal(positions, order)
    np.testing.assert_array_equal(distances, distance)


@pytest.mark.parametrize(("queries", "items"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_side_gives_an_empty_result(queries, items):
    positions, distances = make_index(random_codes(items, 64)).search(
        random_codes(queries, 64), k=2
    )
    assert positions.shape == distances.shape == (queries, min(2, items))


@pytest.mark.parametrize("k", [1, 7, 60, 99, 200])
@pytest.mark.parametrize("bits", [8, 13, 64])
def test_equal_distances_come_in_the_order_of_the_continuous_code(k, bits, monkeypatch):
    monkeypatch.setattr(code_index, "TILE", 64)  # ties lie in several tiles
    rng = np.random.default_rng(bits)
    signs = rng.choice([-1, 1], (200, bits))
    signs[:, 4:] = -1
    signs[100:] = signs[:100]  # equal to the last bit: the order of the database
    u = rng.normal(size=(30, bits)).astype(np.float32)
    index = CodeIndex(np.packbits(signs > 0, axis=1), range(200), "space", bits=bits)
    positions, distances = index.search(np.packbits(u > 0, axis=1), k=k, continuous=u)
    for row, query in enumerate(u):
        distance = (signs != np.where(query > 0, 1, -1)).sum(axis=1)
        agreement = np.round(signs @ query.astype(np.float64), 5)
        order = np.lexsort((np.arange(200), -agreement, distance))[:k]
        np.testing.assert_array_equal(positions[row], order)
        np.testing.assert_array_equal(distances[row], distance[order])


@pytest.mark.parametrize("radius", [0, 2, 5, 16])
def test_items_beyond_the_radius_are_padded(radius, plain_distance):
    queries, database = random_codes(30, 16, 1), random_codes(80, 16, 2)
    database[::10] = queries[:8]
    positions, distances = make_index(database).search(queries, k=9, radius=radius)
    order, distance = brute_force(queries, database, 9, plain_distance)
    np.testing.assert_array_equal(positions, np.where(distance <= radius, order, -1))
    np.testing.assert_array_equal(distances, np.where(distance <= radius, distance, -1))


def test_opposite_codes_are_far_apart_at_any_length():
    zeros = np.zeros((1, 64), dtype=np.uint8)
    assert make_index(~zeros).search(zeros)[1].tolist() == [[512]]


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(query_blocks, "THREADS", 2)
    queries, index = random_codes(64, 64), make_index(random_codes(300_000, 64))
    tracemalloc.start()
    index.search(queries, k=10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 40 * code_index.TILE + 2**20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query_codes": np.zeros((1, 2))}, "`query_codes` .* uint8"),
        ({"query_codes": random_codes(1, 32)}, "same number of bits. Received: 32 and 16 bits"),
        ({"k": 0}, "`k` must be an integer >= 1. Received: k=0"),
        ({"k": 1.5}, "`k` must be an integer. Received: k=1.5"),
        ({"radius": -1}, "`radius` must be an integer from 0 to the 16 bits"),
        ({"radius": 17}, "`radius` must be an integer from 0 to the 16 bits"),
        ({"continuous": np.zeros((1, 15))}, r"`continuous` must be .* \[1, 16\]. .* \[1, 15\]"),
        ({"continuous": np.full(16, np.nan)}, "`continuous` must be finite"),
    ],
)
def test_bad_queries_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_index(random_codes(5, 16)).search(**{"query_codes": random_codes(1, 16), **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"codes": np.zeros((2, 2))}, "`codes` must be packed codes of dtype uint8"),
        ({"ids": ["a"]}, "`ids` must have one string per code. Received: 1 strings for 2 codes"),
        ({"ids": "ab"}, "`ids` must be a list of str. Received: 'ab'"),
        ({"ids": [1, None]}, r"`ids` must be a list of str. Received: \[1, None\]"),
        ({"ids": ["a", "a"]}, "`ids` must differ. Received several times: a"),
        ({"labels": ["cat"]}, "`labels` must have one string per code"),
        ({"fingerprint": ""}, "`fingerprint` must be a str that is not empty"),
    ],
)
def test_bad_contents_are_refused(arguments, message):
    good = {"codes": random_codes(2, 16), "ids": ["a", "b"], "fingerprint": "space"}
    with pytest.raises(ValueError, match=message):
        CodeIndex(**{**good, **arguments})


def test_a_change_to_the_array_given_does_not_reach_the_index():
    codes = random_codes(3, 16)
    index = make_index(codes)
    codes[:] = 0
    np.testing.assert_array_equal(index.codes, random_codes(3, 16))
    with pytest.raises(ValueError, match="read-only"):
        index.codes[0] = 0


def test_a_mismatch_of_fingerprints_names_both():
    index = make_index(random_codes(2, 16), fingerprint="aaa")
    index.check_fingerprint("aaa")
    with pytest.raises(ValueError, match=r"'aaa'.*'bbb'"):
        index.check_fingerprint("bbb")


@pytest.mark.parametrize("labels", [None, NAMES[::-1]])
def test_save_and_load_keep_everything(tmp_path, labels):
    index = CodeIndex(random_codes(8, 72), NAMES, "space", labels)
    index.save(tmp_path / "database.npz")
    loaded = CodeIndex.load(tmp_path / "database.npz")
    np.testing.assert_array_equal(loaded.codes, index.codes)
    assert (loaded.ids, loaded.labels, loaded.fingerprint, loaded.bits, len(loaded)) == (
        NAMES,
        labels,
        "space",
        72,
        8,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["database.npz"]


def test_an_empty_index_round_trips(tmp_path):
    make_index(random_codes(0, 16), labels=[]).save(tmp_path / "empty.npz")
    loaded = CodeIndex.load(tmp_path / "empty.npz")
    assert (len(loaded), loaded.bits, loaded.ids, loaded.labels) == (0, 16, [], [])


def test_one_long_id_does_not_widen_the_others(tmp_path):
    ids = [f"{i}" for i in range(5000)] + ["x" * 10_000]
    CodeIndex(random_codes(5001, 16), ids, "space").save(tmp_path / "database.npz")
    assert (tmp_path / "database.npz").stat().st_size < 100_000


def test_a_saved_index_can_be_read_by_those_who_can_read_other_files(tmp_path):
    make_index(random_codes(2, 16)).save(tmp_path / "database.npz")
    (tmp_path / "other").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize(("where", "name"), [(np, "savez"), (os, "fsync"), (os, "replace")])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(monkeypatch, tmp_path, where, name):
    path = tmp_path / "database.npz"
    make_index(random_codes(3, 16), fingerprint="old").save(path)

    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(where, name, fail)
    with pytest.raises(OSError, match="No space left on device"):
        make_index(random_codes(3, 16), fingerprint="new").save(path)
    monkeypatch.undo()
    assert [found.name for found in tmp_path.iterdir()] == ["database.npz"]
    assert CodeIndex.load(path).fingerprint == "old"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder '.*absent'"):
        make_index(random_codes(2, 16)).save(tmp_path / "absent" / "database.npz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no index '.*absent\.npz'"):
        CodeIndex.load(tmp_path / "absent.npz")


def test_a_folder_is_no_index(tmp_path):
    with pytest.raises(IsADirectoryError):
        CodeIndex.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_a_foreign_file_is_no_index(tmp_path, content):
    path = tmp_path / "foreign.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"foreign\.npz' is no index"):
        CodeIndex.load(path)


def test_other_numpy_files_are_no_index(tmp_path):
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"array\.npy' is a NumPy array"):
        CodeIndex.load(tmp_path / "array.npy")
    np.savez(tmp_path / "other.npz", codes=np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npz' is no index .* Received: none"):
        CodeIndex.load(tmp_path / "other.npz")
    np.savez(tmp_path / "later.npz", format="keras_hashing.CodeIndex/2")
    with pytest.raises(ValueError, match=r"Received: keras_hashing\.CodeIndex/2"):
        CodeIndex.load(tmp_path / "later.npz")


def test_objects_in_a_file_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "objects.npz", format=np.array([print], dtype=object))
    with pytest.raises(ValueError, match=r"objects\.npz' is damaged"):
        CodeIndex.load(tmp_path / "objects.npz")


def test_damage_anywhere_is_noticed(tmp_path):
    path = tmp_path / "database.npz"
    index = CodeIndex(random_codes(8, 64), NAMES, "space", NAMES)
    index.save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"database\.npz"):
            CodeIndex.load(path)
    for at in range(0, len(whole), 31):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:  # A byte that the archive does not use may differ; what is read is never wrong.
            loaded = CodeIndex.load(path)
        except ValueError as error:
            assert "database.npz" in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(loaded.codes, index.codes)
            assert (loaded.ids, loaded.labels) == (index.ids, index.labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids_text": np.zeros(1, np.uint8)}, "`ids`: the text has another length"),
        ({"ids_bytes": np.array([-1, 13], np.int64)}, "`ids`: the lengths of the strings"),
        ({"codes": np.zeros((2, 2))}, "`codes` must be packed codes"),
        ({"codes": np.zeros((3, 2), np.uint8)}, "`ids` must have one string per code"),
    ],
)
def test_contents_that_do_not_fit_each_other_are_damage(tmp_path, change, message):
    path = tmp_path / "database.npz"
    make_index(random_codes(2, 16)).save(path)
    np.savez(path, **{**dict(np.load(path)), **change})
    with pytest.raises(ValueError, match=rf"database\.npz' is damaged: .*{message}"):
        CodeIndex.load(path)


def contents(index):
    """What is in an index, as a dictionary from ids to codes and labels."""
    labels = index.labels or [None] * len(index)
    return dict(zip(index.ids, zip(index.codes.tolist(), labels, strict=True), strict=True))


@pytest.mark.parametrize("labels", [None, NAMES])
def test_adding_and_removing_is_that_of_a_dictionary(labels):
    codes, more = random_codes(8, 16, 1), random_codes(3, 16, 2)
    index = CodeIndex(codes, NAMES, "space", labels)
    before = contents(index)
    changed = index.add(more, ["a", "b", "c"], None if labels is None else ["A", "", "C"])
    changed = changed.remove([NAMES[2], "b", NAMES[2], NAMES[7]])
    expected = before | dict(
        zip(
            ["a", "b", "c"],
            zip(more.tolist(), [None] * 3 if labels is None else ["A", "", "C"], strict=True),
            strict=True,
        )
    )
    for name in (NAMES[2], "b", NAMES[7]):
        del expected[name]
    assert contents(changed) == expected
    assert list(changed.ids) == list(expected)  # in order
    assert contents(index) == before
    assert changed.fingerprint == "space"


def test_a_changed_index_is_searched_as_one_that_was_made_so():
    codes, more = random_codes(30, 16, 1), random_codes(10, 16, 2)
    index = make_index(codes)
    index.search(codes)  # whatever it keeps for the search is not taken over
    changed = index.remove(["item/0", "item/29"]).add(more, [f"new/{i}" for i in range(10)])
    expected = make_index(np.concatenate([codes[1:29], more]))
    for found, wanted in zip(changed.search(codes), expected.search(codes), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_an_index_may_be_emptied_and_filled():
    index = make_index(random_codes(3, 16)).remove([f"item/{i}" for i in range(3)])
    assert (len(index), index.bits) == (0, 16)
    assert len(index.add(random_codes(2, 16), ["a", "b"])) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((random_codes(2, 16), ["item/1", "item/4"]), "in the index already: item/1, item/4$"),
        ((random_codes(2, 16), ["a", "a"]), "`ids` must differ. Received several times: a"),
        ((random_codes(1, 24), ["a"]), r"2 bytes for codes of 16 bits. Received: shape=\(1, 3\)"),
        ((random_codes(1, 16), ["a"], ["A"]), "has no labels. Received: some"),
        ((random_codes(1, 16), []), "`ids` must have one string per code"),
        ((random_codes(7, 16), [f"item/{i}" for i in range(7)]), "item/4 and 2 more$"),
    ],
)
def test_what_cannot_be_added_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_index(random_codes(9, 16)).add(*arguments)


def test_labels_are_needed_where_the_index_has_them():
    index = CodeIndex(random_codes(1, 16), ["a"], "space", ["A"])
    with pytest.raises(ValueError, match="The index has labels. Received: none"):
        index.add(random_codes(1, 16), ["b"])


def test_what_cannot_be_removed_is_named():
    index = make_index(random_codes(3, 16))
    with pytest.raises(ValueError, match="These ids are not in the index: dog, item/3$"):
        index.remove(["item/1", "dog", "item/3"])
    with pytest.raises(ValueError, match="`ids` must be a list of str"):
        index.remove("item/1")


def test_integer_ids_are_said_and_saved(tmp_path):
    ids = ["17", "-3", "0", str(2**63 - 1), str(-(2**63))]
    index = CodeIndex(random_codes(5, 16), ids, "space", integer_ids=True)
    index.save(tmp_path / "index.npz")
    loaded = CodeIndex.load(tmp_path / "index.npz")
    assert loaded.integer_ids
    assert loaded.ids == ids
    assert loaded.id_numbers().dtype == np.int64
    assert loaded.id_numbers().tolist() == [int(name) for name in ids]
    assert loaded.remove(["0"]).integer_ids
    with pytest.raises(ValueError, match="Received: '1.5'"):
        loaded.add(random_codes(1, 16), ["1.5"])


def test_ids_are_strings_unless_it_is_said(tmp_path):
    CodeIndex(random_codes(1, 16), ["17"], "space").save(tmp_path / "index.npz")
    loaded = CodeIndex.load(tmp_path / "index.npz")
    assert not loaded.integer_ids
    with pytest.raises(ValueError, match="ids of the index are strings"):
        loaded.id_numbers()


@pytest.mark.parametrize("name", ["", "a", "1.0", "+1", "01", "-0", " 1", "1_000", "²", str(2**63)])
def test_what_is_no_integer_is_named(name):
    with pytest.raises(ValueError, match="`ids` must be integers of 64 bits") as caught:
        CodeIndex(random_codes(2, 16), ["1", name], "space", integer_ids=True)
    assert str(caught.value).endswith(f"Received: {name!r}")


@pytest.mark.parametrize("ids", [range(3), [0, 1, 2], np.arange(3), (0, 1, 2)])
def test_numbers_are_ids_of_their_own_kind(ids) -> None:
    index = CodeIndex(np.eye(3, dtype=np.uint8), ids, "space")
    assert index.integer_ids
    assert list(index.ids) == ["0", "1", "2"]
    assert index.id_numbers().tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="`ids` must be a list of str"):
        CodeIndex(np.eye(3, dtype=np.uint8), [0, "1", True], "space")


def test_one_code_is_one_row() -> None:
    index = CodeIndex(np.eye(3, dtype=np.uint8), list("abc"), "space")
    positions, distances = index.search(np.eye(3, dtype=np.uint8)[1], k=2)
    assert positions.tolist() == [[1, 0]]
    assert distances.tolist() == [[0, 2]]
