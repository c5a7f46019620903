import json
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from export.litert import checks
from export.litert.operators import operators
from export.litert.search_file import export_search, search_file
from keras_hashing.device.flatbuffer import parse, read_tflite
from keras_hashing.retrieval import CodeIndex


def index_of(codes: np.ndarray) -> CodeIndex:
    return CodeIndex(codes, [str(i) for i in range(len(codes))], "space")


@pytest.mark.parametrize("bits", [16, 256])
def test_answers_are_those_of_the_index(bits: int, tmp_path: Path) -> None:
    """With many ties, and a query that differs from an item in every bit."""
    rng = np.random.default_rng(0)
    index = index_of(rng.integers(0, 256, (3000, bits // 8), dtype=np.uint8))
    path = export_search(index, tmp_path, k=50)
    runner = Interpreter(model_path=str(path)).get_signature_runner("search")
    queries = [*rng.integers(0, 256, (5, bits // 8), dtype=np.uint8), ~index.codes[7]]
    for query in queries:
        found = runner(code=query[np.newaxis])
        positions, distances = index.search(query[np.newaxis], k=50)
        np.testing.assert_array_equal(found["positions"], positions)
        np.testing.assert_array_equal(found["distances"], distances)
        assert found["positions"].dtype == np.int32


def test_a_whole_index_comes_in_order() -> None:
    """The farthest item of 256 bits: its distance does not fit a byte."""
    index = index_of(np.array([[255] * 32, [0] * 32], np.uint8))
    content = search_file(index, k=2)
    runner = Interpreter(model_content=content).get_signature_runner("search")
    found = runner(code=np.zeros((1, 32), np.uint8))
    assert found["positions"].tolist() == [[1, 0]]
    assert found["distances"].tolist() == [[0, 256]]
    assert "TOPK_V2" in operators(content)


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = export_search(index_of(np.zeros((4, 2), np.uint8)), tmp_path, k=3)
    model = parse(read_tflite(path))
    (entry,) = [entry for entry in model.metadata if entry.name == b"keras_hashing"]
    said = json.loads(model.buffers[entry.buffer].data.tobytes())
    assert (said["kind"], said["bits"], said["items"], said["k"]) == ("search", 16, 4, 3)
    assert said["fingerprint"] == "space"
    with pytest.raises(FileExistsError, match="exist already: .*search.tflite"):
        export_search(index_of(np.zeros((4, 2), np.uint8)), tmp_path)


def test_bad_arguments_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    few = index_of(np.zeros((4, 2), np.uint8))
    with pytest.raises(ValueError, match="`k` must be 1 to the index's 4 items. Received: 5"):
        search_file(few, k=5)
    with pytest.raises(ValueError, match="must have 1 to 100,000 items. Received: 0"):
        search_file(index_of(np.zeros((0, 2), np.uint8)))
    monkeypatch.setattr(checks, "MOST_ITEMS", 3)
    with pytest.raises(ValueError, match="must have 1 to 3 items. Received: 4"):
        search_file(few)
