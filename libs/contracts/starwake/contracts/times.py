"""Moments on the wire: RFC 3339, UTC, milliseconds, `Z`."""

from datetime import UTC, datetime
from functools import lru_cache

LATEST = datetime(2262, 1, 1, tzinfo=UTC)
"""No moment beyond this is accepted: NATS holds times as int64 nanoseconds, which end in April 2262,
and a message schedule past that fires at once (measured on nats-server 2.15.1)."""


# A batch tells the same few moments again and again: the lookup costs a sixth of the formatting.
@lru_cache(maxsize=4096)
def to_rfc3339(moment: datetime) -> str:
    """`moment` (aware) as `2026-11-22T10:00:00.123Z`; digits below the millisecond are cut, not rounded."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[:-6] + "Z"


def from_rfc3339(text: str) -> datetime:
    """The moment that `text` (RFC 3339, any offset) names, in UTC and cut to milliseconds.

    Raises:
        ValueError: not RFC 3339, without an offset, or beyond `LATEST`.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset, for example 'Z'")
    try:
        utc = moment.astimezone(UTC)
    except OverflowError as error:  # its offset leads out of the calendar
        raise ValueError("a time must lie between the years 1 and 2262") from error
    if utc > LATEST:
        raise ValueError("a time must lie before the year 2262")
    return truncate(utc)


def truncate(moment: datetime) -> datetime:
    """`moment` cut to whole milliseconds, as the table and the frames hold it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
