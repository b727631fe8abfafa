"""The oracle can fail: a history in which all is well passes, and each way to break a promise is found."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from starwake.contracts.times import to_rfc3339
from tests.chaos.history import Answer, EventRow, Heard, History, Order, Remembered, Row, Session, Stored
from tests.chaos.oracle import Clause, judge
from tests.chaos.story import report, tell

T = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
DONE, TAKEN_BACK, NEXT = (f"00000000-0000-7000-8000-00000000000{number}" for number in (1, 2, 3))
ANNOUNCED = "00000000-0000-7000-8000-00000000000e"


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def row(  # noqa: PLR0913, PLR0917 - a row has as many columns
    build: str,
    site: str,
    started: float,
    due: float,
    state: str,
    revision: int,
    **more: Any,  # noqa: ANN401 - as above
) -> Row:
    return Row(
        id=build,
        player="ada",
        kind="dock",
        site=site,
        state=state,
        revision=revision,
        started_at=at(started),
        due_at=at(due),
        **more,
    )


def view(row: Row, revision: int, state: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "site": row.site,
        "state": state,
        "revision": revision,
        "started_at": to_rfc3339(row.started_at),
        "due_at": to_rfc3339(row.due_at),
        "completed_at": None if row.completed_at is None else to_rfc3339(row.completed_at),
        "cancelled_at": None if row.cancelled_at is None else to_rfc3339(row.cancelled_at),
    }


def told(seq: int, row: Row, revision: int, event: str, when: float) -> Stored:
    data = {"build": view(row, revision, event.removeprefix("build."))}
    return Stored(
        player="ada",
        seq=seq,
        message_id=f"{row.id}.{revision}",
        event=event,
        at=to_rfc3339(at(when)),
        data=data,
        stored_at=at(when),
    )


def ordered(command: str, row: Row, revision: int, when: float, **args: str) -> tuple[Order, Remembered]:
    body = {"result": {"build": view(row, revision, "building")}}
    order = Order(
        player="ada",
        id=f"{command}-{row.id}",
        command=command,
        args=args,
        sent=[at(when)],
        answers=[Answer(body, at(when + 0.01))],
    )
    return order, Remembered(player="ada", command_id=order.id, command=command, outcome=body)


def heard(push: Stored, prev: int, when: float | None = None) -> Heard:
    return Heard(
        feed="all" if push.player is None else "player",
        seq=push.seq,
        prev=prev,
        event=push.event,
        at=push.at,
        data=push.data,
        received_at=push.stored_at if when is None else at(when),
    )


def good() -> History:
    """A build that was completed, the one behind it that was cancelled, one that took no time, an announcement."""
    done = row(DONE, "luna-1", 0, 10, "completed", 2, completed_at=at(10), follow_ups=1)
    cancelled = row(TAKEN_BACK, "luna-1", 10, 99, "cancelled", 3, cancelled_at=at(20))
    after = row(NEXT, "luna-1", 20, 20, "completed", 2, completed_at=at(20))
    stored = [
        told(5, done, 1, "build.started", 0),
        told(7, done, 2, "build.completed", 10),
        replace(told(8, done, 2, "stars.discovered", 10), message_id=f"{DONE}.2.1", data={"build_id": DONE}),
        told(9, cancelled, 1, "build.started", 10.2),
        told(12, cancelled, 2, "build.rescheduled", 12),
        told(15, cancelled, 3, "build.cancelled", 20),
        told(16, after, 1, "build.started", 20),
        told(17, after, 2, "build.completed", 20.1),
    ]
    everybody = Stored(
        player=None,
        seq=10,
        message_id=f"{ANNOUNCED}.2",
        event="stars.discovered",
        at=to_rfc3339(at(11)),
        data={"number": 1},
        stored_at=at(11),
    )
    own = [heard(push, prev) for push, prev in zip(stored, [0, *(push.seq for push in stored)], strict=False)]
    first = Session(
        client="one",
        player="ada",
        gateway="gateway-1",
        opened_at=at(-1),
        epoch="e",
        resumed=None,
        resumed_epoch=None,
        recovered=None,
        stands=(0, 0),
        heard=own[:3],
    )
    second = replace(
        first,
        gateway="gateway-2",
        opened_at=at(11),
        resumed=(8, 0),
        resumed_epoch="e",
        recovered=True,
        stands=(9, 10),
        heard=[own[3], heard(everybody, 0), *own[4:]],
    )
    entries = [
        ordered("build.start", done, 1, 0, kind="dock", site="luna-1"),
        ordered("build.queue", cancelled, 1, 1, kind="dock", site="luna-1"),
        ordered("build.reschedule", cancelled, 2, 12, build_id=TAKEN_BACK),
        ordered("build.cancel", cancelled, 3, 20, build_id=TAKEN_BACK),
        ordered("build.queue", after, 1, 2, kind="dock", site="luna-1"),
    ]
    return History(
        epoch="e",
        rows=[done, cancelled, after],
        events=[EventRow(id=ANNOUNCED, player=None, state="told", revision=2, due_at=at(11))],
        inbox=[entry for _, entry in entries],
        stored=[*stored, everybody],
        sessions=[first, second],
        orders=[order for order, _ in entries],
    )


def test_where_all_is_well_it_finds_nothing() -> None:
    assert judge(good()) == []


Break = Callable[[History], object]


def change_row(place: int, **changes: Any) -> Break:  # noqa: ANN401 - any column
    def apply(history: History) -> None:
        history.rows[place] = replace(history.rows[place], **changes)

    return apply


def change_stored(place: int, **changes: Any) -> Break:  # noqa: ANN401 - any column
    def apply(history: History) -> None:
        history.stored[place] = replace(history.stored[place], **changes)

    return apply


def change_heard(session: int, place: int, **changes: Any) -> Break:  # noqa: ANN401 - any column
    def apply(history: History) -> None:
        pushes = history.sessions[session].heard
        pushes[place] = replace(pushes[place], **changes)

    return apply


def told_twice(history: History) -> None:
    history.stored.append(replace(history.stored[1], seq=20))


def completed_and_cancelled(history: History) -> None:
    history.stored.append(told(20, history.rows[0], 3, "build.cancelled", 21))


def heard_after_all(history: History) -> None:
    """The completion of what was cancelled reaches a client, although table and stream know nothing of it."""
    push = told(18, history.rows[1], 4, "build.completed", 100)
    history.sessions[1].heard.append(heard(push, 17))


def answered_twice(history: History) -> None:
    other = {"result": {"build": view(history.rows[1], 1, "building")}}
    history.orders[0].answers.append(Answer(other, at(5)))


def accepted_then_refused(history: History) -> None:
    history.orders[0].answers.append(Answer({"error": {"code": "site_busy"}}, at(5)))


def refused_and_done(history: History) -> None:
    history.orders[0].answers[:] = [Answer({"error": {"code": "site_busy"}}, at(5))]


def refused_at_the_second_attempt_and_done(history: History) -> None:
    """The first attempt lay somewhere, and was carried out after all."""
    order = history.orders[0]
    order.sent.append(at(4))
    order.answers[:] = [
        Answer({"error": {"code": "unavailable"}}, at(3)),
        Answer({"error": {"code": "forbidden"}}, at(5)),
    ]


def made_twice(history: History) -> None:
    history.inbox.append(replace(history.inbox[0], command_id="another"))
    history.orders.append(replace(history.orders[0], id="another"))


def resumed_elsewhere(history: History) -> None:
    history.sessions[1].resumed = (7, 0)
    history.sessions[1].heard.insert(0, history.sessions[0].heard[2])


def own(history: History, place: int) -> Heard:
    return history.sessions[0].heard[place]


BREAKS: list[tuple[Clause, Break]] = [
    (Clause.ENDED_ONCE, change_row(0, state="building", completed_at=None)),
    (Clause.ENDED_ONCE, lambda history: history.rows.pop(0)),
    (Clause.ENDED_ONCE, completed_and_cancelled),
    (Clause.ENDED_ONCE, change_row(0, state="cancelled", completed_at=None, cancelled_at=at(10))),
    (Clause.NEVER_EARLY, change_row(0, completed_at=at(9))),
    (Clause.NEVER_EARLY, change_stored(1, stored_at=at(9.999))),
    (Clause.NEVER_EARLY, change_stored(2, stored_at=at(9.999))),
    (Clause.NEVER_EARLY, change_stored(8, stored_at=at(10.999))),
    (Clause.NEVER_EARLY, change_heard(0, 1, received_at=at(9.999))),
    (Clause.CANCEL_HOLDS, change_row(1, state="completed", cancelled_at=None, completed_at=at(99))),
    (Clause.CANCEL_HOLDS, change_stored(5, event="build.completed")),
    (Clause.CANCEL_HOLDS, heard_after_all),
    (Clause.HEARD_ONCE_IN_ORDER, lambda history: history.sessions[1].heard.pop(0)),
    (Clause.HEARD_ONCE_IN_ORDER, lambda history: history.sessions[1].heard.pop()),
    (Clause.HEARD_ONCE_IN_ORDER, lambda history: history.sessions[1].heard.pop(1)),
    (Clause.HEARD_ONCE_IN_ORDER, lambda history: history.sessions[1].heard.insert(0, own(history, 2))),
    (Clause.HEARD_ONCE_IN_ORDER, lambda history: history.sessions[0].heard.reverse()),
    (Clause.HEARD_ONCE_IN_ORDER, change_heard(0, 1, prev=6)),
    (Clause.HEARD_ONCE_IN_ORDER, change_heard(0, 1, event="build.cancelled")),
    (Clause.HEARD_ONCE_IN_ORDER, lambda history: setattr(history.sessions[1], "recovered", False)),
    (Clause.HEARD_ONCE_IN_ORDER, resumed_elsewhere),
    (Clause.TOLD, lambda history: history.stored.pop(1)),
    (Clause.TOLD, lambda history: history.stored.pop(2)),
    (Clause.TOLD, lambda history: history.stored.pop(4)),
    (Clause.TOLD, lambda history: history.stored.pop(8)),
    (Clause.TOLD, told_twice),
    (Clause.TOLD, change_stored(0, seq=11)),
    (Clause.TOLD, change_row(1, cancelled_at=at(21))),
    (Clause.EPOCH_ENDED, lambda history: history.gone_back.append("e")),
    (Clause.NOTHING_PENDING, change_row(2, state="building", completed_at=None)),
    (Clause.NOTHING_PENDING, lambda history: history.queued.append(NEXT)),
    (Clause.NOTHING_PENDING, lambda history: history.untold.append(f"{DONE}.1")),
    (Clause.NOTHING_PENDING, lambda history: setattr(history, "alarms", 1)),
    (Clause.NOTHING_PENDING, lambda history: history.events.append(replace(history.events[0], state="scheduled"))),
    (Clause.NOTHING_UNACCEPTED, lambda history: history.orders.pop(0)),
    (Clause.NOTHING_UNACCEPTED, lambda history: history.inbox.pop(0)),
    (Clause.NOTHING_UNACCEPTED, made_twice),
    (Clause.NOTHING_UNACCEPTED, change_row(0, revision=3)),
    (Clause.NOTHING_UNACCEPTED, change_stored(0, message_id="00000000-0000-7000-8000-0000000000ff.1")),
    (Clause.ANSWERS_STAND, answered_twice),
    (Clause.ANSWERS_STAND, accepted_then_refused),
    (Clause.ANSWERS_STAND, refused_and_done),
    (Clause.ANSWERS_STAND, refused_at_the_second_attempt_and_done),
    (Clause.ANSWERS_STAND, lambda history: history.orders[0].answers.clear()),
    (Clause.ANSWERS_STAND, lambda history: history.inbox.pop(0)),
    (Clause.ANSWERS_STAND, change_row(0, due_at=at(11), completed_at=at(11))),
    (Clause.ANSWERS_STAND, change_row(0, site="luna-2")),
    (Clause.ONE_A_SITE, change_row(1, started_at=at(9))),
    (Clause.ONE_LOCK_ORDER, lambda history: setattr(history, "deadlocks", 1)),
]


@pytest.mark.parametrize(("clause", "break_it"), BREAKS)
def test_what_breaks_a_promise_is_found(clause: Clause, break_it: Break) -> None:
    history = good()
    break_it(history)
    assert clause in {violation.clause for violation in judge(history)}


def test_every_clause_can_fail() -> None:
    assert {clause for clause, _ in BREAKS} == set(Clause)


def test_a_client_that_starts_anew_in_another_epoch_is_not_blamed_for_what_was_lost() -> None:
    history = good()
    history.epoch = "f"
    history.lost_until = at(11)
    history.sessions[1] = replace(
        history.sessions[1], epoch="f", recovered=False, stands=(8, 0), heard=history.sessions[1].heard
    )
    history.stored = history.stored[3:]
    assert judge(history) == []
    history.stored.pop(-2)
    history.sessions[1].heard.pop()
    assert Clause.TOLD in {violation.clause for violation in judge(history)}, "what came later is not excused"


def test_a_cancel_after_what_was_lost_has_to_be_told() -> None:
    history = good()
    history.lost_until = at(15)
    history.stored = [push for push in history.stored if push.event != "build.cancelled"]
    assert Clause.TOLD in {violation.clause for violation in judge(history)}


def test_where_something_went_back_in_time_the_story_names_the_epochs_and_a_new_one_is_well() -> None:
    history = good()
    history.gone_back.append("d")
    assert judge(history) == []
    assert "taken back to an older copy in epoch d; the epoch is now e" in report(7, history, [])


def test_an_order_that_was_tried_again_after_its_refusal_may_have_been_carried_out() -> None:
    history = good()
    refused_and_done(history)
    history.orders[0].sent.append(at(6))
    assert judge(history) == []


def test_a_completion_heard_early_by_a_clock_that_is_ahead_is_early_all_the_same() -> None:
    history = good()
    history.clock_ahead = timedelta(seconds=30)
    assert Clause.NEVER_EARLY in {violation.clause for violation in judge(history)}


def test_the_story_shows_orders_pushes_frames_and_kills_in_the_order_of_time() -> None:
    history = good()
    history.untold.append(f"{DONE}.2")
    told_story = "\n".join(tell(history, DONE))
    words = ["sent    build.start", "answer  build.start", "stored ", "heard   one", "row ", "outbox "]
    assert all(word in told_story for word in words)
    violations = judge(history)
    assert f"seed 7: {len(violations)} violations" in report(7, history, violations)
    assert "of nobody nothing is known" in tell(history, "nobody")
