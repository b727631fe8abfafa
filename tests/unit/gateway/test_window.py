"""The stretch of the stream that a gateway keeps for those who come back a moment later."""

from hypothesis import given
from hypothesis import strategies as st

from starwake.gateway.feed import Push
from starwake.gateway.window import OVERHEAD_BYTES, Window

PUSHES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 50)))
"""The subject, how many sequences are left out before it, and the bytes of its body."""
STEPS = st.lists(st.one_of(st.tuples(PUSHES, st.integers(0, 2)), st.integers(0, 3_000)), max_size=12)
"""Either a reading, and how many sequences are left out at its end, or a bound that the window has to keep."""


@given(STEPS, st.integers(1, 20))
def test_what_it_gives_is_what_was_read_without_a_hole_and_what_leaves_it_leaves_in_order(
    steps: list[tuple[list[tuple[str, int, int]], int] | int], first: int
) -> None:
    window = Window(first)
    read: list[tuple[str, int, bytes]] = []
    left: list[tuple[str, int]] = []
    seq = first - 1
    for step in steps:
        if isinstance(step, int):
            left += [(each.subject, each.push.seq) for each in window.shrink(step)]
            assert window.held_bytes <= step
        else:
            found: list[tuple[str, int, bytes]] = []
            for subject, skipped, size in step[0]:
                seq += 1 + skipped
                found.append((subject, seq, b"x" * size))
            seq += step[1]
            window.add(found, seq)
            read += found
        kept = read[len(left) :]
        assert left == [(subject, number) for subject, number, _ in read[: len(left)]]
        assert window.held_bytes == sum(len(body) + OVERHEAD_BYTES for _, _, body in kept)
        assert window.first == (left[-1][1] + 1 if left else first)
        assert window.last == seq
        for low in range(window.first, seq + 2):
            for subject in "abc":
                wanted = [Push(number, 0, body) for each, number, body in kept if each == subject and number >= low]
                assert window.pushes(subject, low) == wanted


def test_it_covers_only_what_lies_within_it_and_nothing_while_it_is_empty() -> None:
    window = Window()
    assert not window.covers(1, 1)
    assert not window.reaches(1)
    window = Window(10)
    window.add([("a", 11, b""), ("b", 12, b"")], 12)
    assert window.covers(10, 12)
    assert not window.covers(9, 12)
    assert not window.covers(11, 13)
    assert window.reaches(11)
    assert not window.reaches(9)


def test_an_empty_reading_does_not_move_its_end() -> None:
    window = Window(10)
    window.add([("a", 11, b"")], 11)
    window.add([], 0)
    assert window.last == 11
