"""How to reach the NATS server, and as whom."""

import ssl
from pathlib import Path
from typing import Protocol

import msgspec

from starwake.runtime.urls import bus_servers


class BusOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the NATS server, and as whom.

    Attributes:
        url: `nats://host:4222` or `tls://...`, several separated by commas (the members of one cluster); a user and
            password may stand in it.
        name: how the server's monitoring calls this connection.
        user: with `password`, where the server knows users.
        password: see `user`.
        token: where the server knows one token.
        creds_file: path of a credentials file (JWT and seed), where the server knows accounts by JWT.
        nkey_seed_file: path of an nkey's seed.
        tls_ca_file: PEM file of the authorities that may sign the server's certificate; the system's by default.
        tls_cert_file: PEM file of this client's certificate, where the server asks for one.
        tls_key_file: PEM file of its key.
        tls_hostname: the name that the server's certificate must bear, where it is not the URL's.
        tls_first: begin with TLS, where the server says nothing before it (`tls { handshake_first: true }`).
        jetstream_domain: the domain whose JetStream is used, where it is not the server's own (a leaf node's hub).
        inbox_prefix: the first tokens of the subjects on which this process receives answers; per service, so that
            permissions can keep services from reading each other's.
        connect_timeout_s: for one attempt.
        reconnect_wait_s: between two attempts on the same server.
        ping_interval_s: a server that leaves two pings unanswered is given up.
        max_waiting_bytes: what may wait for the socket; beyond it, publishing raises BusUnavailable.
    """

    url: str = "nats://127.0.0.1:4222"
    name: str = "starwake"
    user: str | None = None
    password: str | None = None
    token: str | None = None
    creds_file: str | None = None
    nkey_seed_file: str | None = None
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    tls_hostname: str | None = None
    tls_first: bool = False
    jetstream_domain: str | None = None
    inbox_prefix: str = "_INBOX"
    connect_timeout_s: float = 2.0
    reconnect_wait_s: float = 0.1
    ping_interval_s: float = 3.0
    max_waiting_bytes: int = 16 * 1024 * 1024

    @property
    def servers(self) -> list[str]:
        """The URLs, one each.

        Raises:
            ValueError: one of them is not a nats:// or tls:// URL.
        """
        return bus_servers(self.url)

    def tls_context(self) -> ssl.SSLContext | None:
        """The TLS settings, None where none are given and no URL asks for TLS.

        Raises:
            OSError: a file cannot be read.
        """
        asked_for = self.tls_ca_file or self.tls_cert_file or self.tls_first
        if not asked_for and not any(url.startswith("tls:") for url in self.servers):
            return None
        context = ssl.create_default_context(cafile=self.tls_ca_file)
        if self.tls_cert_file:
            context.load_cert_chain(self.tls_cert_file, self.tls_key_file)
        return context

    def __repr__(self) -> str:
        # Not the generated one on purpose: it would print the password and the token.
        return f"BusOptions(url={self.address!r}, name={self.name!r})"

    @property
    def address(self) -> str:
        """The servers without user and password, for messages."""
        return ",".join(server.rpartition("@")[2] for server in self.url.split(","))


class Secret(Protocol):
    """A value that does not show itself in logs."""

    def get_secret_value(self) -> str:
        """The value itself."""
        ...


class ConnectionSettings(Protocol):
    """What of a process's settings says how it reaches NATS (`starwake.runtime.settings.BusSettings` has it all)."""

    @property
    def nats_url(self) -> str: ...
    @property
    def nats_user(self) -> str | None: ...
    @property
    def nats_password(self) -> Secret | None: ...
    @property
    def nats_token(self) -> Secret | None: ...
    @property
    def nats_creds(self) -> Path | None: ...
    @property
    def nkey_seed_file(self) -> Path | None: ...
    @property
    def nats_tls_ca(self) -> Path | None: ...
    @property
    def nats_tls_cert(self) -> Path | None: ...
    @property
    def nats_tls_key(self) -> Path | None: ...
    @property
    def nats_tls_first(self) -> bool: ...
    @property
    def nats_jetstream_domain(self) -> str | None: ...
    @property
    def nats_inbox_prefix(self) -> str | None: ...


def options_from(settings: ConnectionSettings, *, name: str, url: str | None = None) -> BusOptions:
    """The options that these settings come to, for a process called `name`; `url` overrides the settings' own."""
    return BusOptions(
        url=url or settings.nats_url,
        name=name,
        user=settings.nats_user,
        password=settings.nats_password.get_secret_value() if settings.nats_password else None,
        token=settings.nats_token.get_secret_value() if settings.nats_token else None,
        creds_file=_path(settings.nats_creds),
        nkey_seed_file=_path(settings.nkey_seed_file),
        tls_ca_file=_path(settings.nats_tls_ca),
        tls_cert_file=_path(settings.nats_tls_cert),
        tls_key_file=_path(settings.nats_tls_key),
        tls_first=settings.nats_tls_first,
        jetstream_domain=settings.nats_jetstream_domain,
        inbox_prefix=settings.nats_inbox_prefix or BusOptions().inbox_prefix,
    )


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)
