"""The client as it is installed: nothing but its extra, and answers from a server."""

import sys
from pathlib import Path

import numpy as np
import pytest
from brute_force_model import BITS
from prediction_server import ModelServer

sys.path.insert(0, str(Path(__file__).parents[2]))
from installed_wheel import InstalledWheel, build_wheel

NAME = "thumbs"


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_client_extra_answers_from_a_server(
    transport: str, server: ModelServer, index_codes: np.ndarray, tmp_path: Path
) -> None:
    installed = InstalledWheel(build_wheel(tmp_path), tmp_path / "installed", "client")
    target = server.target if transport == "grpc" else server.rest_target
    program = (
        "import sys, numpy as np; from keras_hashing.client import Client\n"
        "codes = np.frombuffer(bytes.fromhex(sys.argv[3]), np.uint8).reshape(1, -1)\n"
        "with Client(sys.argv[1], 'thumbs', transport=sys.argv[2]) as client:\n"
        "    ids, distances = client.search(codes, k=1)\n"
        "print(ids.tolist(), distances.tolist(), {'tensorflow', 'keras'} & set(sys.modules))\n"
    )
    ran = installed.run(program, target, transport, index_codes[7].tobytes().hex())
    assert index_codes.shape[1] == BITS // 8
    assert ran.stdout.strip() == "[['train/\u00e47']] [[0]] set()", ran.stderr
    for name in ("tensorflow", "keras"):
        assert f"No module named '{name}'" in installed.run(f"import {name}").stderr
