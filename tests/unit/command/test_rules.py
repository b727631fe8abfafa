"""What a player may do."""

from datetime import timedelta

import msgspec
import pytest

from starwake.contracts.batches import Busy, PlayerRows
from starwake.contracts.builds import BuildRecord, BuildState, FollowUp
from starwake.contracts.follow_ups import FollowUpError
from starwake.contracts.ids import PlayerId
from starwake.contracts.queued import QueuedOrder
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.contracts.times import to_rfc3339
from starwake.game.rules import Outcome, Player
from tests.unit.command.rows import ADA, NOW, building, catalogue, player, world


def refused(code: ErrorCode) -> "pytest.RaisesExc[Refusal]":
    return pytest.raises(Refusal, check=lambda error: error.code is code)


def build_in(outcome: Outcome) -> BuildRecord:
    return outcome.transitions[0].build


def test_a_build_is_due_after_its_kinds_duration() -> None:
    build = build_in(player().start("dock", "luna-1"))
    assert (build.started_at, build.due_at) == (NOW, NOW + timedelta(hours=1))
    assert (build.state, build.revision) == (BuildState.BUILDING, 1)


def test_an_unknown_kind_is_refused() -> None:
    with refused(ErrorCode.UNKNOWN_KIND):
        player().start("palace", "luna-1")


def test_a_site_builds_one_thing_at_a_time() -> None:
    with pytest.raises(Refusal, match="luna-1 is already building a dock") as caught:
        player(PlayerRows(builds=1, busy={"luna-1": Busy("dock")})).start("dock", "luna-1")
    assert caught.value.code is ErrorCode.SITE_BUSY


def test_a_build_that_is_completed_ahead_of_its_time_still_holds_its_site() -> None:
    rows = PlayerRows(builds=1, busy={"luna-1": Busy("dock", NOW + timedelta(milliseconds=80))})
    with refused(ErrorCode.SITE_BUSY):
        player(rows).start("dock", "luna-1")


def test_a_player_has_a_limit_of_builds_at_once() -> None:
    with refused(ErrorCode.LIMIT_REACHED):
        player(PlayerRows(builds=3), world(catalogue(builds_at_once=3))).start("dock", "luna-1")


def test_what_a_kind_requires_has_to_stand() -> None:
    with pytest.raises(Refusal, match="an observatory needs a dock first") as caught:
        player().start("observatory", "luna-1")
    assert caught.value.code is ErrorCode.FORBIDDEN
    assert build_in(player(PlayerRows(standing={"dock"})).start("observatory", "luna-1")).kind == "observatory"


@pytest.mark.parametrize("site", ["a\nb", "\x1b[2J", "a\u202eb"])
def test_a_sites_name_is_printable(site: str) -> None:
    with refused(ErrorCode.BAD_REQUEST):
        player().start("dock", site)


def test_an_accepted_order_counts_for_the_next_one_of_its_batch() -> None:
    ada = player(PlayerRows(), world(catalogue(builds_at_once=2)))
    ada.apply(ada.start("dock", "luna-1"))
    with refused(ErrorCode.SITE_BUSY):
        ada.start("dock", "luna-1")
    ada.apply(ada.start("dock", "luna-2"))
    with refused(ErrorCode.LIMIT_REACHED):
        ada.start("dock", "luna-3")


def test_a_cancelled_builds_site_is_free_for_the_next_order_of_its_batch() -> None:
    running = building()
    ada = player(PlayerRows(builds=1, busy={"luna-1": Busy("dock")}, by_id={running.id: running}))
    ada.apply(ada.cancel(running.id))
    assert build_in(ada.start("dock", "luna-1")).site == "luna-1"
    with refused(ErrorCode.NOT_BUILDING):
        ada.cancel(running.id)


def test_a_cancelled_build_says_when_and_grows_its_revision() -> None:
    running = building(revision=4)
    outcome = player(PlayerRows(by_id={running.id: running})).cancel(running.id)
    cancelled = build_in(outcome)
    assert (cancelled.state, cancelled.revision, cancelled.cancelled_at) == (BuildState.CANCELLED, 5, NOW)
    assert outcome.transitions[0].event == "build.cancelled"


