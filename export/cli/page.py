"""`python -m export page`."""

import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ConfigDict, Field

from export.cli.encoder_options import AnyEncoderOptions
from keras_hashing.command_line.errors import clear_errors, start_tensorflow
from keras_hashing.command_line.options import options_of, with_options
from keras_hashing.command_line.printing import out
from keras_hashing.settings import Settings

if TYPE_CHECKING:
    from export.page.pictures import Pictures
    from keras_hashing.retrieval import CodeIndex


class PageOptions(Settings):
    """What the page shows, and where."""

    model_config = ConfigDict(title="Page")

    images: Path | None = Field(
        default=None,
        description="Folder of the images, as it was given to `index build --images`. (default: "
        "the data of the run, if --index is one)",
    )
    data_dir: str | None = Field(
        default=None,
        description="Where the data of the run is now. (default: where the run says)",
    )
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to answer at. Others than 127.0.0.1 show the page to the network.",
    )
    port: int = Field(default=8600, ge=0, le=65535, description="Port; 0 takes a free one.")


@with_options(*options_of(AnyEncoderOptions), *options_of(PageOptions))
def page(
    index: Annotated[
        Path,
        typer.Option(
            help="What to search in: an index file (.npz), or the folder of a finished run (its "
            "database). It must be of the model's code space.",
        ),
    ],
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.", rich_help_panel="Page")
    ] = False,
    **values: Any,
) -> None:
    """Search by pictures in the browser: drop one, and see the nearest of an index.

    Needs no network. Ctrl+C ends it.
    """
    with clear_errors():
        try:
            import uvicorn

            from export.page.app import make_app
        except ModuleNotFoundError as error:
            raise ImportError(
                f"{error.name} is not installed: pip install 'keras-hashing[page]'"
            ) from None
        options = AnyEncoderOptions.among(values).refuse_early()
        asked = PageOptions.among(values)
        from export.index.load_index import check_code_space, load_index
        from export.page.collection import Collection

        with _listening(asked.host, asked.port) as listening:
            database = load_index(index)
            pictures = _pictures(asked, index, database)
            encoder = options.load_any()
            check_code_space(database, index, encoder)
            collection = Collection(encoder, database, pictures)
            app = make_app(collection, str(asked.images or index), asked.host)
            address = f"http://{_in_url(asked.host)}:{listening.getsockname()[1]}/"
            out.print(f"Search page: {address}  (Ctrl+C ends it)", markup=False)
            if open_browser:
                typer.launch(address)
            config = uvicorn.Config(app, log_config=None, server_header=False)
            uvicorn.Server(config).run(sockets=[listening])


def _pictures(asked: PageOptions, index: Path, database: "CodeIndex") -> "Pictures":
    from export.page.pictures import FolderPictures, RunPictures

    if asked.images is not None:
        if asked.data_dir is not None:
            raise ValueError("--data-dir goes with the data of a run, not with --images")
        return FolderPictures(asked.images, database.ids)
    if not index.is_dir():
        raise ValueError(
            f"Name the folder of the images: --images FOLDER. {shlex.quote(str(index))} has codes "
            "only"
        )
    start_tensorflow()
    return RunPictures(index, asked.data_dir)


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
