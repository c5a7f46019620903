"""What can go wrong between a client and its server, as exceptions.

Each class stands for one or more status codes of gRPC; REST answers are mapped to the same ones.
Where Python has a built-in exception of that meaning, the class is one of its kind too, so that
`except ConnectionError`, `except TimeoutError` and `except ValueError` work.

    ServingError                   every other status; base of all below (an `OSError`)
    ├── ServerUnreachableError     UNAVAILABLE: no server, or it cannot take the request now
    │   └── ServerBusyError        UNAVAILABLE: the server's batching queue is full
    ├── DeadlineExceededError      DEADLINE_EXCEEDED: no answer in time
    ├── ModelNotFoundError         NOT_FOUND: no such model, version or label
    ├── VersionNotLoadedError      the server could not load the version waited for
    ├── InvalidRequestError        INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE: no image,
    │                              wrong dtype or shape, unknown signature
    ├── MessageTooLargeError       RESOURCE_EXHAUSTED: above a limit on messages, or on memory
    ├── AccessDeniedError          PERMISSION_DENIED, UNAUTHENTICATED
    ├── FingerprintMismatchError   the model's codes are not those that were expected
    └── CardUnavailableError       the server cannot give the model's card
"""


class ServingError(OSError):
    """A request to a model server failed.

    Attributes:
        code: the name of the gRPC status code that stands for it, such as "INTERNAL".
    """

    code = "UNKNOWN"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    def __reduce__(self) -> tuple[type["ServingError"], tuple[str, str]]:
        return type(self), (self.message, self.code)


class ServerUnreachableError(ServingError, ConnectionError):
    """No server answers, or it cannot take the request now; the only failure that is retried."""

    code = "UNAVAILABLE"


class ServerBusyError(ServerUnreachableError):
    """The server's batching queue is full; retried like a server that cannot be reached."""


class DeadlineExceededError(ServingError, TimeoutError):
    """The answer did not come in time."""

    code = "DEADLINE_EXCEEDED"


class ModelNotFoundError(ServingError, LookupError):
    """The server has no such model, version or label (or not yet)."""

    code = "NOT_FOUND"


class VersionNotLoadedError(ServingError):
    """The server could not load the version that is waited for, and tries no more."""

    code = "FAILED_PRECONDITION"


class InvalidRequestError(ServingError, ValueError):
    """The model refuses the request: no image, wrong dtype or shape, unknown signature."""

    code = "INVALID_ARGUMENT"


class MessageTooLargeError(ServingError):
    """A request or an answer is above a limit on messages, or the server is out of memory."""

    code = "RESOURCE_EXHAUSTED"


class AccessDeniedError(ServingError, PermissionError):
    """The server, or a gateway before it, does not let the client in."""

    code = "PERMISSION_DENIED"


class FingerprintMismatchError(ServingError, ValueError):
    """The served model has another code space than the client was told to expect."""

    code = "FAILED_PRECONDITION"


class CardUnavailableError(ServingError, LookupError):
    """The served model has no signature `card`, and the client was given no model folder."""

    code = "NOT_FOUND"


QUEUE_FULL = "The batch scheduling queue to which this task was submitted is full"
_BY_CODE: dict[str, type[ServingError]] = {
    "UNAVAILABLE": ServerUnreachableError,
    "DEADLINE_EXCEEDED": DeadlineExceededError,
    "NOT_FOUND": ModelNotFoundError,
    "INVALID_ARGUMENT": InvalidRequestError,
    "FAILED_PRECONDITION": InvalidRequestError,
    "OUT_OF_RANGE": InvalidRequestError,
    "RESOURCE_EXHAUSTED": MessageTooLargeError,
    "PERMISSION_DENIED": AccessDeniedError,
    "UNAUTHENTICATED": AccessDeniedError,
}


def error_of_status(code: str, message: str) -> ServingError:
    """Returns the exception for a gRPC status.

    Args:
        code: the name of the status code, such as "NOT_FOUND".
        message: what the server says about it.
    """
    if code == "UNAVAILABLE" and QUEUE_FULL in message:
        return ServerBusyError(
            "The server is busy, its batching queue is full: send fewer requests at once, or raise "
            f"max_enqueued_batches in batching.config ({message[message.index(QUEUE_FULL) :]})",
            code,
        )
    told, _, _ = message.partition("\n\t [[")  # the rest names nodes of the graph
    _, asserted, parts = told.partition("assertion failed: [")
    if asserted:  # "[what must hold] [what was received]"
        told = parts.removesuffix("]").replace("] [", " ")
    return _BY_CODE.get(code, ServingError)(told or code, code)