@pytest.mark.parametrize("state", [BuildState.COMPLETED, BuildState.CANCELLED])
def test_what_has_ended_cannot_be_changed(state: BuildState) -> None:
    ended = building(state=state)
    ada = player(PlayerRows(by_id={ended.id: ended}))
    with refused(ErrorCode.NOT_BUILDING):
        ada.cancel(ended.id)
    with refused(ErrorCode.NOT_BUILDING):
        ada.reschedule(ended.id, None, 0.5)


def test_a_build_that_is_not_there_or_not_the_players_is_not_found() -> None:
    with refused(ErrorCode.NOT_FOUND):
        player().cancel("00000000-0000-7000-8000-00000000000b")


def rescheduled(due_at: str | None = None, factor: float | None = None) -> BuildRecord:
    running = building()
    return build_in(player(PlayerRows(by_id={running.id: running})).reschedule(running.id, due_at, factor))


def test_a_factor_counts_for_the_time_that_is_left() -> None:
    assert rescheduled(factor=0.5).due_at == NOW + timedelta(minutes=15)
    assert rescheduled(factor=2).due_at == NOW + timedelta(hours=1)


def test_a_build_may_be_moved_to_a_moment() -> None:
    moved = rescheduled(due_at="2026-11-22T12:20:00.500+01:00")
    assert (to_rfc3339(moved.due_at), moved.revision) == ("2026-11-22T11:20:00.500Z", 2)


def test_a_moment_that_has_passed_means_now() -> None:
    assert rescheduled(due_at="2026-11-22T09:59:59Z").due_at == NOW


@pytest.mark.parametrize(
    ("due_at", "factor"),
    [(None, None), ("2026-11-22T11:00:00Z", 1.0), ("tomorrow", None), ("2026-11-22T11:00:00", None)],
)
def test_a_reschedule_needs_exactly_one_readable_aim(due_at: str | None, factor: float | None) -> None:
    with refused(ErrorCode.BAD_REQUEST):
        rescheduled(due_at, factor)


@pytest.mark.parametrize("due_at", ["2026-11-22T11:30:00.001Z", "2262-04-01T00:00:00Z"])
def test_a_build_is_not_put_off_beyond_what_its_kind_allows(due_at: str) -> None:
    with pytest.raises(Refusal):
        rescheduled(due_at=due_at)


def test_a_build_is_not_sped_up_beyond_what_its_kind_allows() -> None:
    early = building()
    ada = player(PlayerRows(by_id={early.id: early}), now=early.started_at + timedelta(minutes=1))
    with refused(ErrorCode.FORBIDDEN):
        ada.reschedule(early.id, None, 0.1)
    assert build_in(ada.reschedule(early.id, None, 0.5)).due_at == early.started_at + timedelta(minutes=30, seconds=30)


def test_a_kind_may_forbid_rescheduling() -> None:
    fixed = building(kind="observatory")
    with refused(ErrorCode.FORBIDDEN):
        player(PlayerRows(by_id={fixed.id: fixed})).reschedule(fixed.id, None, 0.5)
    forgotten = building(kind="palace")
    with refused(ErrorCode.FORBIDDEN):
        player(PlayerRows(by_id={forgotten.id: forgotten})).reschedule(forgotten.id, None, 0.5)


def queueing(**limits: int) -> Player:
    running = building()
    rows = PlayerRows(builds=1, busy={"luna-1": Busy("dock")}, by_id={running.id: running})
    return player(rows, world(catalogue(**limits)))


def test_an_order_for_a_free_site_begins_at_once() -> None:
    outcome = player().queue("dock", "luna-1")
    assert "build" in outcome.result
    assert not outcome.queued


def test_an_order_for_a_busy_site_waits() -> None:
    outcome = queueing().queue("dock", "luna-1")
    (order,) = outcome.queued
    assert (order.site, order.duration_ms, order.created_at) == ("luna-1", 3_600_000, NOW)
    assert not outcome.transitions


def test_no_more_orders_wait_than_the_limits_allow() -> None:
    ada = queueing(queued_per_site=2)
    ada.apply(ada.queue("dock", "luna-1"))
    ada.apply(ada.queue("dock", "luna-1"))
    with refused(ErrorCode.LIMIT_REACHED):
        ada.queue("dock", "luna-1")
    ada = queueing(queued_per_player=1)
    ada.apply(ada.queue("dock", "luna-1"))
    with refused(ErrorCode.LIMIT_REACHED):
        ada.queue("dock", "luna-1")


