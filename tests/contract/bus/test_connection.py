import asyncio
import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client import REGISTRY

from starwake.bus.connection import Bus, BusOptions, Message
from starwake.bus.errors import BusTimeout, BusUnavailable, NoResponders, PayloadTooLarge
from starwake.cli.embedded.nats import USER
from tests.support.eventually import eventually
from tests.support.nats import LocalNats, NatsAddress
from tests.support.players import unique_player


async def echo(bus: Bus) -> str:
    """A subject that answers with what it is asked."""
    subject = f"test.echo.{unique_player()}"
    await bus.subscribe(subject, lambda message: bus.publish(message.reply, message.payload))
    return subject


async def publish_megabytes(bus: Bus, count: int) -> None:
    for _ in range(2 * count):
        bus.publish("test.stopped", b"x" * 500_000)
        await asyncio.sleep(0)


async def test_an_answer_finds_its_request_among_many(bus: Bus) -> None:
    subject = await echo(bus)
    answers = await asyncio.gather(*[bus.request(subject, b"%d" % n, timeout_s=5) for n in range(500)])
    assert [answer.payload for answer in answers] == [b"%d" % n for n in range(500)]


async def test_headers_arrive_as_they_were_sent(bus: Bus) -> None:
    subject = f"test.{unique_player()}"
    heard: list[Message] = []
    await bus.subscribe(subject, heard.append)
    bus.publish(subject, b"body", headers={"traceparent": "00-ab", "Other": "ü"})
    await bus.flush()
    assert heard[0].headers["Traceparent"] == "00-ab"
    assert heard[0].headers["other"] == "ü"
    assert heard[0].payload == b"body"


async def test_nobody_listening_is_known_at_once(bus: Bus) -> None:
    begun = time.monotonic()
    with pytest.raises(NoResponders):
        await bus.request(f"test.{unique_player()}", b"", timeout_s=30)
    assert time.monotonic() - begun < 5


async def test_a_request_without_answer_ends_with_its_timeout(bus: Bus) -> None:
    subject = f"test.{unique_player()}"
    await bus.subscribe(subject, lambda _: None)
    with pytest.raises(BusTimeout):
        await bus.request(subject, b"", timeout_s=0.05)


async def test_a_late_answer_reaches_nobody(bus: Bus) -> None:
    subject = f"test.{unique_player()}"
    asked: list[Message] = []
    await bus.subscribe(subject, asked.append)
    with pytest.raises(BusTimeout):
        await bus.request(subject, b"1", timeout_s=0.05)
    second = bus.ask(subject, b"2", timeout_s=5)
    await eventually(lambda: len(asked) == 2)
    bus.publish(asked[0].reply, b"late")
    bus.publish(asked[1].reply, b"in time")
    assert (await second).payload == b"in time"


async def test_a_cancelled_request_leaves_nothing_behind(bus: Bus) -> None:
    subject = f"test.{unique_player()}"
    asked: list[Message] = []
    await bus.subscribe(subject, asked.append)
    request = asyncio.create_task(bus.request(subject, b"", timeout_s=0.2))
    await eventually(lambda: asked)
    request.cancel()
    await asyncio.wait([request])
    bus.publish(asked[0].reply, b"too late")
    await bus.flush()
    assert request.cancelled()


async def test_a_handler_that_raises_does_not_end_the_connection(bus: Bus) -> None:
    subject = f"test.{unique_player()}"
    heard: list[bytes] = []

    def handler(message: Message) -> None:
        heard.append(message.payload)
        raise RuntimeError("on purpose")

    await bus.subscribe(subject, handler)
    before = REGISTRY.get_sample_value("starwake_bus_errors_total", {"kind": "handler"}) or 0
    bus.publish(subject, b"1")
    bus.publish(subject, b"2")
    await bus.flush()
    assert heard == [b"1", b"2"]
    assert REGISTRY.get_sample_value("starwake_bus_errors_total", {"kind": "handler"}) == before + 2


async def test_nothing_is_delivered_after_unsubscribing(bus: Bus) -> None:
    subject = f"test.{unique_player()}"
    heard: list[bytes] = []
    subscription = await bus.subscribe(subject, lambda message: heard.append(message.payload))
    bus.publish(subject, b"1")
    await bus.flush()
    subscription.unsubscribe()
    subscription.unsubscribe()
    bus.publish(subject, b"2")
    await bus.flush()
    assert heard == [b"1"]


