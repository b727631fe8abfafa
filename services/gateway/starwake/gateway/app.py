"""The gateway's composition root: settings in, a running service out."""

import asyncio
import functools
import gc
import sys
import time
from typing import Final

import uvicorn

from starwake.bus.connection import Bus
from starwake.bus.options import options_from
from starwake.contracts.frames import Limits
from starwake.gateway import descriptors, metrics
from starwake.gateway.auth import Authenticator
from starwake.gateway.door import Door
from starwake.gateway.feed_list import FeedLists
from starwake.gateway.forwarding import Forwarder
from starwake.gateway.hub import Hub
from starwake.gateway.keys import KeySource, SharedSecret, key_set_from_file, key_set_from_url
from starwake.gateway.listening import BACKLOG, PlayersServer, listen, several_times
from starwake.gateway.pages import make_pages
from starwake.gateway.players_port import Arrival
from starwake.gateway.preamble import Preamble
from starwake.gateway.settings import GatewaySettings
from starwake.gateway.surroundings import Surroundings
from starwake.gateway.tasks import Tasks
from starwake.gateway.timers import RESOLUTION_S, TimerWheel
from starwake.runtime.errors import RuntimeFailure
from starwake.runtime.service import EXIT_BAD_SETTINGS, Runtime, run_service
from starwake.runtime.settings import load_settings

_CONNECT_S: Final = 3600.0
_PATIENCE: Final = 0.8
"""Of the time after which a session that is not live is closed: who would have to wait for longer is told at once."""
_GC_THRESHOLDS: Final = (50_000, 20, 50)
"""Collections of young objects are rarer than the default's 700: a storm of reconnects takes half the time so."""


def run() -> int:
    """Run the gateway in the foreground, configured by the environment; the process's exit code."""
    try:
        settings = load_settings(GatewaySettings)
    except RuntimeFailure as error:
        print(f"gateway: {error}", file=sys.stderr)  # noqa: T201 - one readable line, before logs are configured
        return EXIT_BAD_SETTINGS
    return run_service("gateway", functools.partial(serve, settings=settings), settings)


async def serve(runtime: Runtime, settings: GatewaySettings) -> None:
    """The gateway's life: open, serve until asked to stop, drain, close."""
    room = descriptors.raise_limit(settings.max_connections, settings.max_unauthenticated)
    if room.limit < room.needed:
        runtime.log.warning(
            "descriptors.too_few",
            limit=room.limit,
            needed=room.needed,
            hint="raise the hard limit (ulimit -Hn, LimitNOFILE=) or lower STARWAKE_MAX_CONNECTIONS",
        )
    listening = listen(settings.host, settings.port, send_buffer_bytes=settings.send_buffer_bytes)
    runtime.announce_port("players", listening.getsockname()[1])
    tasks = Tasks()
    bus = await _connect(runtime, settings)
    if bus is None:
        listening.close()
        return
    hub = Hub(
        bus,
        tasks,
        connections_per_player=settings.connections_per_player,
        patience_s=settings.authentication_s * _PATIENCE,
        tracing=runtime.tracing,
    )
    wheel = TimerWheel(time.monotonic())
    authenticator = make_authenticator(settings)
    limits = settings.per_connection
    surroundings = Surroundings(
        limits=limits,
        told_limits=Limits(
            max_frame_bytes=limits.max_frame_bytes,
            commands_per_s=limits.commands_per_s,
            burst=limits.burst,
            connections_per_player=settings.connections_per_player,
        ),
        authenticator=authenticator,
        hub=hub,
        forwarder=Forwarder(bus, tasks, timeout_s=settings.command_timeout_s, tracing=runtime.tracing),
        feed_lists=FeedLists(bus, tasks, hub.recent_to_all),
        wheel=wheel,
        tasks=tasks,
    )
    sockets = several_times(listening)
    door = Door(
        surroundings,
        authenticator,
        origins=settings.origins,
        proxies=settings.proxies,
        max_connections=settings.max_connections,
        max_unauthenticated=settings.max_unauthenticated,
        max_sockets=room.left_for_players(descriptors.in_use()),
        request_s=settings.http_request_s,
        answer_s=settings.http_answer_s,
    )
    server = make_server(door, settings)
    await hub.start()
    tasks.spawn(_turn(wheel), "timers")
    tasks.spawn(descriptors.watch(), "descriptors")
    tasks.spawn(authenticator.keep_keys_fresh(), "keys")
    metrics.UNAUTHENTICATED.set_function(lambda: hub.unauthenticated)
    metrics.OUTBOX_BYTES.set_function(lambda: hub.waiting_bytes)
    runtime.health.add_check("feeds", hub.not_ready)
    serving = asyncio.create_task(server.serve(sockets=sockets))
    runtime.health.set_ready(True)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    stopping = asyncio.create_task(runtime.stopping.wait())
    try:
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        door.draining = True
        await hub.drain(settings.drain_seconds)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving
        await tasks.close()
        await bus.close()


def make_authenticator(settings: GatewaySettings) -> Authenticator:
    """The authenticator over all keys that the settings name."""
    sources: list[KeySource] = []
    if settings.jwt_secret is not None:
        sources.append(SharedSecret(settings.jwt_secret.get_secret_value()))
    if settings.jwks_file is not None:
        sources.append(key_set_from_file(settings.jwks_file))
    if settings.jwks_url is not None:
        sources.append(key_set_from_url(settings.jwks_url))
    return Authenticator(sources, issuer=settings.jwt_issuer, audience=settings.jwt_audience)


def make_server(door: Door, settings: GatewaySettings) -> PlayersServer:
    """uvicorn, with our way to the WebSocket in it."""
    config = uvicorn.Config(
        make_pages(settings, settings),
        loop="none",
        http=functools.partial(Preamble if settings.proxy_protocol else Arrival, door),  # pyright: ignore[reportArgumentType] - a class is only ever called
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        backlog=BACKLOG,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=2,
    )
    return PlayersServer(config)


async def _connect(runtime: Runtime, settings: GatewaySettings) -> Bus | None:
    """The bus, waited for; None where the service was asked to stop first."""
    runtime.health.set_ready(False, "NATS is not connected")
    connecting = asyncio.create_task(Bus.connect(options_from(settings, name="starwake-gateway"), timeout_s=_CONNECT_S))
    stopping = asyncio.create_task(runtime.stopping.wait())
    try:
        await asyncio.wait((connecting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            return connecting.result()
        connecting.cancel()
        await asyncio.wait((connecting,))
        return None
    finally:
        stopping.cancel()


async def _turn(wheel: TimerWheel) -> None:
    while True:
        await asyncio.sleep(RESOLUTION_S)
        wheel.advance(time.monotonic())
