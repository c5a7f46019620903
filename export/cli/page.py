"""`python -m export page`."""

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from pydantic import ConfigDict, Field

from export.cli.convert import warn_if_approximate
from export.cli.encoder_options import AnyEncoderOptions
from export.cli.server import client_of, not_served
from export.cli.server_options import ServerOptions
from keras_hashing.command_line.errors import clear_errors
from keras_hashing.command_line.options import options_of, with_options
from keras_hashing.command_line.printing import out
from keras_hashing.settings import Settings

if TYPE_CHECKING:
    from export.page.collection import Collection


class PageOptions(Settings):
    """What the page shows, and where."""

    model_config = ConfigDict(title="Page")

    images: Path | None = None
    """Folder of the images, as it was given to `index build --images`. (default: the data of the
    run, if --index is one)"""
    data_dir: str | None = None
    """Where the data of the run is now. (default: where the run says)"""
    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to answer at. Others than 127.0.0.1 show the page to the network."""
    port: int = Field(default=8600, ge=0, le=65535)
    """Port; 0 takes a free one."""


class SheetOptions(Settings):
    """A sheet of what `query` found."""

    model_config = ConfigDict(title="Output")

    html: Path | None = None
    """Write the pictures that were found as one HTML file, too."""
    pictures: Path | None = None
    """Where --html finds them: the folder that was given to `index build --images`. (default: the
    data of the run, if --index is one)"""

    def refuse_early(self, index: Path | None) -> Self:
        """Refuses what does not fit, before any work; `ValueError`."""
        if self.pictures is not None and self.html is None:
            raise ValueError("--pictures goes with --html")
        if self.html is not None and self.pictures is None and (index is None or index.is_file()):
            raise ValueError("--html needs --pictures, the folder of the images of the index")
        return self

    def write(self, answers: list[dict[str, Any]], index: Path | None, searched: str) -> None:
        """Writes the sheet, if there is to be one."""
        if self.html is None:
            return
        from export.page.pictures import open_pictures
        from export.page.query_sheet import write_query_sheet

        found = [str(one["id"]) for answer in answers for one in answer["neighbours"]]
        pictures = open_pictures(self.pictures, index, found)
        write_query_sheet(self.html, answers, pictures, searched)


@with_options(*options_of(AnyEncoderOptions), *options_of(PageOptions), *options_of(ServerOptions))
def page(
    index: Annotated[
        Path | None,
        typer.Option(
            help="What to search in: an index file (.npz), or the folder of a finished run (its "
            "database). It must be of the model's code space.",
            rich_help_panel="What encodes (one of)",
        ),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.", rich_help_panel="Page")
    ] = False,
    **values: Any,
) -> None:
    """Search by pictures in the browser: drop one, and see the nearest of an index.

    With --server, a running TensorFlow Serving encodes and searches. Needs no network. Ctrl+C ends
    it.
    """
    with clear_errors():
        try:
            import uvicorn

            from export.page.app import make_app
        except ModuleNotFoundError as error:
            raise ImportError(
                f"{error.name} is not installed: pip install 'keras-hashing[page]'"
            ) from None
        options, server = AnyEncoderOptions.among(values), ServerOptions.among(values)
        asked = PageOptions.among(values)
        collection_of = _choose(options, index, server, asked)
        with _listening(asked.host, asked.port) as listening:
            collection = collection_of()
            app = make_app(collection, str(asked.images or index), asked.host)
            address = f"http://{_in_url(asked.host)}:{listening.getsockname()[1]}/"
            out.print(f"Search page: {address}  (Ctrl+C ends it)", markup=False)
            if open_browser:
                typer.launch(address)
            config = uvicorn.Config(app, log_config=None, server_header=False)
            uvicorn.Server(config).run(sockets=[listening])


def _choose(
    options: AnyEncoderOptions, index: Path | None, server: ServerOptions, asked: PageOptions
) -> Callable[[], "Collection"]:
    """What makes the collection, once the options are known to fit each other."""
    if server.server is None:
        options.refuse_early()
        if index is None:
            raise ValueError("Name what to search in: --index, or --server")
        if asked.images is None and not index.is_dir():
            raise ValueError(
                f"Name the folder of the images: --images FOLDER. {str(index)!r} has codes only"
            )
        if asked.images is not None and asked.data_dir is not None:
            raise ValueError("--data-dir goes with the data of a run, not with --images")
        return partial(_indexed, options, index, asked)
    if options != AnyEncoderOptions() or index is not None:
        raise ValueError("--server goes without --model, --run and --index")
    if server.name is None or asked.images is None:
        raise ValueError("--server needs --name, and --images FOLDER for the pictures")
    return partial(_served, server, asked.images)


def _indexed(options: AnyEncoderOptions, index: Path, asked: PageOptions) -> "Collection":
    from export.index.load_index import check_code_space, load_index
    from export.page.index_collection import IndexCollection
    from export.page.pictures import open_pictures

    database = load_index(index)
    warn_if_approximate(database)
    pictures = open_pictures(asked.images, index, database.ids, asked.data_dir)
    encoder = options.load_any()
    check_code_space(database, index, encoder)
    collection = IndexCollection(encoder, database, pictures)
    collection.warm_up()
    return collection


def _served(server: ServerOptions, images: Path) -> "Collection":
    from export.page.served_collection import ServedCollection
    from keras_hashing.client import ModelNotFoundError

    try:
        return ServedCollection(client_of(server), images)
    except ModelNotFoundError as error:
        raise not_served(server, error) from error


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(
            f"Cannot answer at {_in_url(host)}:{port} ({error.strerror}): name another --port, or "
            "--host"
        ) from None


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