async def test_a_queue_group_has_each_message_once(bus: Bus) -> None:
    subject = f"test.{unique_player()}"
    heard: list[bytes] = []
    for _ in range(3):
        await bus.subscribe(subject, lambda message: heard.append(message.payload), queue="q")
    for n in range(50):
        bus.publish(subject, b"%d" % n)
    await bus.flush()
    assert sorted(heard) == sorted(b"%d" % n for n in range(50))


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB x 0", "a\tb", "a\0b"])
async def test_what_is_no_subject_is_refused(bus: Bus, subject: str) -> None:
    with pytest.raises(ValueError, match="not a subject"):
        bus.publish(subject, b"")
    with pytest.raises(ValueError, match="not a subject"):
        await bus.subscribe(subject, lambda _: None)


async def test_a_payload_that_would_end_the_connection_is_refused(bus: Bus) -> None:
    with pytest.raises(PayloadTooLarge):
        bus.publish("test.big", b"x" * (bus.max_payload + 1))
    with pytest.raises(PayloadTooLarge):
        await bus.request("test.big", b"x" * (bus.max_payload + 1), timeout_s=1)
    await bus.flush()


async def test_what_waits_for_the_socket_is_bounded(fresh_nats: LocalNats) -> None:
    options = BusOptions(url=fresh_nats.url, max_waiting_bytes=1_000_000)
    bus = await Bus.connect(options)
    os.kill(fresh_nats.pid, signal.SIGSTOP)
    try:
        with pytest.raises(BusUnavailable, match="wait for the NATS server"):
            await publish_megabytes(bus, 100)
    finally:
        os.kill(fresh_nats.pid, signal.SIGCONT)
    await bus.flush(30)
    await bus.close()


async def test_a_server_that_stands_still_is_given_up_and_found_again(fresh_nats: LocalNats) -> None:
    """Not gone, just silent: no reset ever comes, and what waits for the socket can never be flushed."""
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, ping_interval_s=0.2, connect_timeout_s=0.5))
    changes: list[bool] = []
    bus.on_connection_change(changes.append)
    os.kill(fresh_nats.pid, signal.SIGSTOP)
    try:
        for _ in range(20):
            bus.publish("test.stopped", b"x" * 500_000)
        await eventually(lambda: changes == [False], within_s=5)
        assert not bus.connected
    finally:
        os.kill(fresh_nats.pid, signal.SIGCONT)
    await eventually(lambda: changes == [False, True], within_s=10)
    await bus.flush()
    await bus.close()


async def test_requests_in_flight_fail_at_once_when_the_server_dies(fresh_nats: LocalNats, own_bus: Bus) -> None:
    await own_bus.subscribe("test.silent", lambda _: None)
    requests = [own_bus.ask("test.silent", b"", timeout_s=60) for _ in range(50)]
    await own_bus.flush()
    begun = time.monotonic()
    await fresh_nats.kill()
    ends = await asyncio.gather(*requests, return_exceptions=True)
    assert time.monotonic() - begun < 5
    assert all(type(end) is BusUnavailable for end in ends)


async def test_while_disconnected_everything_is_refused_and_nothing_runs_later(
    fresh_nats: LocalNats, own_bus: Bus
) -> None:
    heard: list[bytes] = []
    await own_bus.subscribe("test.later", lambda message: heard.append(message.payload))
    await own_bus.flush()
    await fresh_nats.kill()
    await eventually(lambda: not own_bus.connected)
    with pytest.raises(BusUnavailable):
        own_bus.publish("test.later", b"while away")
    with pytest.raises(BusUnavailable):
        await own_bus.request("test.later", b"while away", timeout_s=1)
    with pytest.raises(BusUnavailable):
        await own_bus.flush()
    await fresh_nats.start()
    await eventually(lambda: own_bus.connected)
    own_bus.publish("test.later", b"back")
    await eventually(lambda: heard)
    assert heard == [b"back"]


