import numpy as np
import pytest

from keras_hashing.retrieval import (
    evaluate_retrieval,
    mean_average_precision,
    precision_at_k,
    precision_recall_curve,
    precision_within_radius,
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
