"""PURE: addresses of servers that may carry a password: read strictly, and refused without showing any of it.

The standard library's own errors quote what they cannot read, and half of a password that was not percent-encoded
ends up as a host name, which then stands in every message about it.
"""

import re
import ssl
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

_ENCODE: Final = "percent-encode what is not a letter or a digit in user and password"
_PORTS: Final = range(1, 65536)
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\[\]:@]*)(?::(?P<port>[0-9]*))?", re.ASCII)
_PAIR: Final = re.compile(
    r"\s*(?P<key>[a-z_]+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<plain>(?:[^\s'\\]|\\.)*))\s*"
)

_WITHOUT_EFFECT: Final = frozenset(
    {
        *("channel_binding", "gssencmode", "gssdelegation", "keepalives", "keepalives_idle", "keepalives_interval"),
        *("keepalives_count", "tcp_user_timeout", "fallback_application_name", "client_encoding", "sslcompression"),
        *("sslsni", "requirepeer", "require_auth", "load_balance_hosts", "sslcertmode", "hostaddr"),
    }
)
"""libpq's parameters (https://www.postgresql.org/docs/18/libpq-connect.html, 34.1.2) that the driver does not know: it
would send them to the server, which refuses them."""
_WRITABLE: Final = frozenset({"", "any", "read-write", "primary"})


def database_arguments(text: str) -> dict[str, Any]:
    """The arguments for asyncpg's `connect` that a Postgres URL, or libpq's `host=... dbname=...` form, comes to.

    `target_session_attrs` is always `read-write`: of several hosts the one that can be written to is connected to.

    Raises:
        ValueError: it cannot be read or honoured; the text shows nothing of it.
    """
    parts, parameters = _from_pairs(text) if _is_pairs(text) else _from_url(text)
    arguments: dict[str, Any] = {"target_session_attrs": "read-write"}
    if parameters.pop("target_session_attrs", "") not in _WRITABLE:
        raise ValueError("target_session_attrs has to be read-write: Starwake writes")
    if parameters.get("gssencmode") == "require":
        raise ValueError("gssencmode=require is not supported")
    if "hostaddr" in parameters and "host" not in parameters:
        parameters["host"] = parameters["hostaddr"]
    if (seconds := parameters.pop("connect_timeout", "")) not in {"", "0"}:
        if not seconds.isdecimal():
            raise ValueError("connect_timeout has to be a number of seconds")
        arguments["timeout"] = float(seconds)
    if parameters.get("sslrootcert") == "system":
        if parameters.pop("sslmode", "verify-full") != "verify-full":
            raise ValueError("sslrootcert=system needs sslmode=verify-full")
        del parameters["sslrootcert"]
        arguments["ssl"] = ssl.create_default_context()
    if not all(_is_port(port) for port in parameters.get("port", "5432").split(",")):
        raise ValueError("port has to be a number from 1 to 65535")
    kept = {key: value for key, value in parameters.items() if key not in _WITHOUT_EFFECT}
    # asyncpg reads the rest itself; what neither knows is a setting of the session, as `search_path`.
    arguments["dsn"] = urlunsplit(parts._replace(query=urlencode(kept)))
    return arguments


def check_database_url(text: str) -> None:
    """Whether it can be read.

    Raises:
        ValueError: as `database_arguments`.
    """
    database_arguments(text)


def bus_servers(text: str) -> list[str]:
    """The URLs of NATS servers in a list with commas.

    Raises:
        ValueError: one cannot be read; the text shows nothing of it.
    """
    servers = [server.strip() for server in text.split(",") if server.strip()]
    for server in servers:
        parts = _split(server, ("nats", "tls"), "a nats:// or tls:// URL")
        if not parts.hostname:
            raise ValueError("a NATS URL names no host")
    if not servers:
        raise ValueError("no NATS URL given")
    return servers


def _is_pairs(text: str) -> bool:
    return "://" not in text.partition("=")[0] and "=" in text


def _from_pairs(text: str) -> tuple[SplitResult, dict[str, str]]:
    parameters: dict[str, str] = {}
    position = 0
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is None or pair.end() == position:
            raise ValueError("not a list of key=value with blanks between (quote values with ' where they have blanks)")
        value = pair["quoted"] if pair["quoted"] is not None else pair["plain"]
        parameters[pair["key"]] = re.sub(r"\\(.)", r"\1", value)
        position = pair.end()
    return SplitResult("postgresql", "", "", "", ""), parameters


def _from_url(text: str) -> tuple[SplitResult, dict[str, str]]:
    parts = _split(text, ("postgresql", "postgres"), "a Postgres URL (postgresql://user:password@host:5432/database)")
    try:
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError("what follows the ? is not a list of name=value with & between") from None
    return parts, parameters


def _split(text: str, schemes: tuple[str, ...], what: str) -> SplitResult:
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        raise ValueError(f"not {what}: {_ENCODE}") from None
    if parts.scheme not in schemes:
        raise ValueError(f"not {what}")
    credentials, _, hosts = parts.netloc.rpartition("@")
    readable = (
        "@" not in credentials
        # A `/`, `?` or `#` in the password ends the part with the host: what follows has the @ then.
        and "@" not in parts.path + parts.fragment
        and not ("@" in parts.query and "@" not in parts.netloc)
        and not parts.fragment
        and all(_is_host(host) for host in hosts.split(","))
    )
    if not readable:
        raise ValueError(f"not {what}: {_ENCODE}")
    return parts


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    return match is not None and _is_port(match["port"] or "5432")


def _is_port(text: str) -> bool:
    return text == "" or (text.isascii() and text.isdecimal() and int(text) in _PORTS)
