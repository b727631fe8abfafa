"""PURE: origins as browsers write them (RFC 6454, 6.2), and settings that no browser could ever match."""

from typing import Final
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def why_never(origin: str) -> str | None:
    """Why no browser's `Origin` can equal `origin`, or None where one can; `*` and nothing at all are left alone."""
    if origin in ("", "*"):
        return None
    try:
        parts = urlsplit(origin.removesuffix("/"))
        port = parts.port
    except ValueError:
        return "its address or port cannot be read"
    host = parts.hostname or ""
    secure = parts.scheme in ("https", "wss")
    reasons = (
        (any(character.isspace() for character in origin), "origins are separated by commas, without spaces in them"),
        ("*" in origin, "there are no wildcards within an origin; name each, or * for all"),
        ("://" not in origin, "an origin begins with its scheme, as in https://game.example"),
        (not host or "@" in parts.netloc, "an origin is a scheme and a host, as in https://game.example"),
        (bool(parts.path or parts.query or parts.fragment), "an origin has no path"),
        (parts.scheme in ("ws", "wss"), f"a page's origin is {'https' if secure else 'http'}://{parts.netloc}"),
        (not host.isascii(), "browsers send a host's ASCII form (xn--...)"),
        (
            port is not None and port == _DEFAULT_PORTS.get(parts.scheme),
            f"browsers leave the default port out: {parts.scheme}://{host}",
        ),
    )
    return next((reason for holds, reason in reasons if holds), None)
