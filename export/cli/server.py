"""The parts of `python -m export` for a running TensorFlow Serving: its set-up, its answers."""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from export.cli.server_options import NEAREST, ServerOptions
from export.index.file_encoder import check_takes
from export.server.server_config import COMPOSE, ServerConfig, shell_command, write_server_config
from keras_hashing.command_line.errors import clear_errors, warn
from keras_hashing.command_line.options import options_of, with_options
from keras_hashing.command_line.printing import out, print_facts
from keras_hashing.encoder.card import Card
from keras_hashing.files.image_verdict import report, unreadable

if TYPE_CHECKING:
    from export.cli.server_options import NamedVectors
    from keras_hashing.client import Client, ModelNotFoundError

_AT_ONCE = 64  # image files
_HOST_PORT = re.compile(r"([^\s:/\[\]]+|\[[^\s\[\]]+\]):[0-9]+")  # brackets hold an IPv6 address

_MODEL = "Model"
_BATCHING = "Batching"
_OUTPUT = "Output"


@with_options(
    *options_of(ServerConfig, ("name",), _MODEL),
    *options_of(ServerConfig, ("grpc_port", "rest_port", "poll_seconds", "image"), "Server"),
    *options_of(ServerConfig, ("batching", "batch_timeout_micros"), _BATCHING),
)
def server_config(
    model: Annotated[
        Path,
        typer.Option(
            help="Folder of the model's numbered versions, as `publish --output` keeps it.",
            rich_help_panel=_MODEL,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            help="Folder for the files; made if need be. Files of these names are replaced.",
            rich_help_panel=_OUTPUT,
        ),
    ],
    version: Annotated[
        list[int] | None,
        typer.Option(
            help="A version to serve; give it again for more. (default: the highest there is, at "
            "any time)",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    max_execution_batch_size: Annotated[
        int,
        typer.Option(
            "--max-execution-batch-size",
            "--max-batch-size",
            help="Images computed at once at most, 1 to 256.",
            rich_help_panel=_BATCHING,
        ),
    ] = 64,
    **values: Any,
) -> None:
    """Write what a stock TensorFlow Serving needs to serve a model.

    models.config, batching.config and monitoring.config are the server's own configuration files;
    docker-compose.yml runs the official image with them, the model's folder and a health check.
    All of them explain themselves. The commands to start a server, with a container or without,
    are printed.
    """
    with clear_errors():
        config = ServerConfig.check(
            {
                "model_folder": model,
                "versions": tuple(version or ()),
                "max_execution_batch_size": max_execution_batch_size,
                **{name: values[name] for name in values if name in ServerConfig.model_fields},
            }
        )
        written = write_server_config(config, output)
        print_facts({"written": ", ".join(path.name for path in written), "in": written[0].parent})
        compose = shlex.quote(str(written[0].parent / COMPOSE))
        _print_command("With a container:", f"docker compose --file {compose} up --detach --wait")
        _print_command("Without:", shell_command(config, output))
        card = Card.load(config.served[max(config.served)])
        if card.index is not None:
            _print_command(
                "Then:",
                f"python -m export query --server localhost:{config.grpc_port} "
                f"--name {shlex.quote(config.name)} "
                + ("IMAGE" if card.vector_width is None else "--vectors FILE"),
            )


def _print_command(heading: str, command: str) -> None:
    out.print(f"\n{heading}", style="bold")
    out.print(command, soft_wrap=True, markup=False)


class ServedAnswers(NamedTuple):
    """What a server has found.

    Attributes:
        card: the served model's card.
        answers: for each image or vector its name and its neighbours, nearest first.
        skipped: why each file that was left out is no usable image.
    """

    card: Card
    answers: list[dict[str, Any]]
    skipped: dict[Path, str]


def check_host_port(option: str, target: str, also: str = "") -> None:
    """Raises `ValueError` unless an address is one of gRPC."""
    if not _HOST_PORT.fullmatch(target):
        raise ValueError(
            f"`{option}` must be HOST:PORT for gRPC, such as localhost:8500{also}. "
            f"Received: {target!r}"
        )


def wait_until_serving(target: str, name: str, version: int, timeout: float) -> None:
    """Waits until a server has a version ready.

    Raises:
        ServingError: if the server could not load it, or has not within `timeout` seconds.
    """
    from keras_hashing.client import Client

    with Client(target, name, version) as client:
        client.wait_until_ready(timeout)


def ask(
    server: ServerOptions,
    files: Sequence[Path],
    queries: "NamedVectors | None",
    k: int | None,
    radius: int | None,
    on_bad_image: Literal["error", "skip"],
) -> ServedAnswers:
    """Asks a server for the neighbours of image files, or of vectors if there are some.

    Without `k`, all within `radius` are asked for, as far as the server gives so many; a warning
    says where there may be more.

    Raises:
        ServingError: if a request fails.
        ValueError: if the address is not of the transport's form, a file cannot be read or is no
            image (it is named), the model takes no such vectors or has no index, or `k` is more
            than it allows.
    """
    most = k or NEAREST
    width = None if queries is None else queries.vectors.shape[1]
    with _asking(server, most, width) as (client, card):
        assert card.index is not None
        if k is None and radius is not None:
            most = min(card.index.largest_k, max(1, card.index.items))
        if queries is None:
            found = _answers(client, card, files, most, radius, on_bad_image)
        else:
            ids, distances = client.search_vectors(queries.vectors, most, radius)
            rows = zip(queries.names, ids.tolist(), distances.tolist(), strict=True)
            found = ServedAnswers(card, [_answer("vector", *row) for row in rows], {})
    full = sum(len(answer["neighbours"]) == most for answer in found.answers)
    if k is None and radius is not None and full and most < card.index.items:
        warn(
            "[bold yellow]Warning:[/]",
            f"The server gives {most:,} items at most, so {full} of {len(found.answers)} queries "
            f"may have more within {radius}. An index file has no such limit: --index",
        )
    return found


@contextmanager
def _asking(server: ServerOptions, k: int, width: int | None) -> "Iterator[tuple[Client, Card]]":
    """A client of a server, and the card of its model, which answers what is asked."""
    from keras_hashing.client import ModelNotFoundError

    try:
        with client_of(server) as client:
            card = client.model_card()
            if card.index is None:
                raise ValueError(
                    f"The served model {server.name!r} has no index: publish it with --index"
                )
            if k > card.index.largest_k:
                raise ValueError(f"`k` may be at most {card.index.largest_k}. Received: k={k}")
            check_takes(card.vector_width, width)
            yield client, card
    except ModelNotFoundError as error:
        raise not_served(server, error) from error


def client_of(server: ServerOptions) -> "Client":
    """A client of a server; `ValueError` if the address is not of the transport's form."""
    from keras_hashing.client import Client, Tls

    assert server.server is not None
    assert server.name is not None
    if server.transport == "grpc":
        check_host_port("--server", server.server, "; a URL needs --transport rest")
    encrypted = server.tls or server.root_certificates is not None
    return Client(
        server.server,
        server.name,
        server.version,
        transport=server.transport,
        deadline=server.deadline,
        credentials=Tls(server.root_certificates) if encrypted else None,
    )


def not_served(server: ServerOptions, error: "ModelNotFoundError") -> "ModelNotFoundError":
    """The server's answer, with what it was asked for and how to ask for another."""
    of_version, and_version = "", ""
    if server.version is not None:
        of_version, and_version = f"version {server.version} of the ", " and --version"
    return type(error)(
        f"The server at {server.server} serves no {of_version}model {server.name!r}: "
        f"{error.message}. Name what it serves by --name{and_version}"
    )


def _answers(
    client: "Client",
    card: Card,
    files: Sequence[Path],
    k: int,
    radius: int | None,
    on_bad_image: Literal["error", "skip"],
) -> ServedAnswers:
    answers: list[dict[str, Any]] = []
    skipped: dict[Path, str] = {}
    for start in range(0, len(files), _AT_ONCE):
        some = files[start : start + _AT_ONCE]
        found = _found(client, some, k, radius, skipped)
        answers += [_answer("image", str(path), *row) for path, *row in found]
    if skipped and on_bad_image == "error":
        problems = {str(path): problem for path, problem in skipped.items()}
        raise ValueError(report(problems, f"{len(files)} files"))
    return ServedAnswers(card, answers, skipped)


def _found(
    client: "Client",
    files: Sequence[Path],
    k: int,
    radius: int | None,
    skipped: dict[Path, str],
) -> Iterator[tuple[Path, list[Any], list[int]]]:
    """Each file with ids and distances; one by one if there are some to leave out."""
    from keras_hashing.client import InvalidRequestError, ServingError

    try:
        ids, distances = client.search(files, k, radius)
    except (InvalidRequestError, OSError) as error:
        if isinstance(error, ServingError) and not isinstance(error, InvalidRequestError):
            raise
        if len(files) > 1:
            for path in files:
                yield from _found(client, [path], k, radius, skipped)
        elif isinstance(error, InvalidRequestError):
            problem = error.message.removeprefix(f"{str(files[0])!r} ")
            if problem == error.message:  # it is not about the file
                raise
            skipped[files[0]] = problem
        else:
            skipped[files[0]] = unreadable(error)
        return
    yield from zip(files, ids.tolist(), distances.tolist(), strict=True)


def _answer(kind: str, name: str, ids: list[Any], distances: list[int]) -> dict[str, Any]:
    neighbours = [
        {"rank": rank, "id": found, "distance": distance}
        for rank, (found, distance) in enumerate(zip(ids, distances, strict=True), start=1)
        if distance >= 0
    ]
    return {kind: name, "neighbours": neighbours}
