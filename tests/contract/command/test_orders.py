"""What each order answers, stores, arms and tells."""

import json
from datetime import timedelta
from typing import Any

import pytest

from starwake.contracts import subjects
from starwake.contracts.alarms import parse_build_alarm
from starwake.contracts.commands import REFUSALS_HEADER
from starwake.contracts.ids import Revision
from starwake.contracts.subjects import AlarmKey
from starwake.contracts.times import from_rfc3339, to_rfc3339
from tests.contract.command.universe import Refused, Universe
from tests.support.eventually import eventually

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def key(build: dict[str, object], revision: int = 1) -> AlarmKey:
    return AlarmKey("build", str(build["id"]), Revision(revision))


async def refusal(universe: Universe, command: str, **args: Any) -> str:  # noqa: ANN401 - the arguments, as JSON
    with pytest.raises(Refused) as caught:
        await universe.order(command, **args)
    return caught.value.code


async def test_a_started_build_is_answered_as_the_row_is(universe: Universe) -> None:
    build = await universe.start()
    (row,) = await universe.builds()
    assert build == {
        "id": str(row["id"]),
        "kind": "dock",
        "site": "luna-1",
        "state": "building",
        "revision": 1,
        "started_at": to_rfc3339(row["started_at"]),
        "due_at": to_rfc3339(row["due_at"]),
        "completed_at": None,
        "cancelled_at": None,
    }
    assert row["due_at"] - row["started_at"] == timedelta(minutes=15)
    assert row["due_at"].microsecond % 1000 == 0


async def test_a_started_builds_alarm_is_set_ahead_of_its_time_and_carries_the_row(universe: Universe) -> None:
    build = await universe.start()
    alarm = await eventually(lambda: universe.alarm(subjects.timer_set(key(build))))
    assert alarm is not None
    ahead = from_rfc3339(build["due_at"]) - timedelta(milliseconds=500)
    assert alarm.headers["Nats-Schedule"] == f"@at {to_rfc3339(ahead)}"
    assert alarm.headers["Nats-Schedule-Target"] == subjects.timer_due(key(build))
    record = parse_build_alarm(key(build), alarm.body)
    assert (record.player, record.site, to_rfc3339(record.due_at)) == (universe.player, "luna-1", build["due_at"])


async def test_an_alarm_that_is_near_goes_straight_to_the_scheduler(universe: Universe) -> None:
    build = await universe.start(kind="spark")
    assert await eventually(lambda: universe.alarm(subjects.timer_due(key(build))))
    assert await universe.alarm(subjects.timer_set(key(build))) is None


async def test_a_started_build_is_told_to_its_player_and_the_outbox_is_empty_then(universe: Universe) -> None:
    build = await universe.start()
    (push,) = await eventually(universe.pushes)
    assert json.loads(push.body) == {"event": "build.started", "at": build["started_at"], "data": {"build": build}}
    assert push.message_id.startswith(f"{build['id']}.1~")

    async def told() -> bool:
        return await universe.rows("SELECT 1 FROM outbox WHERE source_id = $1", build["id"]) == []

    await eventually(told)


async def test_the_trace_of_an_order_is_kept_in_its_row_and_alarm(universe: Universe) -> None:
    build = await universe.start(headers={"traceparent": TRACE})
    (row,) = await universe.builds()
    assert row["trace"] == TRACE
    alarm = await eventually(lambda: universe.alarm(subjects.timer_set(key(build))))
    assert alarm is not None
    assert parse_build_alarm(key(build), alarm.body).trace == TRACE


async def test_a_survey_knows_its_stars_from_the_start(universe: Universe) -> None:
    await universe.start(kind="survey")
    (row,) = await universe.builds()
    (follow_up,) = json.loads(row["follow_ups"])
    assert follow_up["event"] == "stars.discovered"
    assert follow_up["data"]["stars"][0]["name"]


async def test_the_same_id_again_gives_the_same_outcome_and_changes_nothing(universe: Universe) -> None:
    first = await universe.start(command_id="one")
    assert await universe.start(command_id="one") == first
    cancelled = await universe.order("build.cancel", command_id="two", build_id=first["id"])
    assert await universe.order("build.cancel", command_id="two", build_id=first["id"]) == cancelled
    assert await universe.start(command_id="one") == first, "as it was, although it is cancelled by now"
    assert len(await universe.builds()) == 1
    await eventually(lambda: _are(universe, ["build.started", "build.cancelled"]))


async def _are(universe: Universe, events: list[str]) -> bool:
    assert await universe.events() == events
    return True


