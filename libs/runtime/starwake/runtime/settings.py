"""Settings come from the environment, prefix `STARWAKE_`, one documented block a concern.

A service composes the blocks that it needs into one class and loads it once, in its composition root.
"""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

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


def about(what: str, *, unit: str = "", default: str = "") -> Any:  # noqa: ANN401 - as pydantic's own `Field`
    """What a setting does: the text of `docs/settings.md` and of `starwake <service> --help`.

    Args:
        what: one or more sentences.
        unit: of its number.
        default: in words, where the value itself says nothing to a reader.
    """
    return Field(description=what, json_schema_extra={"unit": unit, "default": default})


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
    """Logs."""

    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], about("What is logged: this level and what is more severe.")
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"], about("`auto`: readable on a terminal, JSON lines elsewhere.")
    ] = "auto"


class HealthSettings(Block):
    """Health and metrics.

    Where `/healthz`, `/readyz` and `/metrics` are served; not the players' port.
    """

    health_host: Annotated[str, about("The address that is listened on.")] = "127.0.0.1"
    health_port: Annotated[Port, about("The port; 0 chooses a free one.")] = 9100
    port_file: Annotated[
        Path | None,
        about("A file that gets the ports that were chosen, as one JSON object, for whoever started the process."),
    ] = None


class DrainSettings(Block):
    """Shutdown."""

    drain_seconds: Annotated[
        float,
        Field(gt=0, le=3600),
        about("How long the service may take to finish what it has in hand once asked to stop.", unit="s"),
    ] = 10.0


class TracingSettings(Block):
    """Traces.

    The standard variables `OTEL_EXPORTER_OTLP_ENDPOINT` and `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` switch tracing on as
    well.
    """

    otlp_endpoint: Annotated[
        str | None,
        about("Where spans are sent, e.g. `http://collector:4318/v1/traces`; without it nothing is traced."),
    ] = None
    trace_ratio: Annotated[
        float, Field(ge=0, le=1), about("The share of the traces begun here that is exported; 1 is all of them.")
    ] = 1.0


_NatsName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
_NatsPrefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")]


class BusSettings(Block):
    """NATS.

    How to reach it, and as whom.
    """

    nats_url: Annotated[
        str,
        AfterValidator(_bus_url),
        Field(repr=False),
        about(
            "`nats://host:4222` or `tls://...`; several servers of one cluster separated by commas. User and password "
            "may stand in it, percent-encoded. Without it: a server on this machine, at the standard port."
        ),
    ] = "nats://127.0.0.1:4222"
    nats_creds: Annotated[ReadableFile | None, about("A credentials file (JWT and seed).")] = None
    nkey_seed_file: Annotated[ReadableFile | None, about("The seed of an nkey.")] = None
    nats_user: Annotated[str | None, about("The user, where it does not stand in the URL.")] = None
    nats_password: Annotated[SecretStr | None, about("The user's password.")] = None
    nats_token: Annotated[SecretStr | None, about("For servers that know one token.")] = None
    nats_tls_ca: Annotated[
        ReadableFile | None,
        about("The authorities that may sign the server's certificate (PEM); without it, the system's."),
    ] = None
    nats_tls_cert: Annotated[
        ReadableFile | None, about("This client's certificate (PEM), for servers that ask for one.")
    ] = None
    nats_tls_key: Annotated[ReadableFile | None, about("The certificate's key (PEM).")] = None
    nats_tls_first: Annotated[
        bool,
        about(
            "For servers that say nothing before TLS (`tls { handshake_first: true }`); all that the URL names have to."
        ),
    ] = False
    nats_jetstream_domain: Annotated[
        _NatsName | None,
        about(
            "The domain whose JetStream holds the streams, where the server connected to is a leaf node of another "
            "domain. Requests then go to `$JS.<domain>.API.>`, which permissions have to allow."
        ),
    ] = None
    nats_inbox_prefix: Annotated[
        _NatsPrefix | None,
        about(
            "Where this process receives answers; one for each service, so that permissions keep services from "
            "reading each other's. Without it `_INBOX`."
        ),
    ] = None
    stream_replicas: Annotated[
        int, Field(ge=1, le=5), about("Copies of each stream: 1 on one machine, 3 in a cluster.")
    ] = 1


class StoreSettings(Block):
    """Postgres."""

    database_url: Annotated[
        SecretStr,
        AfterValidator(_database_url),
        about(
            "As libpq takes it: `postgresql://user:password@host:5432/name`, or `host=... dbname=...`. Without it: the "
            "database `starwake` on this machine, at the standard port."
        ),
    ] = SecretStr("postgresql://127.0.0.1:5432/starwake")
    database_pool: Annotated[int, Field(ge=1, le=500), about("Connections of one process at most.")] = 10


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
