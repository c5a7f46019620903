import numpy as np
import pytest

from keras_hashing.retrieval import relevance
from keras_hashing.retrieval.relevance import RelevanceKernel, label_words


@pytest.mark.parametrize("classes", [1, 8, 10, 64, 80, 200])
def test_relevant_means_a_shared_label(classes):
    rng = np.random.default_rng(classes)
    queries = (rng.random((6, classes)) < 2 / classes).astype(np.int64)
    queries[0] = 0
    database = rng.random((50, classes)) < 2 / classes
    query_words, database_words = label_words("q", queries), label_words("d", database)
    kernel = RelevanceKernel(50, database_words.dtype)
    for query, expected in enumerate(queries @ database.T > 0):
        found = kernel.relevant(query_words[:, query], database_words)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 0.5, 2.0])
def test_a_value_that_is_neither_zero_nor_one_is_refused_wherever_it_is(monkeypatch, value):
    monkeypatch.setattr(relevance, "ROWS", 4)
    labels = np.zeros((10, 3))
    labels[9, 2] = value
    with pytest.raises(ValueError, match=r"`labels` .*0 or 1\. Received: .* position \(9, 2\)"):
        label_words("labels", labels)