async def test_an_id_belongs_to_one_command_and_its_arguments(universe: Universe) -> None:
    build = await universe.start(command_id="one")
    assert await refusal(universe, "build.start", command_id="one", kind="dock", site="luna-2") == "id_reused"
    assert await refusal(universe, "build.cancel", command_id="one", build_id=build["id"]) == "id_reused"
    assert await refusal(universe, "build.queue", command_id="one", kind="dock", site="luna-1") == "id_reused"


async def test_an_id_belongs_to_one_player(universe: Universe) -> None:
    await universe.start(command_id="one")
    other = await universe.start(command_id="one", player=universe.player + "-2", site="mars")
    assert other["site"] == "mars"


async def test_a_refused_order_may_be_tried_again_with_its_id(universe: Universe) -> None:
    build = await universe.start()
    assert await refusal(universe, "build.start", command_id="again", kind="dock", site="luna-1") == "site_busy"
    await universe.order("build.cancel", build_id=build["id"])
    assert (await universe.start(command_id="again"))["state"] == "building"


async def test_an_attempt_that_comes_late_is_not_carried_out_once_its_order_was_refused(universe: Universe) -> None:
    """It lay in a process that was frozen, say, while its gateway gave up and its player tried again."""
    build = await universe.start()
    frame = json.dumps({"id": "late", "command": "build.start", "args": {"kind": "dock", "site": "luna-1"}}).encode()
    subject = subjects.command(universe.player, "build.start")
    assert await refusal(universe, "build.start", command_id="late", kind="dock", site="luna-1") == "site_busy"
    await universe.order("build.cancel", build_id=build["id"])
    late = await universe.bus.request(subject, frame, timeout_s=10)
    assert (json.loads(late.payload)["error"]["code"], late.headers[REFUSALS_HEADER]) == ("unavailable", "1")
    assert len(await universe.builds()) == 1

    await universe.start(command_id="other")
    assert await refusal(universe, "build.start", command_id="late", kind="dock", site="luna-1") == "site_busy"
    later = await universe.bus.request(subject, frame, timeout_s=10, headers={REFUSALS_HEADER: "1"})
    assert later.headers[REFUSALS_HEADER] == "2", "knowing of one refusal is not knowing of all"


@pytest.mark.parametrize("count", ["-1", "x", "", "99999999999999999999", "1"])
async def test_whoever_claims_to_know_of_refusals_that_never_were_is_asked_back(universe: Universe, count: str) -> None:
    with_count = {REFUSALS_HEADER: count}
    frame = json.dumps({"id": "a", "command": "build.start", "args": {"kind": "dock", "site": "luna-1"}}).encode()
    answer = await universe.bus.request(
        subjects.command(universe.player, "build.start"), frame, timeout_s=10, headers=with_count
    )
    assert answer.headers.get(REFUSALS_HEADER) == ("0" if count == "1" else None)
    assert len(await universe.builds()) == (0 if count == "1" else 1)


async def test_refusals_have_their_codes_and_change_nothing(universe: Universe) -> None:
    assert await refusal(universe, "build.start", kind="palace", site="a") == "unknown_kind"
    assert await refusal(universe, "build.start", kind="mine", site="a") == "forbidden"
    assert await refusal(universe, "build.cancel", build_id="00000000-0000-7000-8000-000000000000") == "not_found"
    assert await universe.builds() == []
    assert await universe.pushes() == []


async def test_an_error_is_told_in_the_micro_services_headers_too(universe: Universe) -> None:
    with pytest.raises(Refused) as caught:
        await universe.start(kind="palace")
    assert caught.value.headers["Nats-Service-Error-Code"] == "unknown_kind"
    assert "palace" in caught.value.headers["Nats-Service-Error"]


async def test_what_requires_something_can_be_built_once_that_stands(universe: Universe) -> None:
    build = await universe.start()
    assert await refusal(universe, "build.start", kind="mine", site="a") == "forbidden"
    await universe.rows(
        "UPDATE build SET state = 'completed', revision = 2, started_at = now() - interval '1 hour',"
        " due_at = now() - interval '1 minute', completed_at = now() - interval '1 minute' WHERE id = $1",
        build["id"],
    )
    assert (await universe.start(kind="mine", site="a"))["kind"] == "mine"


