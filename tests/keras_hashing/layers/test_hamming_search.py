import faiss
import keras
import numpy as np
import pytest
from keras import ops
from keras.src import testing

from keras_hashing import retrieval
from keras_hashing.layers import HammingSearch, PackBits, hamming_search

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
tensorflow_only = pytest.mark.skipif(not ON_TENSORFLOW, reason="graphs are TensorFlow's")
jax_only = pytest.mark.skipif(ON_TENSORFLOW, reason="jit is JAX's")


class HarnessTest(testing.TestCase):
    """Keras' own harness: build, symbolic and eager calls, dtypes, serialisation."""

    def test_hamming_search(self):
        self.run_layer_test(
            HammingSearch,
            init_kwargs={"codes": random_codes(np.random.default_rng(0), 300, 16), "k": 4},
            input_shape=(3, 2),
            input_dtype="uint8",
            expected_output_shape=((3, 4), (3, 4)),
            expected_output_dtype=("int32", "int32"),
            expected_num_trainable_weights=0,
            expected_num_non_trainable_weights=1,
            expected_num_losses=0,
            run_training_check=False,  # packed codes take no gradient
        )


def random_codes(rng, rows, bits, values=256):
    """Packed codes; few `values` a byte make many ties."""
    return rng.integers(0, values, (rows, bits // 8), dtype=np.uint8)


def searched(layer, *args, **kwargs):
    return tuple(ops.convert_to_numpy(output) for output in layer(*args, **kwargs))


def brute_force(queries, codes, k, max_distance=None):
    """A stable sort of all distances, padded with -1."""
    distances = np.unpackbits(queries[:, None] ^ codes[None], axis=-1).sum(axis=-1).astype(int)
    positions = np.argsort(distances, axis=1, kind="stable")[:, :k]
    distances = np.take_along_axis(distances, positions, axis=1)
    width = ((0, 0), (0, k - positions.shape[1]))
    positions = np.pad(positions, width, constant_values=-1)
    distances = np.pad(distances, width, constant_values=-1)
    if max_distance is not None:
        positions[distances > max_distance] = -1
        distances[distances > max_distance] = -1
    return positions, distances


def assert_same(found, expected):
    for array, other in zip(found, expected, strict=True):
        assert array.dtype == np.int32
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("bits", [8, 16, 48, 64, 128, 256, 264])
@pytest.mark.parametrize("values", [256, 2])
def test_answers_are_those_of_a_stable_sort_of_all_distances(bits, values, rng):
    codes, queries = random_codes(rng, 2000, bits, values), random_codes(rng, 4, bits, values)
    assert_same(searched(HammingSearch(codes, k=30), queries), brute_force(queries, codes, 30))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 400])
