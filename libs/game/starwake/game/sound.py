"""PURE: whether what a rule decided can be stored, armed and told, judged before anything of it is kept.

Rules are the game's own code, and a batch is one transaction: what the table would refuse in one order would be refused
to all of them. Whatever annotations say is looked at again here.
"""

from datetime import datetime, timedelta
from typing import Final, cast

from starwake.contracts.builds import BuildRecord, BuildState
from starwake.contracts.follow_ups import checked_follow_ups
from starwake.contracts.frames import MAX_RESULT_BYTES
from starwake.contracts.ids import MAX_REVISION, PlayerId, is_uuid
from starwake.contracts.queued import QueuedOrder
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.contracts.subjects import is_name
from starwake.contracts.times import LATEST
from starwake.game.rules import Outcome, Rows, Transition, UnreadError

MAX_MESSAGE_CHARACTERS: Final = 2000
"""Of a refusal: one sentence for people, which travels in a header too."""
_MAX_TEXT: Final = 255
_MAX_RETRY_MS: Final = 86_400_000
_LONGEST_MS: Final = (LATEST - datetime(1970, 1, 1, tzinfo=LATEST.tzinfo)) // timedelta(milliseconds=1)
_OBJECT: Final = b'{"result":{'


class UnsoundError(ValueError):
    """A rule's answer is none; the text says what is wrong with it."""


def sound_refusal(refusal: Refusal) -> Refusal:
    """A refusal that can be answered; the code may be written as text.

    Raises:
        UnsoundError: its code is none of `ErrorCode`, its message no short text, or its time to wait no number.
    """
    message, wait = cast("object", refusal.message), cast("object", refusal.retry_after_ms)
    try:
        code = ErrorCode(refusal.code)
    except ValueError as error:
        raise UnsoundError(f"a refusal with the code {refusal.code!r:.80}, which is none") from error
    if not isinstance(message, str) or len(message) > MAX_MESSAGE_CHARACTERS:
        raise UnsoundError(f"a refusal's message is a text of at most {MAX_MESSAGE_CHARACTERS} characters")
    if wait is not None and not (isinstance(wait, int) and 0 <= wait <= _MAX_RETRY_MS):
        raise UnsoundError(f"a refusal's retry_after_ms is a number of milliseconds, not {wait!r:.80}")
    return refusal if code is refusal.code else Refusal(code, message, retry_after_ms=refusal.retry_after_ms)


def check(outcome: Outcome, body: bytes, player: PlayerId, rows: Rows) -> None:
    """Look at all that an outcome would write, against the picture that it was decided by.

    Args:
        outcome: what the rule returned.
        body: the answer's, with the result encoded.
        player: whose order.
        rows: the player's picture, as it is before the outcome is applied.

    Raises:
        UnsoundError, FollowUpError: something in it cannot be.
    """
    if not body.startswith(_OBJECT):
        raise UnsoundError("an outcome's result is a JSON object")
    if len(body) > MAX_RESULT_BYTES:  # found later, its player would never hear what became of the order
        raise UnsoundError(f"an outcome's result has at most {MAX_RESULT_BYTES:,} bytes, not {len(body):,}")
    for part in (outcome.transitions, outcome.queued, outcome.unqueued, outcome.started_from_queue):
        if not isinstance(cast("object", part), tuple | list):
            raise UnsoundError(f"an outcome's changes are tuples, not {part!r:.80}")
    changes = _Changes(player, rows)
    for transition in outcome.transitions:
        changes.see(transition)
    for order in outcome.queued:
        changes.see_queued(order)
    _check_waited((*outcome.unqueued, *outcome.started_from_queue), rows)