async def test_a_cancelled_build_ends_its_alarm_and_frees_its_site(universe: Universe) -> None:
    build = await universe.start()
    await eventually(lambda: universe.alarm(subjects.timer_set(key(build))))
    cancelled = (await universe.order("build.cancel", build_id=build["id"]))["build"]
    assert (cancelled["state"], cancelled["revision"]) == ("cancelled", 2)

    async def disarmed() -> bool:
        alarm = await universe.alarm(subjects.timer_set(key(build)))
        return alarm is None or alarm.body == b""

    await eventually(disarmed)
    await eventually(lambda: _are(universe, ["build.started", "build.cancelled"]))
    assert await refusal(universe, "build.cancel", build_id=build["id"]) == "not_building"
    await universe.start()


async def test_nobody_changes_another_players_build(universe: Universe) -> None:
    build = await universe.start()
    thief = universe.player + "-thief"
    for command, args in (("build.cancel", {}), ("build.reschedule", {"factor": 0.5}), ("build.unqueue", {})):
        assert await refusal(universe, command, player=thief, build_id=build["id"], **args) == "not_found"
    assert await universe.order("build.list", player=thief) == {"builds": [], "next": None}


async def test_a_rescheduled_build_gets_a_new_alarm_in_the_old_ones_place(universe: Universe) -> None:
    build = await universe.start()
    moved = (await universe.order("build.reschedule", build_id=build["id"], factor=2))["build"]
    assert moved["revision"] == 2
    assert from_rfc3339(moved["due_at"]) > from_rfc3339(build["due_at"])
    alarm = await eventually(lambda: universe.alarm(subjects.timer_set(key(build, 2))))
    assert alarm is not None
    assert to_rfc3339(parse_build_alarm(key(build, 2), alarm.body).due_at) == moved["due_at"]

    async def old_is_gone() -> bool:
        old = await universe.alarm(subjects.timer_set(key(build)))
        return old is None or old.body == b""

    await eventually(old_is_gone)
    await eventually(lambda: _are(universe, ["build.started", "build.rescheduled"]))
    now = (await universe.order("build.reschedule", build_id=build["id"], due_at="2020-01-01T00:00:00Z"))["build"]
    assert now["revision"] == 3
    assert await eventually(lambda: universe.alarm(subjects.timer_due(key(build, 3))))


async def test_a_build_that_was_completed_ahead_of_its_time_cannot_be_changed_any_more(universe: Universe) -> None:
    build = await universe.start()
    await universe.rows(
        "UPDATE build SET state = 'completed', revision = 2, completed_at = due_at WHERE id = $1", build["id"]
    )
    assert await refusal(universe, "build.cancel", build_id=build["id"]) == "not_building"
    assert await refusal(universe, "build.reschedule", build_id=build["id"], factor=0.5) == "not_building"
    assert await refusal(universe, "build.start", kind="dock", site="luna-1") == "site_busy"
    (listed,) = (await universe.order("build.list"))["builds"]
    assert listed == build


async def test_orders_wait_for_their_site_and_can_be_withdrawn(universe: Universe) -> None:
    build = await universe.start()
    first = (await universe.order("build.queue", kind="dock", site="luna-1"))["queued"]
    second = (await universe.order("build.queue", kind="spark", site="luna-1"))["queued"]
    assert (first["kind"], first["site"], first["duration_s"]) == ("dock", "luna-1", 900.0)
    assert await refusal(universe, "build.queue", kind="dock", site="luna-1") == "limit_reached"
    assert (await universe.order("build.queued"))["queued"] == [first, second]
    withdrawn = (await universe.order("build.unqueue", build_id=first["id"]))["queued"]
    assert withdrawn == first
    assert await refusal(universe, "build.unqueue", build_id=first["id"]) == "not_found"
    await universe.order("build.cancel", build_id=build["id"])
    builds = {str(row["id"]): row["state"] for row in await universe.builds()}
    assert builds == {build["id"]: "cancelled", second["id"]: "building"}
    assert (await universe.order("build.queued"))["queued"] == []
    assert await universe.rows("SELECT 1 FROM queued_order WHERE player = $1", universe.player) == []
    events = ["build.started", "build.queued", "build.queued", "build.unqueued", "build.cancelled", "build.started"]
    await eventually(lambda: _are(universe, events))


