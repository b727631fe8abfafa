"""How much is asked of a server at once follows how fast it answers."""

from starwake.gateway.pace import Pace


def test_quick_answers_raise_it_step_by_step_up_to_the_most() -> None:
    pace = Pace(2, 6, patience_s=0.5, step=2)
    sizes = [pace.size]
    for second in range(4):
        pace.answered(second, second + 0.1)
        sizes.append(pace.size)
    assert sizes == [2, 4, 6, 6, 6]


def test_a_slow_answer_halves_it_and_so_does_none_but_never_below_the_least() -> None:
    pace = Pace(3, 64, patience_s=0.5, begin=40)
    pace.answered(0.0, 1.0)
    assert pace.size == 20
    pace.failed(1.5, 4.5)
    assert pace.size == 10
    for second in range(10, 60, 10):
        pace.failed(second, second + 3)
    assert pace.size == 3


def test_what_was_asked_before_it_shrank_does_not_shrink_it_again() -> None:
    pace = Pace(1, 64, patience_s=0.5, begin=64)
    for asked_at in (0.0, 0.1, 0.2):
        pace.failed(asked_at, 3.0 + asked_at)
    assert pace.size == 32
    pace.failed(3.5, 6.5)
    assert pace.size == 16
