"""The page's answers over HTTP."""

import json
import secrets
from importlib import resources
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from export.index.duplicates import Duplicates
from export.page.collection import Code, Collection, Found
from export.page.guard import LARGEST_UPLOAD, Guard, UploadError, upload
from export.page.index_collection import IndexCollection
from keras_hashing.files.thumbnail import Picture
from keras_hashing.retrieval.packed_width import packed_width

_STATIC = {"": ("page.html", "text/html"), "page.css": ("page.css", "text/css"),
           "page.js": ("page.js", "text/javascript")}  # fmt: skip
_CLUSTERS, _OF_A_CLUSTER = 20, 24  # shown at a time


class _Json(Response):
    """JSON in ASCII: ids that are no UTF-8 reach Python as lone surrogates."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


_KEPT = {"Cache-Control": "private, max-age=86400, immutable"}


def make_app(collection: Collection, title: str, host: str = "127.0.0.1") -> Starlette:
    """The page of a collection, as an ASGI application.

    Args:
        collection: what is searched.
        title: what the page is headed by, such as the name of the folder of images.
        host: the name or address that it is reached by.
    """
    page = _Page(collection, title)
    routes = [
        *(Route(f"/{path}", _static(*of), methods=["GET"]) for path, of in _STATIC.items()),
        Route("/about", page.about),
        Route("/search", page.search_code, methods=["GET"]),
        Route("/search", page.search_picture, methods=["POST"]),
        Route("/thumbnail/{item:int}", page.thumbnail),
        Route("/picture/{item:int}", page.picture),
        Route("/duplicates", page.duplicates),
        Route("/duplicates/{cluster:int}", page.cluster),
        Route("/duplicates.txt", page.removable),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={
            HTTPException: lambda _, error: _refused(error.status_code, error.detail),
            UploadError: lambda _, error: _refused(error.status, str(error)),
            OSError: lambda _, error: _refused(502, str(error)),  # of the server that is asked
            ValueError: lambda _, error: _refused(400, str(error)),
        },
    )


def _static(name: str, media_type: str) -> Any:
    content = (resources.files("export.page") / "static" / name).read_bytes()

    def answer(request: Request) -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return answer


def _refused(status: int, problem: str) -> Response:
    # What is left of a body that was not read would be taken for the next request.
    return _Json({"error": problem}, status, {"Connection": "close"})


class _Page:
    def __init__(self, collection: Collection, title: str) -> None:
        self._collection = collection
        self._about = {
            "title": title,
            "items": collection.size,
            "bits": collection.bits,
            "largest_k": collection.largest_k,
            "largest_radius": collection.largest_radius,
            "largest_upload": LARGEST_UPLOAD,
            # Pictures are kept by the browser, but not for another index at the same address.
            "key": secrets.token_hex(4),
        }

    def about(self, request: Request) -> Response:
        return _Json(self._about)

    async def search_picture(self, request: Request) -> Response:
        content = await upload(request)  # first: a client that is refused has sent all
        limits = self._limits(request)
        code = await run_in_threadpool(self._collection.encode, content)
        return await run_in_threadpool(self._found, code, *limits)

    def search_code(self, request: Request) -> Response:
        limits = self._limits(request)
        asked = request.query_params.get("item")
        if asked is not None:
            item = self._collection.random() if asked == "random" else self._item(asked)
            code, itself = self._collection.itself(item)
            return self._found(code, *limits, itself)
        try:
            packed = bytes.fromhex(request.query_params.get("code", ""))
        except ValueError:
            packed = b""
        if len(packed) != packed_width(self._collection.bits):
            raise ValueError(f"`code` must be {self._collection.bits} bits in hexadecimal")
        return self._found(np.frombuffer(packed, np.uint8), *limits)

    def _found(
        self, code: Code, k: int, radius: int | None, itself: Found | None = None
    ) -> Response:
        item = None if itself is None else itself.item
        found = self._collection.search(code, k, radius, leave_out=item)
        return _Json(
            {
                "code": code.tobytes().hex(),
                "query": itself and itself._asdict(),
                "results": [one._asdict() for one in found],
            }
        )

    def thumbnail(self, request: Request) -> Response:
        return self._shown(request, self._collection.thumbnail)

    def picture(self, request: Request) -> Response:
        return self._shown(request, self._collection.picture)

    def _shown(self, request: Request, of: Any) -> Response:
        try:
            picture: Picture = of(self._item(request.path_params["item"]))
        except (OSError, ValueError) as error:
            raise HTTPException(404, f"There is no picture: {error}") from None
        return Response(picture.content, media_type=picture.media_type, headers=_KEPT)

    def duplicates(self, request: Request) -> Response:
        collection, found = self._duplicates(request)
        start = _number(request, "start", 0, 0, None)
        shown = [
            {"size": len(cluster), "items": _compared(collection, cluster, 0)}
            for cluster in found.clusters[start : start + _CLUSTERS]
        ]
        return _Json(
            {
                "clusters": len(found.clusters),
                "items": sum(map(len, found.clusters)),
                "removable": len(found.removable),
                "shown": shown,
            }
        )

    def cluster(self, request: Request) -> Response:
        """More items of a cluster than were shown of all."""
        collection, found = self._duplicates(request)
        number, start = request.path_params["cluster"], _number(request, "start", 0, 0, None)
        if number >= len(found.clusters):
            raise HTTPException(404, f"There are {len(found.clusters)} clusters")
        return _Json({"items": _compared(collection, found.clusters[number], start)})

    def removable(self, request: Request) -> Response:
        """The ids of all items of a cluster but the first, one a line."""
        collection, found = self._duplicates(request)
        ids = collection.index.ids
        return PlainTextResponse(
            "".join(f"{ids[item]}\n" for item in found.removable.tolist()).encode(errors="replace")
        )

    def _duplicates(self, request: Request) -> tuple[IndexCollection, Duplicates]:
        collection = self._collection
        if not isinstance(collection, IndexCollection):
            raise HTTPException(404, "Near-duplicates are found in an index file, not by a server")
        radius = _number(request, "distance", 0, 0, collection.largest_radius)
        return collection, collection.duplicates(radius)

    def _limits(self, request: Request) -> tuple[int, int | None]:
        bits = self._collection.bits
        k = _number(request, "k", 24, 1, self._collection.largest_k)
        radius = _number(request, "distance", bits, 0, bits)
        return k, None if radius == bits else radius

    def _item(self, text: str | int) -> int:
        try:
            item = int(text) if str(text).isdecimal() else self._collection.size
            self._collection.name(item)
        except IndexError:
            raise HTTPException(404, f"There is no such item. Received: item={text}") from None
        return item


def _compared(collection: IndexCollection, cluster: np.ndarray, start: int) -> list[dict[str, Any]]:
    """Items of a cluster from `start`, with what their codes have different from the first's."""
    first, items = collection.index.codes[cluster[0]], cluster[start : start + _OF_A_CLUSTER]
    return [one._asdict() for one in collection.compared(first, items.tolist())]


def _number(request: Request, name: str, default: int, least: int, most: int | None) -> int:
    text = request.query_params.get(name, str(default))
    number = int(text) if text.isdecimal() and len(text) < 10 else -1
    if number < least or (most is not None and number > most):
        bound = "" if most is None else f" and at most {most}"
        raise ValueError(f"`{name}` must be at least {least}{bound}. Received: {text}")
    return number
