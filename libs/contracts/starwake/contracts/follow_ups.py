"""PURE: what a game may have pushed after a build: checked when the order is given, since nobody can mend it later."""

from collections.abc import Iterable
from typing import Final, cast

import msgspec

from starwake.contracts.builds import FollowUp
from starwake.contracts.subjects import is_name

MAX_FOLLOW_UPS: Final = 32
"""For one build. A feed keeps 257 pushes: a build must not drive out what a player has yet to read."""
MAX_FOLLOW_UPS_BYTES: Final = 57_344
"""All of one build together, as JSON, 56 KiB. They travel in its alarm, and each as a push: both have to stay below the
servers' `max_payload` (256 KB in `deploy/nats`), with what is around them."""

_OWN: Final = "build."
_encoder = msgspec.json.Encoder()


class FollowUpError(ValueError):
    """A game's follow-up cannot be pushed; the text says which and why."""


def checked_follow_ups(follow_ups: Iterable[FollowUp]) -> tuple[FollowUp, ...]:
    """The follow-ups of one build, each one fit to be stored, armed and pushed.

    Raises:
        FollowUpError: one is no `FollowUp`, its event's name is none or begins with `build.`, its data is no JSON
            object or holds U+0000; there are more than 32, or all together have more than 56 KiB.
    """
    checked: list[FollowUp] = []
    size = 0
    for number, each in enumerate(follow_ups, start=1):
        if number > MAX_FOLLOW_UPS:
            raise FollowUpError(f"a build has at most {MAX_FOLLOW_UPS} follow-ups")
        size += _size_of(each, number)
        if size > MAX_FOLLOW_UPS_BYTES:
            raise FollowUpError(f"a build's follow-ups have at most {MAX_FOLLOW_UPS_BYTES:,} bytes together")
        checked.append(each)
    return tuple(checked)


def _size_of(follow_up: FollowUp, number: int) -> int:
    # Whatever the annotations say: it comes from a game's own code.
    given = cast("object", follow_up)
    if not isinstance(given, FollowUp):
        raise FollowUpError(f"follow-up {number} is no FollowUp but a {type(given).__name__}")
    event, data = cast("object", given.event), cast("object", given.data)
    if not isinstance(event, str) or not is_name(event):
        raise FollowUpError(f"follow-up {number}: an event's name is dotted and lower-case: {event!r:.80}")
    if event.startswith(_OWN):
        raise FollowUpError(f"follow-up {number}: clients take build.* events for changes of their own builds")
    if not isinstance(data, dict):
        raise FollowUpError(f"follow-up {number}, {event}: data is a dict, not a {type(data).__name__}")
    try:
        encoded = _encoder.encode(given)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise FollowUpError(f"follow-up {number}, {event}, is no JSON: {error}") from error
    if b"\\u0000" in encoded:  # JSON has no other way to write it, and Postgres cannot hold it
        raise FollowUpError(f"follow-up {number}, {event}: the character U+0000 cannot be stored")
    return len(encoded)
