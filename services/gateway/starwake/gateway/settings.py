"""The gateway's settings; each is an environment variable with the prefix `STARWAKE_`."""

from typing import Annotated, Final

from pydantic import Field, SecretStr, field_validator, model_validator

from starwake.gateway.addresses import Network, networks_from
from starwake.gateway.limits import ConnectionLimits
from starwake.gateway.origins import why_never
from starwake.runtime.settings import Block, BusSettings, Port, ReadableFile, Seconds, ServiceSettings

MIN_SECRET_BYTES: Final = 32
"""An HS256 key is at least as long as its hash (RFC 7518, 3.2)."""

Count = Annotated[int, Field(ge=1)]


class PlayersPortSettings(Block):
    """Where players connect: the page, `/ws`, `/docs/protocol`.

    STARWAKE_PORT 0 chooses a free one. STARWAKE_ALLOWED_ORIGINS lists the origins besides the gateway's own whose
    pages may connect, separated by commas (`https://game.example,https://www.game.example`); `*` allows all.
    STARWAKE_KEEP_ALIVE_S: an HTTP connection is kept so long for its next request; longer than a proxy in front keeps
    its idle connections, else the proxy's request meets the closing of its connection.
    STARWAKE_TRUSTED_PROXIES lists the proxies in front, addresses or networks separated by commas
    (`10.0.0.0/8,192.0.2.7`): a client's address is what they say in X-Forwarded-For, and nobody else is believed.
    STARWAKE_PROXY_PROTOCOL=true: they open each connection with a PROXY header (version 1 or 2); who sends none, or is
    not trusted, is disconnected.
    STARWAKE_HTTP_REQUEST_S, STARWAKE_HTTP_ANSWER_S: what a whole request (behind its head) and its whole answer may
    take; the connection is then reset.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    allowed_origins: str = ""
    trusted_proxies: str = ""
    proxy_protocol: bool = False
    keep_alive_s: Annotated[int, Field(ge=1, le=3600)] = 75
    http_request_s: Annotated[float, Field(gt=0, le=300)] = 20.0
    http_answer_s: Annotated[float, Field(gt=0, le=300)] = 30.0

    @field_validator("allowed_origins")
    @classmethod
    def _can_match(cls, value: str) -> str:
        for origin in value.split(","):
            reason = why_never(origin.strip())
            if reason:
                raise ValueError(f"STARWAKE_ALLOWED_ORIGINS: {origin.strip()!r} can never match: {reason}")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        try:
            networks_from(value)
        except ValueError as error:
            raise ValueError(f"STARWAKE_TRUSTED_PROXIES: {error}") from error
        return value

    @model_validator(mode="after")
    def _knows_who_may_say_so(self) -> "PlayersPortSettings":
        if self.proxy_protocol and not self.proxies:
            raise ValueError("STARWAKE_PROXY_PROTOCOL needs STARWAKE_TRUSTED_PROXIES: who may send its header")
        return self

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The trusted proxies."""
        return networks_from(self.trusted_proxies)

    @property
    def origins(self) -> frozenset[str]:
        """The allowed origins, as browsers write them."""
        return frozenset(
            origin.strip().rstrip("/").lower() for origin in self.allowed_origins.split(",") if origin.strip()
        )


class TokenSettings(Block):
    """Which tokens hold: a shared secret (HS256), a JWKS by URL or file, or several of them.

    STARWAKE_JWT_ISSUER and STARWAKE_JWT_AUDIENCE are checked when set. STARWAKE_DEV_SIGN_IN=true adds
    `POST /dev/token`, which gives a token for any name: for development alone. It needs the shared secret.
    """

    jwt_secret: SecretStr | None = None
    jwks_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    jwks_file: ReadableFile | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    dev_sign_in: bool = False

    @model_validator(mode="after")
    def _has_a_key(self) -> "TokenSettings":
        if self.jwt_secret is None and self.jwks_url is None and self.jwks_file is None:
            raise ValueError(
                "no key to verify tokens with: set STARWAKE_JWT_SECRET, STARWAKE_JWKS_URL or STARWAKE_JWKS_FILE"
            )
        if self.jwt_secret is not None and len(self.jwt_secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"STARWAKE_JWT_SECRET needs at least {MIN_SECRET_BYTES} bytes (RFC 7518, 3.2)")
        if self.dev_sign_in and self.jwt_secret is None:
            raise ValueError("STARWAKE_DEV_SIGN_IN needs STARWAKE_JWT_SECRET to sign with")
        return self


class LimitSettings(Block):
    """What one connection, one player and this gateway as a whole may use. Times are in seconds.

    STARWAKE_MAX_CONNECTIONS: sockets on this gateway; beyond it, upgrades get 503.
    STARWAKE_MAX_UNAUTHENTICATED: those of them that have not shown a token yet.
    STARWAKE_CONNECTIONS_PER_PLAYER: over all gateways; one more ends the oldest (4504).
    STARWAKE_COMMANDS_PER_S, STARWAKE_COMMAND_BURST: each connection's token bucket.
    STARWAKE_ABUSE_REFUSALS: `rate_limited` answers in one go after which the connection is closed (4013).
    STARWAKE_MAX_IN_FLIGHT: commands of one connection that wait for the command service.
    STARWAKE_COMMAND_TIMEOUT_S: after which a command is `unavailable`.
    STARWAKE_MAX_OUTBOX_BYTES, STARWAKE_MAX_OUTBOX_PUSHES, STARWAKE_STUCK_WRITE_S: a slow consumer (4008).
    STARWAKE_SEND_BUFFER_BYTES: of the kernel, for each socket.
    """

    max_connections: Count = 20_000
    max_unauthenticated: Count = 6_000
    connections_per_player: Count = 20
    max_frame_bytes: Annotated[int, Field(ge=1024, le=16_777_216)] = 65_536
    commands_per_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    command_burst: Count = 20
    abuse_refusals: Count = 100
    max_in_flight: Count = 64
    max_bad_frames: Count = 20
    command_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    authentication_s: Annotated[float, Field(gt=0, le=300)] = 10.0
    token_grace_s: Seconds = 25.0
    ping_interval_s: Annotated[float, Field(gt=0, le=3600)] = 25.0
    max_outbox_bytes: Count = 1_048_576
    max_outbox_pushes: Count = 512
    stuck_write_s: Annotated[float, Field(gt=0, le=300)] = 5.0
    send_buffer_bytes: Annotated[int, Field(ge=4096)] = 131_072

    @property
    def per_connection(self) -> ConnectionLimits:
        """The bounds of one connection."""
        return ConnectionLimits(
            max_frame_bytes=self.max_frame_bytes,
            commands_per_s=self.commands_per_s,
            burst=self.command_burst,
            abuse_refusals=self.abuse_refusals,
            max_in_flight=self.max_in_flight,
            max_bad_frames=self.max_bad_frames,
            authentication_s=self.authentication_s,
            token_grace_s=self.token_grace_s,
            ping_interval_s=self.ping_interval_s,
            max_outbox_bytes=self.max_outbox_bytes,
            max_outbox_pushes=self.max_outbox_pushes,
            stuck_write_s=self.stuck_write_s,
        )


class GatewaySettings(ServiceSettings, BusSettings, PlayersPortSettings, TokenSettings, LimitSettings):
    """All of the gateway's settings."""
