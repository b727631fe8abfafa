"""A small HTTP server for /healthz, /readyz and /metrics.

It is its own server and not the players' one, so that players never reach metrics and a drain of the players'
port leaves the probes answering.
"""

import asyncio
import json
from contextlib import suppress

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from starwake.runtime.health import Health
from starwake.runtime.logs import get_logger

_REQUEST_SECONDS = 5.0
_MAX_REQUEST_BYTES = 8192
_TEXT = "text/plain; charset=utf-8"
_REASON_PHRASES = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Unavailable"}

log = get_logger("health")


class HealthServer:
    """Serves one service's health on one port; closes every connection after its answer."""

    def __init__(self, health: Health, registry: CollectorRegistry = REGISTRY) -> None:
        self._health = health
        self._registry = registry
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; port 0 chooses a free one. Returns the port.

        Raises:
            OSError: the port is taken or not ours to bind.
        """
        self._server = await asyncio.start_server(self._serve, host, port, limit=_MAX_REQUEST_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening; answers under way are short and end by themselves."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.debug("health.request_dropped")
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3:  # noqa: PLR2004 - a request line is method, target, version (RFC 9112 section 3)
            return _response(400, _TEXT, b"bad request\n")
        method, target = words[0], words[1].split(b"?", 1)[0]
        if method not in {b"GET", b"HEAD"}:
            return _response(405, _TEXT, b"only GET\n")
        answer = self._page(target)
        return answer if method == b"GET" else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    def _page(self, target: bytes) -> bytes:
        if target == b"/healthz":
            return _response(200, _TEXT, b"ok\n")
        if target == b"/readyz":
            readiness = self._health.readiness()
            body = json.dumps({"ready": readiness.ready, "reasons": readiness.reasons}).encode() + b"\n"
            return _response(200 if readiness.ready else 503, "application/json", body)
        if target == b"/metrics":
            return _response(200, CONTENT_TYPE_LATEST, generate_latest(self._registry))
        return _response(404, _TEXT, b"not found\n")


def _response(status: int, content_type: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_REASON_PHRASES[status]}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body
