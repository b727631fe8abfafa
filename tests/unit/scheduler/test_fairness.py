"""Who is served next."""

from hypothesis import given
from hypothesis import strategies as st

from starwake.scheduler.due.fair_queue import FairQueue
from starwake.scheduler.due.recently_completed import RecentlyCompleted
from starwake.scheduler.sweep.fair_pager import FairPager
from tests.unit.scheduler.test_hold import key


def test_players_take_turns_and_each_keeps_the_order_of_its_own() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
        queue.put(item[0], item)
    assert queue.take(10) == ["a1", "b1", "c1", "a2", "b2", "a3"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers())), st.integers(1, 5))
def test_nothing_is_lost_and_no_player_gets_two_turns_before_anothers_one(
    items: list[tuple[str, int]], limit: int
) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for player, number in items:
        queue.put(player, (player, number))
    first = queue.take(limit)
    players = {player for player, _ in items}
    counts = [sum(1 for taken, _ in first if taken == player) for player in players]
    waiting = {player: sum(1 for each, _ in items if each == player) for player in players}
    for player, count in zip(players, counts, strict=True):
        assert all(count <= other + 1 or other == waiting[name] for name, other in zip(players, counts, strict=True)), (
            player
        )
    assert sorted(first + queue.clear()) == sorted(items)
    assert len(queue) == 0


def test_a_heavy_player_is_left_out_of_every_other_page_while_others_wait() -> None:
    pager = FairPager(100)
    assert pager.next({"ada": 100})
    assert pager.excluded == ["ada"]
    assert pager.next({"bob": 60, "eve": 40})
    assert pager.excluded == [], "then a plain page again, in which ada has her turn"


def test_a_backlog_ends_with_a_plain_page_that_is_not_full() -> None:
    pager = FairPager(100)
    assert pager.next({"ada": 100})
    assert pager.next({}), "nobody else waits, but ada still does"
    assert pager.excluded == []
    assert not pager.next({"ada": 7})


def test_a_page_full_of_world_events_is_full() -> None:
    assert FairPager(100).next({}, events=100)
    assert not FairPager(100).next({}, events=99)


def test_what_was_completed_a_while_ago_is_forgotten_oldest_first() -> None:
    recent = RecentlyCompleted(limit=2)
    for name in ("a", "b", "b", "c"):
        recent.add(key(name))
    assert [key(name) in recent for name in "abc"] == [False, True, True]


def test_only_the_revision_that_was_completed_is_remembered() -> None:
    recent = RecentlyCompleted()
    recent.add(key("a", 2))
    assert key("a", 2) in recent
    assert key("a", 1) not in recent, "that one is somebody else's question, to be answered by the table"
