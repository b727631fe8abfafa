"""Settings come from the environment, prefix `STARWAKE_`, one documented block a concern.

A service composes the blocks that it needs into one class and loads it once, in its composition root.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from starwake.runtime.errors import SettingsError
from starwake.runtime.urls import bus_servers, check_database_url

PREFIX = "STARWAKE_"
# Kubernetes and Docker put addresses of services into every container: SOMETHING_PORT_80_TCP_ADDR and the like, and
# SOMETHING_PORT=tcp://10.0.0.1:80.
_SERVICE_LINK = re.compile(r"_(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)\Z")
_SERVICE_LINK_VALUE = re.compile(r"^(tcp|udp)://")


def _readable_file(path: Path) -> Path:
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError(f"{path} is not a readable file")
    return path


def _database_url(secret: SecretStr) -> SecretStr:
    check_database_url(secret.get_secret_value())
    return secret


def _bus_url(text: str) -> str:
    bus_servers(text)
    return text


ReadableFile = Annotated[Path, AfterValidator(_readable_file)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Block(BaseSettings):
    """Base of all blocks: read from the environment only, never changed after."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        # An empty variable means "not set": manifests and shells leave such behind.
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )


class LogSettings(Block):
    """STARWAKE_LOG_LEVEL, STARWAKE_LOG_FORMAT (`auto`: readable on a terminal, else JSON lines)."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"


class HealthSettings(Block):
    """Where /healthz, /readyz and /metrics are served; not the players' port.

    STARWAKE_HEALTH_PORT 0 chooses a free one. STARWAKE_PORT_FILE names a file that gets, as one JSON object, the
    ports that were chosen, for whoever started the process.
    """

    health_host: str = "127.0.0.1"
    health_port: Port = 9100
    port_file: Path | None = None


class DrainSettings(Block):
    """STARWAKE_DRAIN_SECONDS: how long the service may take to finish what it has in hand once asked to stop."""

    drain_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0


class TracingSettings(Block):
    """STARWAKE_OTLP_ENDPOINT, e.g. `http://collector:4318/v1/traces`; without it nothing is traced.

    The standard variables OTEL_EXPORTER_OTLP_(TRACES_)ENDPOINT switch tracing on as well.
    """

    otlp_endpoint: str | None = None
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0


class BusSettings(Block):
    """How to reach NATS, and as whom.

    STARWAKE_NATS_URL may name several servers, separated by commas, and may carry user and password.
    STARWAKE_NATS_TLS_FIRST is for servers that say nothing before TLS (`tls { handshake_first: true }`; all that the
    URL names have to). STARWAKE_NATS_JETSTREAM_DOMAIN names the domain whose JetStream holds the streams, where the
    server connected to is a leaf node of another domain; requests then go to `$JS.<domain>.API.>`, which permissions
    have to allow. STARWAKE_STREAM_REPLICAS is 1 on one machine and 3 in a cluster.
    """

    nats_url: Annotated[str, AfterValidator(_bus_url), Field(repr=False)] = "nats://127.0.0.1:4222"
    nats_creds: ReadableFile | None = None
    nkey_seed_file: ReadableFile | None = None
    nats_user: str | None = None
    nats_password: SecretStr | None = None
    nats_token: SecretStr | None = None
    nats_tls_ca: ReadableFile | None = None
    nats_tls_cert: ReadableFile | None = None
    nats_tls_key: ReadableFile | None = None
    nats_tls_first: bool = False
    nats_jetstream_domain: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    nats_inbox_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")] | None = None
    stream_replicas: Annotated[int, Field(ge=1, le=5)] = 1


class StoreSettings(Block):
    """STARWAKE_DATABASE_URL, as libpq takes it; STARWAKE_DATABASE_POOL bounds one process's connections."""

    database_url: Annotated[SecretStr, AfterValidator(_database_url)] = SecretStr(
        "postgresql://127.0.0.1:5432/starwake"
    )
    database_pool: Annotated[int, Field(ge=1, le=500)] = 10


class ServiceSettings(LogSettings, HealthSettings, DrainSettings, TracingSettings):
    """The blocks that every service has; a service's own class adds what it needs besides."""


S = TypeVar("S", bound=BaseSettings)


def load_settings(block: type[S]) -> S:
    """Read one block (or a service's composed class) from the environment.

    Raises:
        SettingsError: a value is missing or bad; the text is one line that names each variable.
    """
    try:
        return block()
    except ValidationError as error:
        raise SettingsError("; ".join(_problem(each["loc"], each["msg"]) for each in error.errors())) from error


def names_of(*blocks: type[BaseSettings]) -> frozenset[str]:
    """The environment variables that these blocks read."""
    return frozenset(PREFIX + field.upper() for block in blocks for field in block.model_fields)


def refuse_unknown_names(known: Iterable[str], environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a STARWAKE_ variable that nobody reads: it is a typing error that would silently do nothing.

    Raises:
        SettingsError: there is one; the text is one line with the name that was likely meant.
    """
    names = set(known)
    unknown = sorted(
        name
        for name, value in environment.items()
        if name.startswith(PREFIX)
        and name not in names
        and not _SERVICE_LINK.search(name)
        and not (name.endswith("_PORT") and _SERVICE_LINK_VALUE.match(value))
    )
    if unknown:
        raise SettingsError("; ".join(_unknown(name, names) for name in unknown))


def _problem(location: tuple[int | str, ...], message: str) -> str:
    if not location:  # about several settings together: the text names them
        return message.removeprefix("Value error, ")
    name = str(location[0])
    if not name.startswith(PREFIX):
        name = PREFIX + name.upper()
    return f"{name}: {message.removeprefix('Value error, ')}"


def _unknown(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name} is not a setting" + (f", did you mean {close[0]}?" if close else "")
