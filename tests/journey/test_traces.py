"""Traces: from a player's frame to every push that it leads to, over all services, however long it takes.

The three services run in this process, each with a tracer of its own, against a real NATS and a real Postgres.
"""

import asyncio
import gc
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from websockets.asyncio.client import ClientConnection, connect

from starwake.bus.connection import Bus
from starwake.bus.options import BusOptions
from starwake.command.app import serve as serve_command
from starwake.command.settings import CommandSettings
from starwake.contracts import subjects
from starwake.gateway.app import serve as serve_gateway
from starwake.gateway.settings import GatewaySettings
from starwake.runtime.sampling import sampler
from starwake.runtime.service import Runtime
from starwake.runtime.settings import load_settings
from starwake.runtime.tracing import Tracing
from starwake.scheduler.app import serve as serve_scheduler
from starwake.scheduler.settings import SchedulerSettings
from tests.support.eventually import eventually
from tests.support.nats import LocalNats
from tests.support.players import unique_player
from tests.support.postgres import LocalPostgres
from tests.support.postgres import connect as connect_database
from tests.support.spans import Seen, called, has, origins, reachable, seen, span_id, trace_id

SECRET = "a-secret-of-the-trace-tests-of-forty-characters"  # noqa: S105 - only these tests know it
SITE = "the-site-nobody-should-read-of"
CATALOGUE = """
[kinds.dock]
title = "Dock"
duration = "1.2s"

[kinds.survey]
title = "Survey"
duration = "1.2s"

[kinds.temple]
title = "Temple"
duration = "1h"
"""
GAME_DATA = (SITE, "dock", "survey", "temple", "Vega")
ATTRIBUTES = {"player", "command", "command_id", "outcome", "row_id", "revision", "message_id", "seq", "sockets"}


class Universe:
    """The running services, their spans, and one player at a socket."""

    def __init__(self, exporter: InMemorySpanExporter, bus: Bus, database_url: str, port: int) -> None:
        self.exporter = exporter
        self.bus = bus
        self.database_url = database_url
        self.url = f"ws://127.0.0.1:{port}/ws"

    @property
    def spans(self) -> list[ReadableSpan]:
        """All that have ended."""
        return list(self.exporter.get_finished_spans())

    async def sql(self, query: str, *args: object) -> list[dict[str, object]]:
        """What the database says."""
        connection = await connect_database(self.database_url)
        try:
            return await connection.fetch(query, *args)
        finally:
            await connection.close()

    async def nothing_is_left_to_tell(self) -> None:
        """Wait until the outbox is empty: whoever changes the build next publishes what is still in it, too."""

        async def empty() -> bool:
            return not await self.sql("SELECT FROM outbox LIMIT 1")

        await eventually(empty)

    @asynccontextmanager
    async def player(self) -> "AsyncGenerator[Player]":
        """A player whom no other test has, connected."""
        name = unique_player()
        token = jwt.encode({"sub": name, "iat": time.time(), "exp": time.time() + 600}, SECRET, algorithm="HS256")
        async with connect(self.url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None) as socket:
            player = Player(self, name, token, socket)
            await player.frame("hello")
            yield player


class Player:
    """A player at a socket, and the spans that name them."""

    def __init__(self, universe: Universe, name: str, token: str, socket: ClientConnection) -> None:
        self.universe = universe
        self.name = name
        self.token = token
        self._socket = socket

    async def frame(self, *wanted: str) -> dict[str, Any]:
        """The next frame of one of these types, or that pushes one of these events."""
        async with asyncio.timeout(20):
            while True:
                each: dict[str, Any] = json.loads(await self._socket.recv())
                if each["type"] in wanted or each.get("event") in wanted:
                    return each

    async def order(self, command: str, **args: object) -> ReadableSpan:
        """Send a command, wait for its answer; the span of its frame."""
        command_id = uuid4().hex
        await self._socket.send(json.dumps({"id": command_id, "command": command, "args": args}))
        await self.frame("reply", "error")

        def of_frame() -> ReadableSpan | None:
            return next(
                (each for each in self.universe.spans if each.parent is None and has(each, "command_id", command_id)),
                None,
            )

        found = await eventually(of_frame)
        assert found is not None
        return found

    async def leads_to(self, frame: ReadableSpan, *expected: Seen) -> list[ReadableSpan]:
        """Wait until exactly these spans can be reached from that of a frame, by parent and link; the spans."""

        def reached() -> list[ReadableSpan]:
            found = reachable(frame, self.universe.spans)
            assert sorted(map(seen, found)) == sorted(expected)
            return found

        return await eventually(reached, within_s=15)


Serve = Callable[[Runtime], Awaitable[None]]


