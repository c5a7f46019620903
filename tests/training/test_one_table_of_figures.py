"""A figure is added in one place, and is then in every output."""

import keras
import numpy as np
import pytest

from keras_hashing.callbacks import RetrievalEvaluation
from keras_hashing.models import HashingModel
from keras_hashing.retrieval import evaluate_retrieval, pack_codes
from keras_hashing.retrieval.figures import FIGURES, Figure
from training.cli import _print_metrics
from training.compare.grid_run import GridRun
from training.compare.recipe import Recipe
from training.compare.workers.measure_codes import measure_codes
from training.data.split import Split
from training.trainer.evaluate import evaluate

CODES = np.random.default_rng(0).normal(size=(30, 16)).astype(np.float32)
LABELS = np.eye(3, dtype=np.uint8)[np.arange(30) % 3]
SPLIT = Split(query=np.arange(10), train=np.arange(10, 30), database=np.arange(10, 30))


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = Figure("answer", "the answer", lambda measured: 42.0, "higher", digits=1, needs=())
    monkeypatch.setitem(FIGURES, "answer", figure)


def test_the_library_and_the_run_have_it(capsys: pytest.CaptureFixture) -> None:
    packed = pack_codes(CODES)
    assert evaluate_retrieval(packed, LABELS, packed, LABELS).answer == 42
    figures = evaluate(lambda positions: CODES[positions], LABELS, SPLIT).figures
    assert figures["answer"] == 42
    about = {"dataset": "d", "protocol": "p", "protocol_options": {}, "fingerprint": "f"}
    _print_metrics({**about, **figures}, "Run")
    assert "the answer (higher is better)" in capsys.readouterr().out


def test_the_history_has_it() -> None:
    model = HashingModel(keras.Sequential([keras.Input((16,))]), bits=16, method="dpsh")
    model.compile("adam")
    data = CODES, LABELS
    evaluation = RetrievalEvaluation(data, data, k=3, vectors=(CODES, CODES))
    history = model.fit(CODES, LABELS, verbose=0, callbacks=[evaluation]).history
    names = set(FIGURES) - {"map_of_unseen_classes"}  # a model does not know what it has seen
    assert {f"retrieval_{name}" for name in names} <= set(history)
    packed = pack_codes(model.encoder.predict(CODES, verbose=0))
    expected = evaluate_retrieval(
        packed, LABELS, packed, LABELS, query_vectors=CODES, database_vectors=CODES
    )
    name = "neighbour_recall_at_10"
    assert history[f"retrieval_{name}"] == [pytest.approx(expected.values[name])]


def test_a_comparison_has_it() -> None:
    run = GridRun("dpsh", "none", 16, 0, "", seed=0)
    query, database = CODES[SPLIT.query], CODES[SPLIT.database]
    figures, _ = measure_codes(run, Recipe(), LABELS, SPLIT, query, database)
    assert set(FIGURES) <= set(figures)
