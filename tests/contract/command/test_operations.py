"""What operators may ask for, how the service shows itself on the bus, and the guide's order over the bus."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from starwake.bus.connection import Bus
from starwake.bus.revocations import parse_revocation, read_revocations
from starwake.command.settings import CommandSettings
from starwake.contracts import subjects
from starwake.contracts.ids import Revision
from starwake.contracts.subjects import AlarmKey
from starwake.contracts.times import to_rfc3339
from starwake.contracts.world_events import parse_event_alarm
from starwake.runtime.service import Runtime
from tests.contract.command.conftest import running
from tests.contract.command.universe import CATALOGUE, Refused, Universe
from tests.support.eventually import eventually
from tests.unit.command.test_extension import KIND, printed

ANNOUNCE = subjects.ops("announce")
CANCEL = subjects.ops("announce.cancel")


async def announce(universe: Universe, **args: Any) -> dict[str, Any]:  # noqa: ANN401 - the arguments, as JSON
    return await universe.send(ANNOUNCE, json.dumps({"event": "dragons.inbound", **args}).encode())


def in_hours(hours: float) -> str:
    return to_rfc3339(datetime.now(UTC) + timedelta(hours=hours))


def key(event: dict[str, str]) -> AlarmKey:
    return AlarmKey("event", event["id"], Revision(1))


async def test_a_revocation_is_in_the_table_and_in_the_stream_and_the_later_one_stays(universe: Universe) -> None:
    first, second = in_hours(-2), in_hours(-1)

    async def revoke(at: str) -> str:
        answer = await universe.send(subjects.ops("revoke"), json.dumps({"player": universe.player, "at": at}).encode())
        return answer["revoked_at"]

    assert [await revoke(at) for at in (first, second, first)] == [first, second, second]
    (row,) = await universe.rows("SELECT revoked_at FROM revocation WHERE player = $1", universe.player)
    assert to_rfc3339(row["revoked_at"]) == second
    stored = await read_revocations(universe.bus, [universe.player])
    assert parse_revocation(stored[universe.player]) == row["revoked_at"]


@pytest.mark.parametrize("args", [{"player": ""}, {"player": "a\0"}, {"player": "ada", "at": "soon"}, {}])
async def test_a_revocation_of_nobody_is_refused(universe: Universe, args: dict[str, str]) -> None:
    with pytest.raises(Refused, match="bad_request"):
        await universe.send(subjects.ops("revoke"), json.dumps(args).encode())


async def test_an_announcement_is_rows_and_alarms(universe: Universe) -> None:
    announced = await announce(universe, at=in_hours(25), warn_s=[3600, 300], player=universe.player)
    assert [event["event"] for event in announced["events"]] == [
        "dragons.inbound",
        "dragons.inbound",
        "dragons.arrived",
    ]
    rows = await universe.rows("SELECT * FROM world_event WHERE series = $1 ORDER BY due_at", announced["event_id"])
    assert [(str(row["id"]), row["state"], row["revision"], row["player"]) for row in rows] == [
        (event["id"], "scheduled", 1, universe.player) for event in announced["events"]
    ]
    for event, row in zip(announced["events"], rows, strict=True):
        alarm = await eventually(lambda event=event: universe.alarm(subjects.timer_set(key(event))))
        assert alarm is not None
        record = parse_event_alarm(key(event), alarm.body)
        assert (record.event, record.due_at, record.player) == (row["event"], row["due_at"], universe.player)
        assert record.data == json.loads(row["data"])


async def test_what_is_announced_for_now_goes_straight_to_the_scheduler(universe: Universe) -> None:
    (event,) = (await announce(universe, event="comet.seen", payload={"name": "Halley"}))["events"]
    assert await eventually(lambda: universe.alarm(subjects.timer_due(key(event))))


async def test_an_announcement_with_an_id_is_made_once(universe: Universe) -> None:
    args = {"at": in_hours(1), "id": uuid4().hex}
    first = await announce(universe, **args)
    assert await announce(universe, **args) == first
    with pytest.raises(Refused) as caught:
        await announce(universe, **args, payload={"more": True})
    assert caught.value.code == "id_reused"


async def test_a_cancelled_announcement_is_never_told(universe: Universe) -> None:
    announced = await announce(universe, at=in_hours(25), warn_s=[3600])
    cancel = json.dumps({"event_id": announced["event_id"]}).encode()
    cancelled = await universe.send(CANCEL, cancel)
    assert sorted(cancelled["cancelled"]) == sorted(event["id"] for event in announced["events"])
    rows = await universe.rows("SELECT state, revision FROM world_event WHERE series = $1", announced["event_id"])
    assert {(row["state"], row["revision"]) for row in rows} == {("cancelled", 2)}
    assert await universe.send(CANCEL, cancel) == {"cancelled": [], "told": []}


async def test_one_push_of_an_announcement_can_be_cancelled(universe: Universe) -> None:
    warning, arrival = (await announce(universe, at=in_hours(25), warn_s=[3600]))["events"]
    cancelled = await universe.send(CANCEL, json.dumps({"event_id": warning["id"]}).encode())
    assert cancelled["cancelled"] == [warning["id"]]
    (row,) = await universe.rows("SELECT state FROM world_event WHERE id = $1", arrival["id"])
    assert row["state"] == "scheduled"


@pytest.mark.parametrize(
    ("subject", "body", "code"),
    [
        (ANNOUNCE, b"", "bad_json"),
        (ANNOUNCE, b"dragons!", "bad_json"),
        (ANNOUNCE, b"[]", "bad_request"),
        (ANNOUNCE, b"{}", "bad_request"),
        (ANNOUNCE, b'{"event": "DRAGONS"}', "bad_request"),
        (ANNOUNCE, b'{"event": "build.completed"}', "bad_request"),
        (ANNOUNCE, b'{"event": "a.b", "at": "soon"}', "bad_request"),
        (ANNOUNCE, b'{"event": "a.b", "payload": {"x": "\\u0000"}}', "bad_request"),
        (ANNOUNCE, b'{"event": "a.b", "payload": ' + b'{"a":' * 50_000, "bad_json"),
        (CANCEL, b'{"event_id": "x"}', "bad_request"),
        (CANCEL, b'{"event_id": "00000000-0000-7000-8000-000000000000"}', "not_found"),
    ],
)
async def test_operators_garbage_is_refused_too(universe: Universe, subject: str, body: bytes, code: str) -> None:
    with pytest.raises(Refused) as caught:
        await universe.send(subject, body)
    assert caught.value.code == code


async def test_the_service_can_be_found_on_the_bus(universe: Universe) -> None:
    ping = json.loads((await universe.bus.request("$SRV.PING.command", b"", timeout_s=5)).payload)
    assert (ping["type"], ping["name"]) == ("io.nats.micro.v1.ping_response", "command")
    info = json.loads((await universe.bus.request("$SRV.INFO.command", b"", timeout_s=5)).payload)
    endpoints = {endpoint["subject"]: endpoint["queue_group"] for endpoint in info["endpoints"]}
    assert endpoints.keys() >= {"cmd.*.build.start", "cmd.*.build.cancel", "cmd.*.build.list", "ops.announce"}
    assert set(endpoints.values()) == {"q"}


async def test_the_service_counts_what_it_answers(universe: Universe) -> None:
    async def stats() -> dict[str, int]:
        answer = json.loads((await universe.bus.request("$SRV.STATS.command", b"", timeout_s=5)).payload)
        (endpoint,) = [each for each in answer["endpoints"] if each["subject"] == "cmd.*.build.start"]
        return endpoint

    before = await stats()
    await universe.start()
    with pytest.raises(Refused):
        await universe.start()
    after = await stats()
    assert after["num_requests"] - before["num_requests"] == 2
    assert after["num_errors"] - before["num_errors"] == 1


async def test_the_guides_order_works_over_the_bus(
    settings: CommandSettings, universe: Universe, observer: Bus, tmp_path: Path, service: Runtime
) -> None:
    assert service.health.readiness().ready
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / f"{KIND}.py").write_text(printed("python"))
    kind = printed("toml").replace('requires = ["observatory"]', 'requires = ["dock"]')
    (tmp_path / "catalogue.toml").write_text(CATALOGUE + "\n" + kind)
    extended = settings.model_copy(update={"catalogue": tmp_path / "catalogue.toml", "orders": tmp_path / "orders"})
    async with running(extended):
        assert observer.connected
        launch: dict[str, Any] = {"site": "luna-9", "star": "Vega"}
        with pytest.raises(Refused, match="needs a dock first"):
            await universe.order(f"{KIND}.launch", **launch)
        await universe.rows(
            "INSERT INTO build (id, player, kind, site, state, revision, started_at, due_at, completed_at)"
            " VALUES (gen_random_uuid(), $1, 'dock', 'x', 'completed', 2, now() - interval '1h', now(), now())",
            universe.player,
        )
        build = (await universe.order(f"{KIND}.launch", **launch))["build"]
        assert (build["kind"], build["site"]) == (KIND, "luna-9")
        (row,) = await universe.rows("SELECT follow_ups FROM build WHERE id = $1", build["id"])
        assert json.loads(row["follow_ups"]) == [
            {"event": f"{KIND}.arrived", "data": {"star": "Vega", "site": "luna-9"}}
        ]
