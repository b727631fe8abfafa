"""Lines that strangers cause: a few, then a count."""

from typing import Any, cast

from starwake.runtime.rate_limited_logging import RateLimitedLogger


class Lines:
    """A logger that remembers, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []
        self.now = 100.0

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    error = info = warning

    def sparing(self) -> RateLimitedLogger:
        return RateLimitedLogger(cast("Any", self), burst=3, every_s=10, clock=lambda: self.now)


def test_after_a_few_lines_of_a_kind_the_rest_is_counted_in_the_next_one() -> None:
    lines = Lines()
    log = lines.sparing()
    for number in range(100):
        log.warning("frame.bad", number=number)
    assert [fields for _, fields in lines.lines] == [{"number": 0}, {"number": 1}, {"number": 2}]
    lines.now += 10
    log.warning("frame.bad", number=100)
    log.warning("frame.bad", number=101)
    assert lines.lines[3:] == [("frame.bad", {"number": 100, "left_out": 97})]


def test_kinds_do_not_silence_one_another() -> None:
    lines = Lines()
    log = lines.sparing()
    for _ in range(100):
        log.error("rule.failed", kind="a.b", exc_info=None)
        log.info("rule.failed", kind="c.d")
        log.warning("call.failed")
    assert len(lines.lines) == 9


def test_however_many_kinds_there_are_what_is_remembered_of_them_is_bounded() -> None:
    lines = Lines()
    log = lines.sparing()
    for number in range(10_000):
        log.warning("frame.bad", kind=str(number))
    assert len(lines.lines) == 10_000, "a kind is never what a stranger chooses"
    assert len(vars(log)["_kinds"]) == 256
