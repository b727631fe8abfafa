"""A site with an address of its own: the page, the client's module, and a sign-in.

`python serve.py PORT GATEWAY`, e.g. `python serve.py 8000 http://127.0.0.1:8080`
"""

import json
import secrets
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

PORT, GATEWAY = int(sys.argv[1]), sys.argv[2]
TIMEOUT_S = 10
PAGE = Path(__file__).with_name("index.html").read_bytes()
with urlopen(f"{GATEWAY}/web/starwake.js", timeout=TIMEOUT_S) as _module:
    MODULE = _module.read()
PLAYER = f"guest-{secrets.token_hex(4)}"  # a real site asks its own sessions who that is


def session() -> bytes:
    """Where the gateways are, and a token: a real site signs one with the key that the gateways know."""
    asked = Request(
        f"{GATEWAY}/dev/token",
        data=json.dumps({"player": PLAYER}).encode(),
        headers={"content-type": "application/json"},
    )
    with urlopen(asked, timeout=TIMEOUT_S) as answer:
        token = json.load(answer)["token"]
    return json.dumps({"url": GATEWAY.replace("http", "ws", 1) + "/ws", "token": token}).encode()


class Site(BaseHTTPRequestHandler):
    """Three addresses."""

    def do_GET(self) -> None:
        """The page and its module."""
        files = {"/": ("text/html", PAGE), "/starwake.js": ("text/javascript", MODULE)}
        if self.path not in files:
            self.send_error(404)
            return
        self._answer(*files[self.path])

    def do_POST(self) -> None:
        """The sign-in: POST, so that no other site's page can read the answer."""
        if self.path != "/session":
            self.send_error(404)
            return
        self._answer("application/json", session())

    def _answer(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(body)


print(f"http://127.0.0.1:{PORT}/", flush=True)
ThreadingHTTPServer(("127.0.0.1", PORT), Site).serve_forever()