class _Changes:
    """The changes of one outcome, one after the other."""

    def __init__(self, player: PlayerId, rows: Rows) -> None:
        self._player = player
        self._rows = rows
        self._busy: dict[str, bool] = {}
        self._builds: dict[str, BuildRecord] = {}

    def see(self, transition: Transition) -> None:
        _need(isinstance(cast("object", transition), Transition), "a transition", transition)
        build, event, at = transition
        _need(isinstance(cast("object", build), BuildRecord), "a build", build)
        _need(isinstance(cast("object", event), str) and is_name(event), "an event's name", event)
        _need(_is_moment(at), "a moment", at)
        self._check_row(build)
        known = self._builds.get(build.id) or self._rows.by_id.get(build.id)
        if known is None:
            self._check_start(build)
        else:
            self._check_change(known, build)
        self._builds[build.id] = build

    def see_queued(self, order: QueuedOrder) -> None:
        _need(isinstance(cast("object", order), QueuedOrder), "a queued order", order)
        self._check_names(order)
        _need(order.id not in self._builds, "an id of its own", order.id)
        _need(type(order.duration_ms) is int and 0 <= order.duration_ms <= _LONGEST_MS, "a duration", order.duration_ms)
        _need(_is_moment(order.created_at), "a moment", order.created_at)
        self._builds[order.id] = order.started(order.created_at)

    def _check_names(self, row: BuildRecord | QueuedOrder) -> None:
        _need(row.player == self._player, "a row of the player whose order it is", row.player)
        _need(isinstance(cast("object", row.id), str) and is_uuid(row.id), "an id", row.id)
        _need(_is_text(row.kind), "a kind's name", row.kind)
        _need(_is_text(row.site), "a site's name", row.site)
        _need(row.trace is None or _is_text(row.trace), "a trace", row.trace)
        if row.follow_ups:
            checked_follow_ups(row.follow_ups)

    def _check_row(self, build: BuildRecord) -> None:
        _need(type(build.revision) is int and 1 <= build.revision <= MAX_REVISION, "a revision", build.revision)
        _need(_is_moment(build.started_at), "a moment", build.started_at)
        _need(
            _is_moment(build.due_at) and build.due_at >= build.started_at, "an end behind the beginning", build.due_at
        )

    def _check_start(self, build: BuildRecord) -> None:
        self._check_names(build)
        _need(build.revision == 1, "the first revision of a build that is not read", build.revision)
        _need(build.state is BuildState.BUILDING, "a build that begins", build.state)
        _need(build.completed_at is None and build.cancelled_at is None, "a build that begins", build.cancelled_at)
        busy = self._busy.get(build.site)
        if busy is None:
            if self._rows.sites is not None and build.site not in self._rows.sites:
                raise UnreadError(site=build.site)  # a build that the rule made by itself
            held = self._rows.busy.get(build.site)
            busy = held is not None and held.free_at is None
        _need(not busy, "a free site", build.site)
        self._busy[build.site] = True

    def _check_change(self, known: BuildRecord, build: BuildRecord) -> None:
        _need(build.player == self._player, "a row of the player whose order it is", build.player)
        _need(known.state is BuildState.BUILDING, "a change of what is building", known.state)
        _need(build.revision == known.revision + 1, "the next revision", build.revision)
        kept = (build.kind, build.site, build.started_at) == (known.kind, known.site, known.started_at)
        _need(kept, "a change of times and state alone", build.site)
        if build.state is BuildState.CANCELLED:
            _need(_is_moment(build.cancelled_at), "a moment", build.cancelled_at)
            self._busy[build.site] = False
        else:
            _need(build.state is BuildState.BUILDING, "a build that goes on or is cancelled", build.state)
            _need(build.cancelled_at is None, "no such moment", build.cancelled_at)
        _need(build.completed_at is None, "no such moment", build.completed_at)


def _check_waited(orders: tuple[QueuedOrder, ...], rows: Rows) -> None:
    seen: set[str] = set()
    for order in orders:
        _need(isinstance(cast("object", order), QueuedOrder), "a queued order", order)
        waits = order.id not in seen and order in rows.queues.get(order.site, ())
        _need(waits, "an order that waits", order.id)
        seen.add(order.id)


def _need(holds: bool, what: str, found: object) -> None:  # noqa: FBT001 - it reads like a sentence
    if not holds:
        raise UnsoundError(f"{what} was expected, not {found!r:.80}")


def _is_text(value: object) -> bool:
    """One that fits its column, whichever way the column travels."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable()


def _is_moment(value: object) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None and value <= LATEST