def test_a_database_of_any_size_is_padded_up_to_k(size, rng):
    codes, queries = random_codes(rng, size, 16, 4), random_codes(rng, 3, 16, 4)
    codes[size // 2 :] = 3  # unlike the zeros that fill the last group
    queries[0] = 0
    for k in (1, 200):
        assert_same(searched(HammingSearch(codes, k=k), queries), brute_force(queries, codes, k))


@pytest.mark.parametrize("bits", [16, 48, 64, 128, 256])
def test_distances_are_those_of_faiss_and_so_are_the_items_nearer_than_the_last(bits, rng):
    codes, queries = random_codes(rng, 3000, bits), random_codes(rng, 8, bits)
    index = faiss.IndexBinaryFlat(bits)
    index.add(codes)
    distances, ids = index.search(queries, 20)
    found, found_distances = searched(HammingSearch(codes, k=20), queries)
    np.testing.assert_array_equal(found_distances, distances)
    for row in range(len(queries)):
        nearer = distances[row] < distances[row, -1]  # among ties at the cut FAISS takes any
        order = np.lexsort((ids[row, nearer], distances[row, nearer]))
        np.testing.assert_array_equal(found[row, nearer], ids[row, nearer][order])


def test_equal_codes_come_in_ascending_database_order():
    codes = np.zeros((1000, 8), np.uint8)
    positions, distances = searched(HammingSearch(codes, k=300), codes[:2])
    np.testing.assert_array_equal(positions, np.tile(np.arange(300), (2, 1)))
    assert not distances.any()


@pytest.mark.parametrize("bits", [248, 256, 512])
def test_a_distance_of_every_bit_does_not_wrap(bits):
    codes = np.full((3, bits // 8), 255, np.uint8)
    codes[1, 0] = 127
    positions, distances = searched(HammingSearch(codes, k=4), np.zeros((1, bits // 8), np.uint8))
    np.testing.assert_array_equal(positions, [[1, 0, 2, -1]])
    np.testing.assert_array_equal(distances, [[bits - 1, bits, bits, -1]])


@pytest.mark.parametrize("groups", [1, 7, 15, 16])
def test_answers_do_not_depend_on_the_size_of_the_blocks(groups, rng, monkeypatch):
    monkeypatch.setattr(hamming_search, "BLOCK", groups)
    for size in (15 * 128, 16 * 128, 16 * 128 + 1):
        codes, queries = random_codes(rng, size, 72, 3), random_codes(rng, 2, 72, 3)
        assert_same(searched(HammingSearch(codes), queries), brute_force(queries, codes, 10))


def test_a_call_can_ask_for_another_k_and_a_largest_distance(rng):
    codes, queries = random_codes(rng, 500, 16), random_codes(rng, 3, 16)
    search = HammingSearch(codes, k=5)
    assert_same(searched(search, queries, k=9), brute_force(queries, codes, 9))
    for limit in (0, 3, 16, 2**40):
        expected = brute_force(queries, codes, 50, limit)
        assert_same(searched(search, queries, k=50, max_distance=limit), expected)


@pytest.mark.parametrize("dtype", ["int32", "uint8", *(["int64"] if ON_TENSORFLOW else [])])
def test_a_largest_distance_may_be_a_tensor(dtype, rng):
    codes, queries = random_codes(rng, 300, 256, 2), random_codes(rng, 3, 256, 2)
    search = HammingSearch(codes, k=40)
    limits = (12, 200) if dtype == "uint8" else (-1, 12, 2**31 - 1)

    def limited(queries, limit):
        return search(queries, max_distance=limit)

    if ON_TENSORFLOW:
        import tensorflow as tf

        compiled = tf.function(limited)
    else:
        import jax

        compiled = jax.jit(limited)
    for limit in limits:
        found = compiled(queries, ops.convert_to_tensor(limit, dtype=dtype))
        expected = brute_force(queries, codes, 40, limit)
        assert_same([ops.convert_to_numpy(output) for output in found], expected)


def test_no_queries_give_no_rows(rng):
    search = HammingSearch(random_codes(rng, 300, 64), k=7)
    assert_same(searched(search, np.zeros((0, 8), np.uint8)), [np.zeros((0, 7))] * 2)


def test_memory_is_bounded_by_one_largest_k():
    assert HammingSearch(size=5, bits=8).max_k == 1000
    assert HammingSearch(size=5, bits=8, k=5000).max_k == 5000
    search = HammingSearch(size=5, bits=8, k=5, max_k=6)
    for k in (0, -1, 7, 2.0, True):
        with pytest.raises(ValueError, match="`k` must be an integer"):
            search(np.zeros((1, 1), np.uint8), k=k)


# Re-ranking


def ranked_anew(queries, continuous, codes, k, candidates, max_distance=None):
    """Candidates in database order, by a stable sort of exact similarities."""
    positions, distances = brute_force(queries, codes, max(k, candidates), max_distance)
    signs = 2 * np.unpackbits(codes, axis=1).astype(float) - 1
    rows = []
    for row, code in enumerate(continuous):
        kept = np.sort(positions[row, positions[row] >= 0])
        kept = kept[np.argsort(-(signs[kept] @ code.astype(float)), kind="stable")][:k]
        of = dict(zip(positions[row], distances[row], strict=True))
        none = [-1] * (k - len(kept))
        rows.append([[*kept, *none], [*(of[position] for position in kept), *none]])
    return np.array(rows).transpose(1, 0, 2)


@pytest.mark.parametrize("bits", [8, 24, 64, 128, 256])
def test_reranking_orders_the_candidates_by_similarity_to_the_continuous_code(bits, rng):
    codes = random_codes(rng, 700, bits, 4)
    continuous = rng.integers(-9, 10, (4, bits)).astype("float32")  # sums are exact, ties many
    queries = retrieval.pack_codes(continuous)
    search = HammingSearch(codes, k=6, rerank=True, rerank_candidates=40)
    for kwargs in ({}, {"k": 60}, {"max_distance": bits // 2}):
        asked = {"k": 6, **kwargs}
        expected = ranked_anew(queries, continuous, codes, candidates=40, **asked)
        assert_same(searched(search, queries, continuous=continuous, **kwargs), expected)


def test_reranking_keeps_equal_codes_in_database_order(rng):
    codes = np.tile(random_codes(rng, 5, 64), (50, 1))
    continuous = rng.normal(size=(3, 64)).astype("float32")
    queries = retrieval.pack_codes(continuous)
    search = HammingSearch(codes, k=250, rerank=True)
    positions, _ = searched(search, queries, continuous=continuous)
    runs = positions.reshape(3, 5, 50)
    assert (np.diff(runs, axis=-1) == 5).all()


def test_reranking_finds_the_least_asymmetric_distance(rng):
    codes = random_codes(rng, 300, 32)
    continuous = rng.normal(size=(5, 32)).astype("float32")
    search = HammingSearch(codes, k=300, rerank=True)
    positions, _ = searched(search, retrieval.pack_codes(continuous), continuous=continuous)
    signs = 2.0 * np.unpackbits(codes, axis=1) - 1
    asymmetric = np.square(continuous[:, None] - signs[positions]).sum(axis=-1)
    assert (np.diff(asymmetric, axis=1) >= -1e-4).all()


def test_a_reranking_layer_without_continuous_codes_orders_by_distance(rng):
    codes, queries = random_codes(rng, 300, 16), random_codes(rng, 3, 16)
    search = HammingSearch(codes, rerank=True)
    assert_same(searched(search, queries), brute_force(queries, codes, 10))


# Saving


def test_the_config_holds_no_codes_and_makes_a_layer_of_the_same_shape(rng):
    search = HammingSearch(random_codes(rng, 300, 24), k=4, max_k=9, rerank=True, name="s")
    config = search.get_config()
    assert "codes" not in config
    assert config["size"] == 300
    assert config["bits"] == 24
    copy = HammingSearch.from_config(config)
    assert copy.get_config() == config
    copy.set_weights(search.get_weights())
    queries = random_codes(rng, 3, 24)
    assert_same(searched(copy, queries), searched(search, queries))


def test_a_model_with_an_index_survives_saving(rng, tmp_path):
    codes = random_codes(rng, 300, 16)
    images = keras.Input((4,))
    continuous = keras.layers.Dense(16)(images)
    search = HammingSearch(codes, k=5, rerank=True, name="search")
    outputs = search(PackBits()(continuous), continuous=continuous)
    model = keras.Model(images, outputs)
    assert [tuple(output.shape) for output in outputs] == [(None, 5), (None, 5)]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = rng.normal(size=(3, 4)).astype("float32")
    assert_same(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    packed = random_codes(rng, 2, 16)
    assert_same(searched(loaded.get_layer("search"), packed), brute_force(packed, codes, 5))


def test_mixed_precision_does_not_round_the_continuous_codes(rng):
    codes = np.array([[0b10000000], [0b01000000]], np.uint8)
    continuous = np.array([[1.0, 1.00001, -1, -1, -1, -1, -1, -1]], np.float32)
    search = HammingSearch(codes, k=2, rerank=True, dtype="mixed_float16")
    positions, _ = searched(search, np.array([[0b11000000]], np.uint8), continuous=continuous)
    np.testing.assert_array_equal(positions, [[1, 0]])


# Refusals


def test_bad_arguments_are_refused():
    codes = np.zeros((3, 2), np.uint8)
    for kwargs, message in (
        ({}, "`codes`, or both of `size` and `bits`, must be given"),
        ({"size": 3}, "`codes`, or both"),
        ({"codes": codes.astype(int)}, "`codes` must be packed codes of dtype uint8"),
        ({"codes": codes[0]}, "`codes` must have shape"),
        ({"codes": codes, "size": 4}, "`size` must be that of `codes`, 3. Received: size=4"),
        ({"codes": codes, "bits": 8}, "`codes` must have 1 bytes for codes of 8 bits"),
        ({"size": 3, "bits": 0}, "`bits` must be a positive integer"),
        ({"size": -1, "bits": 8}, "`size` must be"),
        ({"codes": codes, "k": 0}, "`k` must be an integer >= 1"),
        ({"codes": codes, "k": 9, "max_k": 8}, "`max_k` must be at least `k`"),
        ({"codes": codes, "rerank_candidates": 0}, "`rerank_candidates` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            HammingSearch(**kwargs)


def test_bad_inputs_are_refused(rng):
    search = HammingSearch(np.zeros((3, 2), np.uint8))
    reranking = HammingSearch(np.zeros((3, 2), np.uint8), rerank=True)
    queries = np.zeros((4, 2), np.uint8)
    with pytest.raises(ValueError, match="`inputs` must be packed codes, uint8 of shape"):
        search(queries.astype("int32"))
    with pytest.raises(ValueError, match="expected axis -1"):
        search(queries[:, :1])
    with pytest.raises(ValueError, match="expected ndim=2"):
        search(queries[0])
    with pytest.raises(ValueError, match="`max_distance` must be an integer >= 0"):
        search(queries, max_distance=-1)
    with pytest.raises(ValueError, match="needs a layer with `rerank=True`"):
        search(queries, continuous=np.zeros((4, 16), "float32"))
    with pytest.raises(ValueError, match=r"`continuous` must have shape \(queries, 16\)"):
        reranking(queries, continuous=np.zeros((4, 8), "float32"))
    with pytest.raises(Exception, match="reshape"):
        reranking(queries, continuous=np.zeros((5, 16), "float32"))


@jax_only
def test_jax_refuses_a_k_that_is_not_known_when_compiling():
    import jax

    search = HammingSearch(np.zeros((3, 2), np.uint8))
    with pytest.raises(ValueError, match="`k` must be a Python integer on the JAX backend"):
        jax.jit(lambda k: search(np.zeros((1, 2), np.uint8), k=k))(2)


# Graphs


@tensorflow_only
@pytest.mark.parametrize("bits", [64, 256])
def test_xla_gives_the_same_answers(bits, rng):
    import tensorflow as tf

    codes, queries = random_codes(rng, 700, bits, 3), random_codes(rng, 3, bits, 3)
    search = HammingSearch(codes)
    compiled = tf.function(lambda queries: search(queries), jit_compile=True)
    found = [output.numpy() for output in compiled(queries)]
    assert_same(found, brute_force(queries, codes, 10))


@tensorflow_only
def test_a_saved_model_answers_in_a_session_with_k_and_the_largest_distance_as_inputs(
    rng, tmp_path
):
    import tensorflow as tf

    codes, queries = random_codes(rng, 700, 64, 3), random_codes(rng, 3, 64, 3)
    search = HammingSearch(codes, rerank=True)

    def nearest(code, continuous, k, max_distance):
        names = ("positions", "distances")
        plain = search(code, k=k, max_distance=max_distance)
        anew = search(code, continuous=continuous, k=k, max_distance=max_distance)
        return {
            **dict(zip(names, plain, strict=True)),
            **{f"new_{name}": output for name, output in zip(names, anew, strict=True)},
        }

    scalar = tf.TensorSpec([], tf.int32)
    spec = [tf.TensorSpec([None, 8], tf.uint8), tf.TensorSpec([None, 64], tf.float32)]
    archive = keras.export.ExportArchive()
    archive.track(search)
    archive.add_endpoint("serve", nearest, input_signature=[*spec, scalar, scalar])
    archive.write_out(str(tmp_path), verbose=False)

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(tmp_path))
        signature = loaded.signature_def["serve"]

        def serve(code, k, max_distance):
            continuous = np.zeros((len(code), 64), np.float32)
            feeds = {"code": code, "continuous": continuous, "k": k, "max_distance": max_distance}
            return session.run(
                {name: output.name for name, output in signature.outputs.items()},
                {signature.inputs[name].name: feeds[name] for name in feeds},
            )

        for k, limit in ((1, 64), (25, 64), (900, 64), (25, 6), (25, -1)):
            answer = serve(queries, k, limit)
            expected = brute_force(queries, codes, k, limit)
            assert_same((answer["positions"], answer["distances"]), expected)
            # All similarities are 0: the candidates come in database order.
            found = answer["new_positions"]
            assert (np.diff(np.where(found < 0, 700, found), axis=1) >= 0).all()
        assert serve(queries[:0], 4, 64)["positions"].shape == (0, 4)
        for k in (0, -1, 1001, 2**31 - 1):
            with pytest.raises(tf.errors.InvalidArgumentError, match="`k` must be an integer from"):
                serve(queries, k, 64)
        assert serve(queries, 3, 64)["positions"].shape == (3, 3)


@tensorflow_only
def test_a_tensor_k_must_be_an_integer_scalar():
    import tensorflow as tf

    search = HammingSearch(np.zeros((3, 2), np.uint8))
    for spec in (tf.TensorSpec([], tf.float32), tf.TensorSpec([1], tf.int32)):
        function = tf.function(lambda k: search(np.zeros((1, 2), np.uint8), k=k))
        with pytest.raises(ValueError, match="`k` must be an integer scalar"):
            function.get_concrete_function(spec)


# At full size


def compiled(search):
    """The search of packed queries as one compiled function, to NumPy arrays."""
    if ON_TENSORFLOW:
        import tensorflow as tf

        function = tf.function(search.__call__)
    else:
        import jax

        function = jax.jit(search.__call__)
    return lambda queries: tuple(map(ops.convert_to_numpy, function(queries)))


def assert_first_by_distance_and_position(found, queries, codes):
    """The tie rule by brute force: no item comes before the last one found that is not found."""
    for query, positions, distances in zip(queries, *found, strict=True):
        all_distances = retrieval.hamming_distance(query[None], codes)[0]
        np.testing.assert_array_equal(all_distances[positions], distances)
        candidates = np.flatnonzero(all_distances <= distances[-1])
        order = np.argsort(all_distances[candidates], kind="stable")
        np.testing.assert_array_equal(positions, candidates[order][: len(positions)])


@pytest.mark.slow
def test_a_thousand_queries_among_a_million_codes_equal_faiss(rng):
    codes, queries = random_codes(rng, 1_000_000, 64), random_codes(rng, 1000, 64)
    index = faiss.IndexBinaryFlat(64)
    index.add(codes)
    distances, ids = index.search(queries, 10)
    found = compiled(HammingSearch(codes))(queries)
    np.testing.assert_array_equal(found[1], distances)
    nearer = distances < distances[:, -1:]
    order = np.lexsort((ids, distances), axis=1)
    sorted_ids = np.take_along_axis(ids, order, axis=1)
    np.testing.assert_array_equal(found[0][nearer], sorted_ids[nearer])
    assert_first_by_distance_and_position(found, queries, codes)


@pytest.mark.slow
def test_ten_million_codes_answer(rng):
    codes, queries = random_codes(rng, 10_000_000, 64), random_codes(rng, 3, 64)
    found = compiled(HammingSearch(codes))(queries)
    assert_first_by_distance_and_position(found, queries, codes)
