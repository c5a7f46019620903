import numpy as np
import pytest

from keras_hashing.retrieval import average_precision, pack_codes
from training.data.protocols import Split
from training.trainer.evaluate import evaluate


@pytest.mark.parametrize("seen", [2, 4])
def test_queries_of_unseen_classes_have_a_map_of_their_own(seen: int) -> None:
    rng = np.random.default_rng(0)
    classes = np.tile(np.arange(4), 30)
    labels, codes = np.eye(4, dtype="uint8")[classes], rng.normal(size=(120, 16))
    query, database = np.arange(20), np.arange(20, 120)
    split = Split(query, database[classes[database] < seen], database)
    figures = evaluate(lambda positions: codes[positions], labels, split).figures
    each = average_precision(
        pack_codes(codes[query]), labels[query], pack_codes(codes[database]), labels[database]
    )
    np.testing.assert_allclose(figures["map"], each.mean())
    unseen = classes[query] >= seen
    if seen == 4:
        assert figures["map_of_unseen_classes"] is None
    else:
        assert figures["queries_of_unseen_classes"] == unseen.sum()
        np.testing.assert_allclose(figures["map_of_unseen_classes"], each[unseen].mean())
