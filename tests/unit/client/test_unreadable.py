"""A push that cannot be read keeps its place in the feed, and a server that is full says when to come."""

import pytest

from starwake.client.effects import Reopen
from tests.unit.client.given import delivered, least, live, protocol, push, seqs


def most(low: float, high: float) -> float:
    del low
    return high


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"push","seq":11,"prev":10,garbage',
        '{"type":"push","seq":11,"prev":10,"event":7}',
        '{"type":"push","seq":11,"prev":10,"event":"x"}',
        push(11, 10, event="unreadable"),
    ],
)
def test_it_is_passed_over_and_the_next_one_is_no_hole(frame: str) -> None:
    one = live()
    assert delivered(one.received(frame, 1)) == []
    assert one.position is not None
    assert one.position.seq == 11
    assert seqs(one.received(push(12, 11), 2)) == [12]


def test_a_hole_before_it_is_still_seen() -> None:
    one = live()
    assert one.received('{"type":"push","seq":13,"prev":12,garbage', 1)
    assert one.position is not None
    assert one.position.seq == 10


def test_the_wish_of_a_server_that_is_full_is_followed_and_spread() -> None:
    waits = [
        effect.after_s
        for dice in (least, most)
        for effect in protocol(dice=dice).unreachable("HTTP 503", 8.0)
        if isinstance(effect, Reopen)
    ]
    assert waits == [8.0, 12.0]