async def test_what_another_copy_has_yet_to_tell_of_an_order_is_told_first(universe: Universe) -> None:
    build = await universe.start()
    waiting = [(await universe.order("build.queue", kind="dock", site="luna-1"))["queued"]["id"] for _ in range(2)]
    told = ["build.started", "build.queued", "build.queued"]
    await eventually(lambda: _are(universe, told))
    # As if another copy had taken these orders and been killed: something older stands in the outbox.
    for order in waiting:
        await universe.rows(
            "INSERT INTO outbox (message_id, source_kind, source_id, revision, player, payload, tell_at)"
            " VALUES ($1, 'build', $2, 0, $3, $4, now())",
            f"{order}.0.0",
            order,
            universe.player,
            '{"event":"test.older","at":"2026-11-22T10:00:00.000Z","data":{}}',
        )
    await universe.order("build.unqueue", build_id=waiting[0])
    await eventually(lambda: _are(universe, [*told, "test.older", "build.unqueued"]))
    await universe.order("build.cancel", build_id=build["id"])
    own = ["test.older", "build.unqueued", "build.cancelled", "test.older", "build.started"]
    await eventually(lambda: _are_in_any_order(universe, [*told, *own]))
    backwards = (await universe.events())[::-1]
    assert backwards.index("build.started") < backwards.index("test.older")


async def _are_in_any_order(universe: Universe, events: list[str]) -> bool:
    return sorted(await universe.events()) == sorted(events)


async def test_an_order_for_a_free_site_does_not_wait(universe: Universe) -> None:
    assert (await universe.order("build.queue", kind="dock", site="luna-1"))["build"]["state"] == "building"


async def test_builds_are_listed_newest_first_by_state_and_in_pages(universe: Universe) -> None:
    builds = [await universe.start(f"site-{number}") for number in range(4)]
    cancelled = (await universe.order("build.cancel", build_id=builds[1]["id"]))["build"]
    newest_first = [builds[3], builds[2], cancelled, builds[0]]
    assert await universe.order("build.list") == {"builds": newest_first, "next": None}
    assert (await universe.order("build.list", state="cancelled"))["builds"] == [cancelled]
    assert (await universe.order("build.list", state="completed"))["builds"] == []
    page = await universe.order("build.list", state="building", limit=2)
    assert page == {"builds": [builds[3], builds[2]], "next": builds[2]["id"]}
    rest = await universe.order("build.list", state="building", limit=2, after=page["next"])
    assert rest == {"builds": [builds[0]], "next": None}


async def test_the_catalogue_and_the_commands_are_told(universe: Universe) -> None:
    catalogue = await universe.order("catalogue.list")
    assert catalogue["kinds"][0]["kind"] == "dock"
    assert catalogue["kinds"][0]["duration_s"] == 900.0
    assert catalogue["limits"]["builds_at_once"] == 5
    commands = (await universe.send(subjects.command(universe.player, "commands"), b""))["commands"]
    assert {"build.start", "build.cancel", "build.reschedule", "build.list", "catalogue.list"} <= set(commands)


async def test_a_page_of_builds_with_long_names_ends_before_a_message_would_be_too_large(universe: Universe) -> None:
    await universe.rows(
        "INSERT INTO build (id, player, kind, site, state, revision, started_at, due_at, cancelled_at)"
        " SELECT gen_random_uuid(), $1, 'dock', repeat('星', 250) || n, 'cancelled', 2, now(), now(), now()"
        " FROM generate_series(1, 300) n",
        universe.player,
    )
    page = await universe.order("build.list", limit=500)
    assert 0 < len(page["builds"]) < 300
    rest = await universe.order("build.list", limit=500, after=page["next"])
    assert rest["next"] is None
    assert len({build["id"] for build in (*page["builds"], *rest["builds"])}) == 300


async def test_a_page_of_waiting_orders_ends_before_a_message_would_be_too_large(universe: Universe) -> None:
    await universe.rows(
        "INSERT INTO queued_order (id, player, kind, site, duration_ms)"
        " SELECT gen_random_uuid(), $1, 'dock', repeat('星', 250) || n, 1000 FROM generate_series(1, 1000) n",
        universe.player,
    )
    found: list[str] = []
    pages = 0
    after = 0
    while True:
        page = await universe.order("build.queued", after=after)
        found += [order["site"].lstrip("星") for order in page["queued"]]
        pages += 1
        if page["next"] is None:
            break
        after = page["next"]
    assert found == [str(number) for number in range(1, 1001)]
    assert pages > 1


async def test_waiting_orders_are_listed_in_pages_of_any_size(universe: Universe) -> None:
    await universe.start("io")
    waiting = [(await universe.order("build.queue", kind="dock", site="io"))["queued"] for _ in range(2)]
    page = await universe.order("build.queued", limit=1)
    assert page["queued"] == waiting[:1]
    assert await universe.order("build.queued", limit=1, after=page["next"]) == {"queued": waiting[1:], "next": None}
    assert await universe.order("build.queued") == {"queued": waiting, "next": None}
