"""Logs: one JSON object a line in containers, readable on a terminal; an event name, ids, never a token.

An event's name is dotted and in the past tense (`stream.repaired`); what varies goes into fields.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

# What other libraries call a secret when they log their own configuration.
_SECRET_FIELDS: Final = frozenset({"token", "authorization", "password", "secret", "jwt", "jwt_secret", "seed"})
_HIDDEN: Final = "[hidden]"
# A JWT is three base64url parts, the first of which begins with `{"` (RFC 7515 section 3.1).
_JWT: Final = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
_URL_PASSWORD: Final = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]+@")

# libpq's form `host=... password='...'`, and a parameter of a URL.
_PASSWORD_PAIR: Final = re.compile(r"\b((?:ssl)?password\s*=\s*)(?:'(?:[^'\\]|\\.)*'|[^\s&'\"]+)", re.IGNORECASE)


def get_logger(name: str) -> "FilteringBoundLogger":
    """A logger whose lines carry `component=name`; it may be made at import, before `configure_logs`."""
    return structlog.get_logger(component=name)


def configure_logs(
    service: str,
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["auto", "json", "console"] = "auto",
) -> None:
    """Send this process's logs, other libraries' too, to stderr in one form. Called once, by the composition root."""
    readable = form == "console" or (form == "auto" and sys.stderr.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _with_service(service),
        structlog.processors.StackInfoRenderer(),
    ]
    if readable:
        last: list[Processor] = [
            hide_secrets,
            structlog.dev.ConsoleRenderer(timestamp_key="at", colors=sys.stderr.isatty()),
        ]
    else:
        last = [
            structlog.processors.format_exc_info,
            hide_secrets,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _configure_standard_library(shared, last, threshold)


def hide_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what looks like a secret, by its field's name or by its form, in any text of the event."""
    for field, value in event.items():
        if field in _SECRET_FIELDS:
            event[field] = _HIDDEN
        elif isinstance(value, str):
            event[field] = without_secrets(value)
    return event


def without_secrets(text: str) -> str:
    """The text with JWTs and passwords in URLs replaced."""
    if "eyJ" in text:
        text = _JWT.sub(_HIDDEN, text)
    if "://" in text:
        text = _URL_PASSWORD.sub(rf"\1:{_HIDDEN}@", text)
    if "password" in text:
        text = _PASSWORD_PAIR.sub(rf"\1{_HIDDEN}", text)
    return text


def _with_service(service: str) -> "Processor":
    def add(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = service
        return event

    return add


def _configure_standard_library(shared: "list[Processor]", last: "list[Processor]", threshold: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(threshold)
    for chatty in ("httpx", "httpcore", "asyncio"):
        logging.getLogger(chatty).setLevel(max(threshold, logging.WARNING))
