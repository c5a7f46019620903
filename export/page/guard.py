"""Which requests the page answers at all: those of its own browser window."""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_UPLOAD = 32 * 2**20
MOST_READ = 8 * LARGEST_UPLOAD

_HEADERS = {
    # Nothing from elsewhere, nothing in the page that did not come as a file.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses what another site makes a browser ask, and tells browsers to run nothing foreign.

    The name in `Host` must be localhost, an address, or the one that the page was started with: a
    name that someone else can point at this machine would make their page the same site as ours. A
    request with an `Origin` must have this one.

    Args:
        app: what answers.
        host: the name or address that the page was started with.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = {"localhost", host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        problem = self._problem(Headers(scope=scope))
        refused = problem and JSONResponse({"error": problem}, 403)
        await (refused or self._app)(scope, receive, send_with_headers)

    def _problem(self, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if not self._is_own(host):
            return f"The page has no name such as {host!r}: open it by its address"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return f"Another site, {origin}, may not ask this page"
        return None

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


async def upload(request: Request) -> bytes:
    """The body of a request, an image file of at most `LARGEST_UPLOAD` bytes.

    What is refused is read to its end all the same, and not kept: most clients look for an answer
    only when they have sent all, and one that is cut off before never sees it.

    Raises:
        UploadError: if it is of another type or too large; at once, if the client asks before it
            sends (`Expect`), or when it has sent `MOST_READ` bytes.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    length = request.headers.get("content-length", "")
    too_large = UploadError(413, f"The picture has more than {LARGEST_UPLOAD // 2**20} MB")
    problem = None
    if kind != "application/octet-stream" and not kind.startswith("image/"):
        problem = UploadError(
            415, f"A picture must be sent as image/… or application/octet-stream. Received: {kind}"
        )
    elif length.isdecimal() and int(length) > LARGEST_UPLOAD:
        problem = too_large
    if problem is not None and "expect" in request.headers:
        raise problem
    content, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_UPLOAD:
            problem = problem or too_large
        if size > MOST_READ:
            break
        if problem is None:
            content += chunk
        else:
            content.clear()
    if problem is not None:
        raise problem
    return bytes(content)


class UploadError(Exception):
    """What is wrong with an upload, with the status of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
