"""Who may come in by the players' port, and what becomes of them."""

import asyncio
import time
from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import Final, Protocol

from starwake.gateway import chance, upgrade
from starwake.gateway.addresses import Network, client_address, is_trusted
from starwake.gateway.auth import Authenticator, Identity, TokenRefused
from starwake.gateway.keys import KeysUnavailable
from starwake.gateway.lobby import Lobby
from starwake.gateway.session import Session
from starwake.gateway.surroundings import Surroundings
from starwake.gateway.timers import Timed
from starwake.gateway.websocket import WebSocket, peer_of
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

_TOLD_BYTES: Final = 200
_SILENT: Final = 0.2
"""Of the time for authentication: who has said nothing for so long makes room where there is none."""

_log = RateLimitedLogger(get_logger("gateway.port"))


class Guest(Protocol):
    """A connection that has not become a WebSocket, and may have to make room for others."""

    def drop(self) -> None:
        """End the connection at once."""
        ...


class Newcomer(Guest, Timed, Protocol):
    """A guest that has said nothing yet."""


class Waiting(Protocol):
    """A connection whose token is looked at."""

    async def admit(self, accepted: upgrade.Accepted, token: str) -> None:
        """Open the WebSocket if the token holds, else refuse before the upgrade."""
        ...


class Door:
    """Who may come in, and what becomes of them."""

    def __init__(  # noqa: PLR0913 - the settings of the port
        self,
        surroundings: Surroundings,
        authenticator: Authenticator,
        *,
        origins: Collection[str],
        proxies: Sequence[Network],
        max_connections: int,
        max_unauthenticated: int,
        max_sockets: int,
        request_s: float,
        answer_s: float,
    ) -> None:
        self._surroundings = surroundings
        self._authenticator = authenticator
        self._origins = origins
        self._proxies = proxies
        self._max_connections = max_connections
        self._max_unauthenticated = max_unauthenticated
        self._max_sockets = max_sockets
        self._lobby = Lobby[Guest]()
        self._looking_up = 0
        self.whole_request_s = request_s
        self.answer_s = answer_s
        self.draining = False

    @property
    def request_s(self) -> float:
        """Seconds that the head of a request may take to arrive."""
        return self._surroundings.limits.authentication_s

    def examine(self, method: bytes, target: bytes, headers: upgrade.HeaderList) -> upgrade.Accepted | upgrade.Refused:
        """Whether this upgrade request may go ahead, its token apart."""
        hub = self._surroundings.hub
        if self.draining:
            return upgrade.come_later("the server is restarting", chance.soon())
        if hub.sessions >= self._max_connections:
            return upgrade.come_later("too many connections", chance.soon())
        answer = upgrade.examine(method, target, headers, self._origins)
        # Who brings a token is not kept out by those who bring none; a browser brings it a moment later.
        stranger = isinstance(answer, upgrade.Accepted) and answer.token is None
        if stranger and hub.unauthenticated >= self._max_unauthenticated and not self._turn_out_a_stranger():
            return upgrade.come_later("too many connections", chance.soon())
        resumes = isinstance(answer, upgrade.Accepted) and answer.resume is not None
        after_s = hub.come_later() if resumes else None
        return answer if after_s is None else upgrade.come_later("too many players come back at once", after_s)

    def may_look_up(self) -> bool:
        """Whether one more token may wait for its key."""
        return self._looking_up < self._max_unauthenticated

    def trusts(self, peer: str) -> bool:
        """Whether this peer is a proxy that may say whose connection it passes on."""
        return is_trusted(peer, self._proxies)

    def address(self, transport: asyncio.Transport, peer: str | None, headers: upgrade.HeaderList) -> str | None:
        """The client's address where a proxy told of it; None where it is the connection's own.

        Args:
            transport: the connection.
            peer: who opened it, by its PROXY header.
            headers: of the request.
        """
        if not self._proxies:
            return None
        told = [value for name, value in headers if name == b"x-forwarded-for"]
        return client_address(peer or peer_of(transport), told, self._proxies)

    def log_refused_origin(self, headers: upgrade.HeaderList, address: str) -> None:
        """Say which page was refused, and as which host it found this gateway."""
        _log.warning(
            "upgrade.origin_refused",
            origin=_told(headers, b"origin"),
            host=_told(headers, b"host"),
            address=address,
            hint="have the proxy pass the Host header on, or name the origin in STARWAKE_ALLOWED_ORIGINS",
        )

    def _turn_out_a_stranger(self) -> bool:
        hub = self._surroundings.hub
        session = hub.strangers.turn_out(time.monotonic() - self.request_s * _SILENT)
        if session is None:
            return False
        session.turn_away("others need the place of who says nothing", hub.later())
        return True

    def expect(self, arrival: Newcomer) -> None:
        """Have `arrival` ticked when it has said nothing for too long, and let it wait with the others till then."""
        now = time.monotonic()
        self._surroundings.wheel.put(arrival, now + self.request_s)
        self._enter(arrival, now)

    def forget(self, arrival: Newcomer) -> None:
        """Undo `expect`."""
        self._surroundings.wheel.remove(arrival)
        self._lobby.leave(arrival)

    def wait(self, guest: Guest) -> None:
        """A connection speaks HTTP, or has just been answered: of all that wait it is the last to be dropped."""
        self._enter(guest, time.monotonic())

    def leave(self, guest: Guest) -> None:
        """It is gone, or became a WebSocket. Idempotent."""
        self._lobby.leave(guest)

    def _enter(self, guest: Guest, now: float) -> None:
        lobby = self._lobby
        lobby.enter(guest, now)
        sockets = len(lobby) + self._surroundings.hub.sessions
        if sockets > self._max_sockets:
            _log.warning(
                "descriptors.exhausted",
                sockets=sockets,
                hint="raise the hard limit (ulimit -Hn, LimitNOFILE=) or lower STARWAKE_MAX_CONNECTIONS",
            )
        elif len(lobby) > self._max_unauthenticated:
            _log.warning("port.crowded", connections=len(lobby))
        else:
            return
        oldest = lobby.turn_out()
        if oldest is not None:
            oldest.drop()

    async def identify(self, token: str) -> Identity | upgrade.Refused:
        """Whom the token in the upgrade request speaks for."""
        try:
            return await self._authenticator.identify(token)
        except TokenRefused as refusal:
            return upgrade.Refused(HTTPStatus.UNAUTHORIZED, str(refusal), upgrade.INVALID_TOKEN)
        except KeysUnavailable as error:
            return upgrade.come_later(str(error), chance.soon())

    def open_at_once(
        self, transport: asyncio.Transport, request: upgrade.Request, peer: str | None = None
    ) -> WebSocket | None:
        """Answer this request with a WebSocket, None where it is not to have one or its token's key must be fetched."""
        accepted = self.examine(b"GET", request.target, request.headers)
        if isinstance(accepted, upgrade.Refused):
            return None
        identity: Identity | None = None
        if accepted.token is not None:
            try:
                identity = self._authenticator.identify_at_hand(accepted.token)
            except TokenRefused:
                return None
            if identity is None:
                return None
        return self.open(transport, accepted, identity, self.address(transport, peer, request.headers))

    def open(
        self, transport: asyncio.Transport, accepted: upgrade.Accepted, identity: Identity | None, address: str | None
    ) -> WebSocket:
        """Answer the handshake and begin the session; `address` as from the method of that name."""
        surroundings = self._surroundings
        limit = surroundings.limits.max_frame_bytes
        web_socket = WebSocket(transport, accepted.response, max_frame_bytes=limit)
        session = Session(surroundings, web_socket, address)
        web_socket.attach(session)
        transport.set_protocol(web_socket)
        session.start(identity, accepted.resume)
        return web_socket

    def spawn(self, protocol: "Waiting", accepted: upgrade.Accepted, token: str) -> None:
        """Look at the token in a task of its own; its key may have to be fetched."""
        self._surroundings.tasks.spawn(self._look_up(protocol, accepted, token), "upgrade")

    async def _look_up(self, protocol: "Waiting", accepted: upgrade.Accepted, token: str) -> None:
        self._looking_up += 1
        try:
            await protocol.admit(accepted, token)
        finally:
            self._looking_up -= 1


def _told(headers: upgrade.HeaderList, name: bytes) -> str:
    return b", ".join(value for key, value in headers if key == name)[:_TOLD_BYTES].decode("latin-1")
