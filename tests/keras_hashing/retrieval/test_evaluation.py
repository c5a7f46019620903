import numpy as np
import pytest

from keras_hashing.retrieval import (
    evaluate_retrieval,
    mean_average_precision,
    neighbour_recall,
    pack_codes,
    precision_at_k,
    precision_recall_curve,
    precision_within_radius,
    reranked_neighbour_recall,
)


def test_every_figure_equals_the_function_of_its_name(make_retrieval):
    data = make_retrieval()
    figures = evaluate_retrieval(*data, k=7, radius=5)
    assert figures.map == mean_average_precision(*data)
    assert figures.map_at_k == mean_average_precision(*data, k=7)
    assert figures.precision_at_k == precision_at_k(*data, k=7)
    assert figures.precision_within_radius == precision_within_radius(*data, radius=5)
    assert (figures.k, figures.radius) == (7, 5)
    curve = precision_recall_curve(*data)
    np.testing.assert_array_equal(figures.curve.radius, curve.radius)
    np.testing.assert_array_equal(figures.curve.precision, curve.precision)
    np.testing.assert_array_equal(figures.curve.recall, curve.recall)


def test_without_a_cut_there_are_no_figures_at_one(make_retrieval):
    figures = evaluate_retrieval(*make_retrieval())
    assert figures.k is figures.map_at_k is figures.precision_at_k is None


@pytest.mark.parametrize(("k", "radius", "name"), [(0, 2, "k"), (61, 2, "k"), (5, 17, "radius")])
def test_a_cut_or_radius_out_of_range_is_refused(make_retrieval, k, radius, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}="):
        evaluate_retrieval(*make_retrieval(), k=k, radius=radius)


def test_queries_of_unseen_classes_have_a_map_of_their_own(make_retrieval):
    queries, labels, *database = make_retrieval()
    unseen = np.arange(len(queries)) % 3 == 0
    figures = evaluate_retrieval(queries, labels, *database, unseen_queries=unseen)
    alone = mean_average_precision(queries[unseen], labels[unseen], *database)
    np.testing.assert_allclose(figures.map_of_unseen_classes, alone)
    for wrong in (unseen[1:], unseen.astype(int), np.zeros(len(queries), bool)):
        with pytest.raises(ValueError, match="`unseen_queries` must be bool"):
            evaluate_retrieval(queries, labels, *database, unseen_queries=wrong)


def test_without_labels_codes_are_judged_by_the_neighbours_of_their_vectors(make_retrieval):
    queries, labels, database, _ = make_retrieval()
    random = np.random.default_rng(0)
    vectors = [random.normal(size=(len(codes), 5)) for codes in (queries, database)]
    continuous = random.normal(size=(len(queries), 16))
    queries = pack_codes(continuous)
    sides = {"query_vectors": vectors[0], "database_vectors": vectors[1]}
    sides["query_continuous"] = continuous
    figures = evaluate_retrieval(queries, None, database, None, **sides)
    recall = neighbour_recall(vectors[0], queries, vectors[1], database)
    for within in (10, 100, 1000):
        assert figures.values[f"neighbour_recall_at_{within}"] == recall[within]
    reranked = reranked_neighbour_recall(vectors[0], continuous, vectors[1], database)
    assert figures.neighbour_recall_at_10_reranked == reranked
    assert figures.map is figures.precision_within_radius is figures.curve is None
    columns = np.zeros((len(queries), 0)), np.zeros((len(database), 0))
    none = evaluate_retrieval(queries, columns[0], database, columns[1], **sides)
    assert none.values == figures.values
    with pytest.raises(ValueError, match="`query_labels` without `database_labels`"):
        evaluate_retrieval(queries, labels, database, None)
    with pytest.raises(ValueError, match="`database_vectors` without `query_vectors`"):
        evaluate_retrieval(queries, None, database, None, database_vectors=vectors[1])
