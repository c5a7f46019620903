"""All within a radius by a server, which gives only so many: told where there may be more."""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from export.cli import server as server_cli
from export.cli.server_options import NamedVectors, ServerOptions


@pytest.mark.parametrize(("items", "warned"), [(7, True), (4, False)])
def test_as_many_as_the_server_gives(items: int, warned: bool, monkeypatch, capsys) -> None:
    card = SimpleNamespace(index=SimpleNamespace(items=items, largest_k=5))
    asked = []

    def search(vectors: np.ndarray, k: int, radius: int) -> tuple[np.ndarray, np.ndarray]:
        asked.append((k, radius))
        distances = np.tile(np.arange(k), (2, 1))
        distances[1, 1:] = -1  # the second finds one
        return np.tile(np.arange(k), (2, 1)), distances

    @contextmanager
    def asking(server: ServerOptions, k: int, width: int | None):
        yield SimpleNamespace(search_vectors=search), card

    monkeypatch.setattr(server_cli, "_asking", asking)
    queries = NamedVectors(["a", "b"], np.zeros((2, 3), np.float32))
    found = server_cli.ask(ServerOptions(), [], queries, None, 2, "error")
    assert asked == [(min(5, items), 2)]
    assert [len(answer["neighbours"]) for answer in found.answers] == [min(5, items), 1]
    message = "The server gives 5 items at most, so 1 of 2 queries may have more within 2"
    assert (message in " ".join(capsys.readouterr().err.split())) == warned
    server_cli.ask(ServerOptions(), [], queries, None, None, "error")
    assert asked[-1] == (10, None)
