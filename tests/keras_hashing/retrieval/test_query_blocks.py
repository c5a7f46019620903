import numpy as np
import pytest

from keras_hashing.retrieval import query_blocks


@pytest.mark.parametrize("threads", [1, 3])
def test_every_query_is_visited_once(monkeypatch, threads):
    monkeypatch.setattr(query_blocks, "THREADS", threads)
    monkeypatch.setattr(query_blocks, "QUERIES", 4)
    visits = np.zeros(11, dtype=int)

    def visit(rows):
        visits[rows] += 1

    query_blocks.for_query_blocks(visit, 11)
    assert visits.tolist() == [1] * 11


def test_an_error_on_a_thread_reaches_the_caller():
    def fail(rows):
        raise RuntimeError("from the thread")

    with pytest.raises(RuntimeError, match="from the thread"):
        query_blocks.for_query_blocks(fail, 3)