async def test_subscriptions_and_listeners_survive_a_restart(fresh_nats: LocalNats, own_bus: Bus) -> None:
    subject = await echo(own_bus)
    changes: list[bool] = []
    own_bus.on_connection_change(changes.append)
    for round_ in range(1, 3):
        await fresh_nats.kill()
        await eventually(lambda: not own_bus.connected)
        while_away = await echo(own_bus)
        await fresh_nats.start()
        await eventually(lambda n=round_: changes == [False, True] * n)
        assert (await own_bus.request(subject, b"x", timeout_s=5)).payload == b"x"
        assert (await own_bus.request(while_away, b"y", timeout_s=5)).payload == b"y"


async def test_requests_go_on_through_kills_of_the_server(fresh_nats: LocalNats, own_bus: Bus) -> None:
    """Some fail, each at once and with a reason; none hangs, none gets another one's answer."""
    subject = await echo(own_bus)
    served = failed = 0
    stopping = False

    async def ask(worker: int) -> None:
        nonlocal served, failed
        number = 0
        while not stopping:
            number += 1
            body = b"%d.%d" % (worker, number)
            try:
                async with asyncio.timeout(10):
                    assert (await own_bus.request(subject, body, timeout_s=30)).payload == body
                served += 1
            except BusUnavailable:
                failed += 1
                await asyncio.sleep(0.01)

    workers = [asyncio.create_task(ask(worker)) for worker in range(8)]
    for _ in range(3):
        before = served
        await eventually(lambda n=before: served > n + 200)
        await fresh_nats.kill()
        await eventually(lambda: not own_bus.connected)
        await fresh_nats.start()
        await eventually(lambda: own_bus.connected)
    stopping = True
    await asyncio.gather(*workers)
    assert failed


async def test_no_server_is_reported_with_the_reason_and_without_the_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"nats://someone:hush@127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BusUnavailable, match=r"within 0\.3 s: .*(refused|failed)") as failure:
            await Bus.connect(BusOptions(url=url), timeout_s=0.3)
    assert "hush" not in str(failure.value)


async def test_wrong_credentials_are_reported(fresh_nats: LocalNats) -> None:
    host = fresh_nats.url.rpartition("@")[2].removeprefix("nats://")
    with pytest.raises(BusUnavailable, match=r"(?i)authorization"):
        await Bus.connect(BusOptions(url=f"nats://nobody:wrong@{host}"), timeout_s=0.5)


async def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not a nats:// or tls:// URL"):
        await Bus.connect(BusOptions(url="http://127.0.0.1:4222"))


async def test_closing_while_the_server_is_away_ends_the_attempts_to_reconnect(
    fresh_nats: LocalNats, own_bus: Bus
) -> None:
    await fresh_nats.kill()
    await eventually(lambda: not own_bus.connected)
    before = asyncio.all_tasks()
    await own_bus.close()
    await fresh_nats.start()
    await eventually(lambda: not [task for task in before if "nats" in repr(task.get_coro()) and not task.done()])
    assert not own_bus.connected


async def test_closing_lets_out_what_was_published(nats_server: NatsAddress, bus: Bus) -> None:
    subject = f"test.{unique_player()}"
    heard: list[bytes] = []
    await bus.subscribe(subject, lambda message: heard.append(message.payload))
    await bus.flush()
    other = await Bus.connect(BusOptions(url=nats_server.url))
    for n in range(1000):
        other.publish(subject, b"%d" % n)
    await other.close()
    await other.close()
    await eventually(lambda: len(heard) == 1000)
    with pytest.raises(BusUnavailable):
        other.publish(subject, b"")


async def test_a_password_in_the_url_is_percent_decoded(tmp_path: Path) -> None:
    nats = LocalNats(tmp_path)
    password = "p@ss/w:rd#1"  # noqa: S105 - what an address cannot hold as it is
    nats._server = replace(nats._server, password=password)  # pyright: ignore[reportPrivateUsage]
    await nats.start()
    try:
        host = nats.url.rpartition("@")[2]
        bus = await Bus.connect(BusOptions(url=f"nats://{USER}:{quote(password, safe='')}@{host}"), timeout_s=5)
        assert bus.connected
        await bus.close()
    finally:
        await nats.stop()
