"""What the players' port serves over HTTP: the page, the development sign-in, the protocol's documentation."""

from pathlib import Path
from typing import Final

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from starwake.gateway.dev_sign_in import SIGN_IN_PATH, dev_sign_in
from starwake.gateway.origin_check import ORIGIN_PATH, origin_check
from starwake.gateway.protocol_page import asyncapi_json, protocol_page
from starwake.gateway.settings import PlayersPortSettings, TokenSettings

_WEB: Final = Path(__file__).parent / "web"
_DOCS: Final = Path(__file__).parent / "docs"

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


class SecurityHeaders:
    """Puts the same protective headers on every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS:
                    headers[name] = value
                # The page's modules are asked for again each time, which costs a 304: a deploy shows at once.
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        await self._app(scope, receive, send_with_headers)


class HeadAndOptions:
    """Answers HEAD as GET (the server leaves the body out) and OPTIONS: so proxies ask whether all is well."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        elif scope["type"] == "http" and scope["method"] == "OPTIONS":
            allowed = "OPTIONS, POST" if scope["path"] in (SIGN_IN_PATH, ORIGIN_PATH) else "GET, HEAD, OPTIONS"
            await Response(status_code=204, headers={"allow": allowed})(scope, receive, send)
            return
        await self._app(scope, receive, send)


def make_pages(tokens: TokenSettings, port: PlayersPortSettings) -> FastAPI:
    """The HTTP application of the players' port."""
    pages = FastAPI(title="Starwake gateway", version="1", docs_url=None, redoc_url=None)
    pages.add_middleware(HeadAndOptions)
    pages.add_middleware(SecurityHeaders)

    @pages.get("/", include_in_schema=False)
    def index() -> Response:
        return FileResponse(_WEB / "index.html")

    @pages.get("/ws", include_in_schema=False)
    def no_upgrade() -> Response:
        """A request for the WebSocket that asks for no upgrade."""
        headers = {"upgrade": "websocket", "connection": "upgrade"}
        return PlainTextResponse("this is a WebSocket: connect with ws:// or wss://\n", 426, headers)

    page, described = protocol_page(), asyncapi_json()

    @pages.get("/docs/protocol", tags=["documentation"])
    def protocol() -> HTMLResponse:
        """The players' protocol, to be read."""
        return HTMLResponse(page)

    @pages.get("/docs/asyncapi.json", tags=["documentation"])
    def asyncapi() -> Response:
        """The players' protocol and the NATS subjects as an AsyncAPI 3 document."""
        return Response(described, media_type="application/json")

    @pages.get("/docs/protocol.css", include_in_schema=False)
    def protocol_style() -> Response:
        return FileResponse(_DOCS / "protocol.css")

    pages.include_router(origin_check(port.origins))
    pages.mount("/web", StaticFiles(directory=_WEB, check_dir=False), name="web")
    if tokens.dev_sign_in:
        pages.include_router(dev_sign_in(tokens))
    _ = index, no_upgrade, protocol, protocol_style, asyncapi  # registered by their decorators
    return pages
