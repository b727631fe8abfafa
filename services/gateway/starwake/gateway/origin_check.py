"""What a page asks whose WebSocket was not opened: whether its Origin may connect, as this gateway sees it.

A browser tells a page nothing of a refused handshake but that there is no connection (WebSockets standard, "fail the
WebSocket connection"); behind a proxy that rewrites Host the gateway's own page is refused, and could not say why.
"""

from collections.abc import Collection
from typing import Final

from fastapi import APIRouter, Request
from pydantic import BaseModel

from starwake.gateway import upgrade

ORIGIN_PATH: Final = "/ws/origin"
_TOLD_CHARACTERS: Final = 200


class SeenOrigin(BaseModel):
    """Whether a page may connect, and by what that is judged; both are cut to 200 characters.

    Attributes:
        allowed: whether an upgrade request with these headers would be let through.
        origin: the request's Origin, empty where there is none.
        host: the request's Host, as it arrived here.
    """

    allowed: bool
    origin: str
    host: str


def origin_check(allowed_origins: Collection[str]) -> APIRouter:
    """The route `POST /ws/origin`. POST, because browsers send Origin with it to their own origin too (Fetch, 3.1)."""
    router = APIRouter()

    @router.post(ORIGIN_PATH, include_in_schema=False)
    async def see_origin(request: Request) -> SeenOrigin:
        headers = upgrade.by_name(request.headers.raw)
        return SeenOrigin(
            allowed=upgrade.origin_may_connect(headers, allowed_origins),
            origin=_told(headers, b"origin"),
            host=_told(headers, b"host"),
        )

    _ = see_origin  # registered by its decorator
    return router


def _told(headers: upgrade.Headers, name: bytes) -> str:
    return b", ".join(headers.get(name, ()))[:_TOLD_CHARACTERS].decode("latin-1")