@pytest.fixture(scope="module")
async def universe(tmp_path_factory: pytest.TempPathFactory, postgres_server: LocalPostgres) -> AsyncIterator[Universe]:
    directory = tmp_path_factory.mktemp("traces")
    (directory / "catalogue.toml").write_text(CATALOGUE)
    nats = LocalNats(tmp_path_factory.mktemp("nats"))
    exporter = InMemorySpanExporter()
    thresholds = gc.get_threshold()
    async with AsyncExitStack() as stack:
        database_url = await stack.enter_async_context(postgres_server.database())
        await nats.start()
        stack.push_async_callback(nats.stop)
        environment = {
            "STARWAKE_NATS_URL": nats.url,
            "STARWAKE_DATABASE_URL": database_url,
            "STARWAKE_JWT_SECRET": SECRET,
            "STARWAKE_PORT": "0",
            "STARWAKE_CATALOGUE": str(directory / "catalogue.toml"),
            "STARWAKE_DRAIN_SECONDS": "1",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            scheduler, command = load_settings(SchedulerSettings), load_settings(CommandSettings)
            gateway = load_settings(GatewaySettings)
        mains: dict[str, Serve] = {
            "scheduler": lambda runtime: serve_scheduler(runtime, scheduler),
            "command": lambda runtime: serve_command(runtime, command),
            "gateway": lambda runtime: serve_gateway(runtime, gateway),
        }
        for name, main in mains.items():
            await stack.enter_async_context(served(name, main, exporter, directory))
        bus = await Bus.connect(BusOptions(url=nats.url, name="test"))
        stack.push_async_callback(bus.close)
        port = json.loads((directory / "gateway.json").read_text())["players"]
        yield Universe(exporter, bus, database_url, port)
    # A gateway keeps its collector from looking at what is there when it starts.
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@asynccontextmanager
async def served(name: str, main: Serve, exporter: InMemorySpanExporter, directory: Path) -> AsyncGenerator[None]:
    """A service, running in this process, whose spans go to `exporter`."""
    provider = TracerProvider(resource=Resource({"service.name": name}), sampler=sampler(1.0))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    runtime = Runtime(name, tracing=Tracing(provider), port_file=directory / f"{name}.json")
    running = asyncio.ensure_future(main(runtime))
    try:
        await eventually(lambda: runtime.health.readiness().ready or running.done(), within_s=30)
        assert not running.done(), running
        yield
    finally:
        runtime.stop()
        await asyncio.wait_for(running, 20)


FRAME = Seen("gateway", "command build.start")
ORDER = Seen("command", "order build.start")


async def test_an_order_leads_from_its_frame_to_the_push_of_its_end(universe: Universe) -> None:
    async with universe.player() as player:
        frame = await player.order("build.start", kind="survey", site=SITE)
        spans = await player.leads_to(
            frame,
            FRAME,
            ORDER,
            Seen("command", "publish build.started"),
            Seen("gateway", "push build.started"),
            Seen("scheduler", "complete build"),
            Seen("scheduler", "publish build.completed"),
            Seen("gateway", "push build.completed"),
            Seen("scheduler", "publish stars.discovered"),
            Seen("gateway", "push stars.discovered"),
        )
    order, completed = called(spans, "order build.start"), called(spans, "complete build")
    assert order.parent is not None
    assert (order.parent.span_id, trace_id(order)) == (span_id(frame), trace_id(frame))
    # Days may lie between the two: another trace, which says where it comes from.
    assert completed.parent is None
    assert [link.context.span_id for link in completed.links] == [span_id(order)]
    assert trace_id(completed) != trace_id(frame)
    for event, cause in (("build.started", order), ("build.completed", completed), ("stars.discovered", completed)):
        stored, pushed = called(spans, f"publish {event}"), called(spans, f"push {event}")
        assert (stored.parent, pushed.parent) != (None, None)
        assert origins(stored) == {span_id(cause)}
        assert origins(pushed) == {span_id(stored)}
        assert has(stored, "row_id", (completed.attributes or {})["starwake.row_id"])
        assert has(pushed, "sockets", 1)
        assert (stored.end_time or 0) >= (cause.start_time or 0)


async def test_spans_hold_ids_and_nothing_else_about_players(universe: Universe) -> None:
    async with universe.player() as player:
        frame = await player.order("build.start", kind="dock", site=SITE)
        await player.frame("build.completed")
        await player.order("build.start", kind="nothing", site=SITE)
        await eventually(lambda: "push build.completed" in {each.name for each in reachable(frame, universe.spans)})
    for span in universe.spans:
        assert {key.removeprefix("starwake.") for key in span.attributes or {}} <= ATTRIBUTES
        text = span.to_json()
        assert player.token not in text
        assert not [word for word in GAME_DATA if word in text]


async def test_a_cancelled_build_leads_on_from_the_order_that_began_it_to_the_one_that_ended_it(
    universe: Universe,
) -> None:
    async with universe.player() as player:
        frame = await player.order("build.start", kind="temple", site=SITE)
        started = await player.frame("build.started")
        await universe.nothing_is_left_to_tell()
        cancel = await player.order("build.cancel", build_id=started["data"]["build"]["id"])
        ends = (
            Seen("gateway", "command build.cancel"),
            Seen("command", "order build.cancel"),
            Seen("command", "publish build.cancelled"),
            Seen("gateway", "push build.cancelled"),
        )
        spans = await player.leads_to(cancel, *ends)
        assert {link.context.trace_id for link in called(spans, "order build.cancel").links} == {trace_id(frame)}
        begins = (FRAME, ORDER, Seen("command", "publish build.started"), Seen("gateway", "push build.started"))
        # All but the frame that asked for the end: what comes of it says that it follows from the order as well.
        await player.leads_to(frame, *begins, *ends[1:])


async def test_an_order_that_waits_for_its_site_leads_to_its_start_and_its_end(universe: Universe) -> None:
    async with universe.player() as player:
        await player.order("build.start", kind="dock", site=SITE)
        queued = await player.order("build.queue", kind="survey", site=SITE)
        spans = await player.leads_to(
            queued,
            Seen("gateway", "command build.queue"),
            Seen("command", "order build.queue"),
            Seen("command", "publish build.queued"),
            Seen("gateway", "push build.queued"),
            Seen("scheduler", "start queued build"),
            Seen("scheduler", "publish build.started"),
            Seen("gateway", "push build.started"),
            Seen("scheduler", "complete build"),
            Seen("scheduler", "publish build.completed"),
            Seen("gateway", "push build.completed"),
            Seen("scheduler", "publish stars.discovered"),
            Seen("gateway", "push stars.discovered"),
        )
    order = span_id(called(spans, "order build.queue"))
    for name in ("start queued build", "complete build"):
        assert {link.context.span_id for link in called(spans, name).links} == {order}


@pytest.mark.parametrize("command", ["build.list", "catalogue.list"])
async def test_a_command_that_changes_nothing_ends_with_its_answer(universe: Universe, command: str) -> None:
    async with universe.player() as player:
        frame = await player.order(command)
        await player.leads_to(frame, Seen("gateway", f"command {command}"), Seen("command", f"call {command}"))
        assert has(frame, "outcome", "ok")


async def test_a_refused_order_ends_with_its_refusal(universe: Universe) -> None:
    async with universe.player() as player:
        frame = await player.order("build.start", kind="nothing", site=SITE)
        spans = await player.leads_to(frame, FRAME, ORDER)
        assert all(has(each, "outcome", "unknown_kind") for each in spans)


async def test_a_name_that_no_command_has_is_not_kept(universe: Universe) -> None:
    async with universe.player() as player:
        frame = await player.order("what.ever")
        assert (frame.name, has(frame, "outcome", "unknown_command")) == ("command", True)
        assert "what.ever" not in frame.to_json()


async def test_an_announcement_leads_to_the_pushes_that_it_brings(universe: Universe) -> None:
    trace = f"{uuid4().hex}"
    async with universe.player() as player:
        body = json.dumps({"event": "dragons.arrived", "player": player.name}).encode()
        traceparent = f"00-{trace}-00000000000000aa-01"
        await universe.bus.request(subjects.ops("announce"), body, timeout_s=10, headers={"traceparent": traceparent})
        await player.frame("dragons.arrived")

        def asked() -> ReadableSpan | None:
            spans = (each for each in universe.spans if each.name == "call ops.announce")
            return next((each for each in spans if trace_id(each) == int(trace, 16)), None)

        announced = await eventually(asked)
        assert announced is not None
        spans = await player.leads_to(
            announced,
            Seen("command", "call ops.announce"),
            Seen("scheduler", "complete world event"),
            Seen("scheduler", "publish dragons.arrived"),
            Seen("gateway", "push dragons.arrived"),
        )
        assert {link.context.span_id for link in called(spans, "complete world event").links} == {span_id(announced)}


async def test_a_push_that_its_teller_did_not_live_to_tell_belongs_to_the_trace_all_the_same(
    universe: Universe,
) -> None:
    trace, row = uuid4().hex, str(uuid4())
    async with universe.player() as player:
        await universe.sql(
            "INSERT INTO outbox"
            " (message_id, source_kind, source_id, revision, player, payload, tell_at, created_at, trace)"
            " VALUES ($1, 'build', $2, 1, $3, $4, now() - interval '2s', now() - interval '2s', $5)",
            f"{row}.1",
            row,
            player.name,
            '{"event":"build.started","at":"2026-11-22T10:00:00.000Z","data":{}}',
            f"00-{trace}-00000000000000aa-01",
        )
        await player.frame("build.started")

        def told() -> bool:
            names = {each.name for each in universe.spans if trace_id(each) == int(trace, 16)}
            return names == {"publish build.started", "push build.started"}

        await eventually(told)
