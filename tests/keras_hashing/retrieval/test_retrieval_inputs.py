import numpy as np
import pytest

from keras_hashing.retrieval import (
    average_precision,
    evaluate_retrieval,
    mean_average_precision,
    precision_at_k,
    precision_recall_curve,
    precision_within_radius,
)

FIGURES = [
    average_precision,
    mean_average_precision,
    lambda *arguments: mean_average_precision(*arguments, ties="stable"),
    lambda *arguments: precision_at_k(*arguments, k=1),
    precision_within_radius,
    precision_recall_curve,
    evaluate_retrieval,
]
CODES, LABELS = np.zeros((4, 2), np.uint8), np.eye(4, 3)
BAD = [
    ("query_codes", np.zeros((4, 2)), "`query_codes` .*uint8.* Received: dtype=float64"),
    ("query_codes", np.zeros(2, np.uint8), r"`query_codes` .*\[n, K/8\].* shape=\(2,\)"),
    ("query_codes", np.zeros((0, 2), np.uint8), r"`query_codes` .*at least one.* shape=\(0, 2\)"),
    ("database_codes", np.zeros((0, 2), np.uint8), "`database_codes` .*at least one.* Received"),
    ("database_codes", np.zeros((4, 4), np.uint8), "same number of bits. Received: 16 and 32"),
    ("query_labels", np.arange(4), r"`query_labels` .*\[n, C\].* Received: shape=\(4,\)"),
    ("query_labels", np.zeros((4, 0)), r"`query_labels` .* Received: shape=\(4, 0\)"),
    ("query_labels", np.eye(3), "`query_labels` .* Received: 3 rows of labels for 4 codes"),
    ("database_labels", np.eye(4), "same number of classes. Received: 3 and 4"),
    ("database_labels", np.full((4, 3), np.nan), "`database_labels` .* Received: .*nan"),
    ("database_labels", -LABELS, r"`database_labels` .*0 or 1.* Received: .*-1\.0"),
    ("query_labels", 3 * LABELS, r"`query_labels` .*0 or 1.* Received: .*3\.0"),
    ("query_labels", [["cat", "", ""]] * 4, "`query_labels` .*0 or 1.* Received: .*cat"),
]


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_every_figure_names_the_bad_argument(figure, name, value, message):
    arguments = {
        "query_codes": CODES,
        "query_labels": LABELS,
        "database_codes": CODES,
        "database_labels": LABELS,
    }
    arguments[name] = value
    with pytest.raises(ValueError, match=message):
        figure(*arguments.values())


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint8, np.float16, np.float64])
def test_labels_of_any_real_dtype_give_the_same_value(make_retrieval, dtype):
    q, ql, d, dl = make_retrieval()
    expected = mean_average_precision(q, ql, d, dl)
    assert mean_average_precision(q, ql.astype(dtype), d, dl.astype(dtype)) == expected


def test_codes_first_and_labels_after_are_told_the_order() -> None:
    codes = np.random.default_rng(0).integers(2, 256, (6, 2), dtype=np.uint8)
    labels = np.eye(3, dtype=np.uint8)[[0, 1, 2, 0, 1, 2]]
    with pytest.raises(ValueError, match="order of the arguments is query_codes, query_labels"):
        mean_average_precision(codes, codes, labels, labels)
    by_name = mean_average_precision(
        database_labels=labels, query_labels=labels, database_codes=codes, query_codes=codes
    )
    assert by_name == mean_average_precision(codes, labels, codes, labels)
