"""The gateway's settings; each is an environment variable with the prefix `STARWAKE_`."""

from typing import Annotated, Final

from pydantic import Field, SecretStr, field_validator, model_validator

from starwake.gateway.addresses import Network, networks_from
from starwake.gateway.limits import ConnectionLimits
from starwake.gateway.origins import why_never
from starwake.runtime.settings import Block, BusSettings, Port, ReadableFile, Seconds, ServiceSettings, about

MIN_SECRET_BYTES: Final = 32
"""An HS256 key is at least as long as its hash (RFC 7518, 3.2)."""

Count = Annotated[int, Field(ge=1)]


class PlayersPortSettings(Block):
    """The players' port.

    Where players connect: the page, `/ws`, `/docs/protocol`.
    """

    host: Annotated[str, about("The address that is listened on.")] = "127.0.0.1"
    port: Annotated[Port, about("The port; 0 chooses a free one.")] = 8080
    allowed_origins: Annotated[
        str,
        about(
            "Origins besides the gateway's own whose pages may connect, separated by commas "
            "(`https://game.example,https://www.game.example`: scheme and host, no path); `*` allows all."
        ),
    ] = ""
    trusted_proxies: Annotated[
        str,
        about(
            "The proxies in front, addresses or networks separated by commas (`10.0.0.0/8,192.0.2.7`): a client's "
            "address is what they say in X-Forwarded-For, and nobody else is believed."
        ),
    ] = ""
    proxy_protocol: Annotated[
        bool,
        about(
            "The trusted proxies open each connection with a PROXY header (version 1 or 2); who sends none, or is not "
            "trusted, is disconnected."
        ),
    ] = False
    keep_alive_s: Annotated[
        int,
        Field(ge=1, le=3600),
        about(
            "How long an HTTP connection is kept for its next request. Longer than a proxy in front keeps its idle "
            "connections, else the proxy's request meets the closing of its connection.",
            unit="s",
        ),
    ] = 75
    http_request_s: Annotated[
        float,
        Field(gt=0, le=300),
        about("What a whole request behind its head may take; the connection is then reset.", unit="s"),
    ] = 20.0
    http_answer_s: Annotated[
        float, Field(gt=0, le=300), about("What a whole answer may take; the connection is then reset.", unit="s")
    ] = 30.0

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
    """Tokens.

    Which ones hold: signed with a shared secret (HS256), or with a key of a JWKS by URL or file. One of them has to be
    set; several may.
    """

    jwt_secret: Annotated[SecretStr | None, about("The shared secret (HS256), of 32 bytes at least.")] = None
    jwks_url: Annotated[
        Annotated[str, Field(pattern=r"^https?://")] | None, about("Where the keys are fetched from.")
    ] = None
    jwks_file: Annotated[ReadableFile | None, about("The keys as a file.")] = None
    jwt_issuer: Annotated[str | None, about("What `iss` has to be; unchecked where not set.")] = None
    jwt_audience: Annotated[str | None, about("What `aud` has to hold; unchecked where not set.")] = None
    dev_sign_in: Annotated[
        bool,
        about(
            "Adds `POST /dev/token`, which gives a token for any name: for development alone. It needs the shared "
            "secret."
        ),
    ] = False

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
    """Limits.

    What one connection, one player and this gateway as a whole may use.
    """

    max_connections: Annotated[Count, about("Sockets on this gateway; beyond it, upgrades get 503.")] = 20_000
    max_unauthenticated: Annotated[
        Count,
        about(
            "Those of them that have not shown a token yet; as many connections may speak HTTP or say nothing. Beyond "
            "it, who has said nothing for longest makes room."
        ),
    ] = 6_000
    connections_per_player: Annotated[
        Count, about("A player's connections over all gateways; one more ends the oldest (4504).")
    ] = 20
    max_frame_bytes: Annotated[
        int,
        Field(ge=1024, le=16_777_216),
        about("A frame from a player at most; a larger one closes the connection (1009).", unit="bytes"),
    ] = 65_536
    commands_per_s: Annotated[
        float,
        Field(gt=0, allow_inf_nan=False),
        about("Each connection's commands over time; those beyond are answered `rate_limited`.", unit="per second"),
    ] = 10.0
    command_burst: Annotated[Count, about("Commands that a connection may send at once after a pause.")] = 20
    abuse_refusals: Annotated[
        Count, about("`rate_limited` answers in one go after which the connection is closed (4013).")
    ] = 100
    max_in_flight: Annotated[Count, about("Commands of one connection that wait for the command service.")] = 64
    max_bad_frames: Annotated[
        Count, about("Frames in a row that cannot be read, after which the connection is closed.")
    ] = 20
    command_timeout_s: Annotated[
        float, Field(gt=0, le=60), about("After which a command is answered `unavailable`.", unit="s")
    ] = 5.0
    authentication_s: Annotated[
        float, Field(gt=0, le=300), about("How long a socket may stay without a token.", unit="s")
    ] = 10.0
    token_grace_s: Annotated[
        Seconds, about("How long after its token's end a session waits for a new token.", unit="s")
    ] = 25.0
    ping_interval_s: Annotated[
        float,
        Field(gt=0, le=3600),
        about("Between two pings; a connection that is silent for two of them is closed.", unit="s"),
    ] = 25.0
    max_outbox_bytes: Annotated[
        Count, about("What may wait for a slow socket before it is closed (4008).", unit="bytes")
    ] = 1_048_576
    max_outbox_pushes: Annotated[Count, about("The same, counted in pushes.")] = 512
    stuck_write_s: Annotated[
        float,
        Field(gt=0, le=300),
        about("How long a write may get nowhere before the socket is closed (4008).", unit="s"),
    ] = 5.0
    send_buffer_bytes: Annotated[
        int, Field(ge=4096), about("The kernel's send buffer of each socket.", unit="bytes")
    ] = 131_072

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
    """The gateway."""
