"""How a connection is encrypted."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True)
class Tls:
    """An encrypted connection, with or without a certificate of the client's own.

    Attributes:
        root_certificates: a PEM file of the authorities to trust; `None` for those of the system.
        certificate: a PEM file with the client's certificate chain, for servers that ask for one.
        private_key: a PEM file with its key.
        server_name: the name to expect in the server's certificate, where the target has another.

    Raises:
        ValueError: if only one of `certificate` and `private_key` is given.
    """

    root_certificates: str | Path | None = None
    certificate: str | Path | None = None
    private_key: str | Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("`certificate` and `private_key` must be given together")

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Returns what a gRPC channel needs; raises `OSError` if a file cannot be read."""
        return grpc.ssl_channel_credentials(
            _content(self.root_certificates), _content(self.private_key), _content(self.certificate)
        )

    def ssl_context(self) -> ssl.SSLContext:
        """Returns what HTTPS needs; raises `OSError` if a file cannot be read."""
        roots = self.root_certificates
        context = ssl.create_default_context(cafile=None if roots is None else str(roots))
        if self.certificate is not None and self.private_key is not None:
            context.load_cert_chain(str(self.certificate), str(self.private_key))
        return context


def _content(path: str | Path | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