def test_prerequisites_of_a_waiting_order_are_judged_when_it_is_given() -> None:
    with refused(ErrorCode.FORBIDDEN):
        queueing().queue("observatory", "luna-1")


def test_an_order_behind_a_build_that_is_as_good_as_complete_begins_at_its_end() -> None:
    free_at = NOW + timedelta(milliseconds=80)
    outcome = player(PlayerRows(builds=1, busy={"luna-1": Busy("dock", free_at)})).queue("dock", "luna-1")
    (started,) = outcome.transitions
    assert (started.build.started_at, started.at) == (free_at, free_at)


def test_what_begins_a_moment_from_now_is_cancelled_at_that_moment_and_its_site_free_from_then_on() -> None:
    """The one before it is completed ahead of its time, and stands on the site until then."""
    soon = NOW + timedelta(milliseconds=80)
    begins = msgspec.structs.replace(building(), started_at=soon)
    ada = player(PlayerRows(builds=2, busy={"luna-1": Busy("dock")}, by_id={begins.id: begins}))
    (waiting,) = ada.queue("dock", "luna-1").queued
    ada.apply(Outcome({}, queued=(waiting,)))
    cancelled, started = ada.cancel(begins.id).transitions
    assert (cancelled.build.cancelled_at, cancelled.at) == (soon, soon)
    assert (started.build.id, started.build.started_at, started.at) == (waiting.id, soon, soon)

    alone = player(PlayerRows(builds=2, busy={"luna-1": Busy("dock")}, by_id={begins.id: begins}))
    alone.apply(alone.cancel(begins.id))
    with refused(ErrorCode.SITE_BUSY):
        alone.start("dock", "luna-1")
    assert build_in(alone.queue("dock", "luna-1")).started_at == soon


def test_the_next_order_begins_when_a_build_is_cancelled() -> None:
    ada = queueing()
    first, second = (ada.queue("dock", "luna-1") for _ in range(2))
    ada.apply(first)
    ada.apply(second)
    outcome = ada.cancel(building().id)
    cancelled, started = outcome.transitions
    assert (cancelled.event, started.event) == ("build.cancelled", "build.started")
    assert (started.build.id, started.build.started_at) == (first.queued[0].id, NOW)
    assert outcome.started_from_queue == first.queued
    ada.apply(outcome)
    with refused(ErrorCode.SITE_BUSY):
        ada.start("dock", "luna-1")


def test_a_waiting_order_can_be_withdrawn_once() -> None:
    ada = queueing()
    waiting = ada.queue("dock", "luna-1")
    ada.apply(waiting)
    outcome = ada.unqueue(waiting.queued[0].id)
    assert outcome.unqueued == waiting.queued
    ada.apply(outcome)
    with refused(ErrorCode.NOT_FOUND):
        ada.unqueue(waiting.queued[0].id)


def test_what_a_completion_pushes_is_decided_when_the_build_begins() -> None:
    def found(build: BuildRecord) -> list[FollowUp]:
        return [FollowUp("stars.discovered", {"by": build.id})]

    build = build_in(player(None, world(None, {"dock": found})).start("dock", "luna-1", [FollowUp("a.b", {})]))
    assert [each.event for each in build.follow_ups] == ["a.b", "stars.discovered"]
    assert build.follow_ups[1].data == {"by": build.id}


def test_a_waiting_order_becomes_the_build_that_it_described() -> None:
    order = QueuedOrder(
        id=building().id,
        player=PlayerId(ADA),
        site="luna-1",
        kind="dock",
        duration_ms=1500,
        created_at=NOW,
        follow_ups=(FollowUp("a.b", {}),),
        trace="t",
    )
    build = order.started(NOW)
    assert (build.id, build.due_at, build.follow_ups, build.trace) == (
        order.id,
        NOW + timedelta(seconds=1.5),
        order.follow_ups,
        "t",
    )


@pytest.mark.parametrize("follow_up", [FollowUp("Not A Name", {}), FollowUp("a.b", {"x": "y" * 1_100_000})])
def test_a_follow_up_that_could_never_be_pushed_is_refused_with_its_order(follow_up: FollowUp) -> None:
    with pytest.raises(FollowUpError):
        player().start("dock", "luna-1", [follow_up])
    with pytest.raises(FollowUpError):
        player(None, world(None, {"dock": lambda _: [follow_up]})).start("dock", "luna-1")
