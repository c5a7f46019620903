"""TensorFlow Serving's own binary, set up with the files that are written for it."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.server.server_config import ServerConfig, command_line, write_server_config


@contextmanager
def serving_binary(model_folder: Path, name: str, config_folder: Path) -> Iterator[dict[str, str]]:
    """Serves a model until the block ends; yields the targets of "grpc" and "rest"."""
    grpc_port, rest_port = free_ports(2)
    config = ServerConfig(
        model_folder=model_folder, name=name, grpc_port=grpc_port, rest_port=rest_port
    )
    write_server_config(config, config_folder)
    process = subprocess.Popen(command_line(config, config_folder))
    try:
        yield {"grpc": f"127.0.0.1:{grpc_port}", "rest": f"127.0.0.1:{rest_port}"}
    finally:
        process.terminate()
        process.wait(30)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports
