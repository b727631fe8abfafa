"""PURE: the one oracle over all that can go wrong. It judges a run by what is left of it, and by what clients heard.

Each clause is a function from the history to what breaks it; `judge` asks them all.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any

from starwake.contracts.times import from_rfc3339
from tests.chaos.history import Feed, History, Order, Remembered, Row, Session, Stored

COMPLETED = "build.completed"
CANCELLED = "build.cancelled"
STARTING = frozenset({"build.start", "build.queue"})
PUT_OFF = frozenset({"unavailable", "rate_limited"})
"""The codes of refusals after which the same order is sent again."""


class Clause(StrEnum):
    """What is promised."""

    ENDED_ONCE = "each accepted build ended exactly once"
    NEVER_EARLY = "nothing is completed, told or heard before its time"
    CANCEL_HOLDS = "what was confirmed as cancelled is never completed"
    HEARD_ONCE_IN_ORDER = "each client that resumed hears each push exactly once and in order"
    TOLD = "every transition is told exactly once, in its order"
    EPOCH_ENDED = "where table or stream went back in time, a new epoch has begun"
    NOTHING_PENDING = "nothing is left to be done"
    NOTHING_UNACCEPTED = "nothing happens that nobody ordered and no order happens twice"
    ANSWERS_STAND = "what was answered is so, and stays the answer"
    ONE_A_SITE = "one build a site at a time, and the next begins where the one before ended"
    ONE_LOCK_ORDER = "no two transactions ever wait for each other in a circle"


@dataclass(frozen=True)
class Violation:
    """What breaks a clause; `subject` is the build, event or client that the story should be told of."""

    clause: Clause
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.clause}: {self.text} [{self.subject}]"


def judge(history: History) -> list[Violation]:
    """All that breaks what is promised; empty where everything went well."""
    clauses: Sequence[tuple[Clause, Callable[[History], Iterable[tuple[str, str]]]]] = (
        (Clause.ENDED_ONCE, _ended_once),
        (Clause.NEVER_EARLY, _never_early),
        (Clause.CANCEL_HOLDS, _cancel_holds),
        (Clause.HEARD_ONCE_IN_ORDER, _heard_once_in_order),
        (Clause.TOLD, _told),
        (Clause.EPOCH_ENDED, _epoch_ended),
        (Clause.NOTHING_PENDING, _nothing_pending),
        (Clause.NOTHING_UNACCEPTED, _nothing_unaccepted),
        (Clause.ANSWERS_STAND, _answers_stand),
        (Clause.ONE_A_SITE, _one_a_site),
        (Clause.ONE_LOCK_ORDER, _one_lock_order),
    )
    return [Violation(clause, subject, text) for clause, check in clauses for subject, text in check(history)]


def _ended_once(history: History) -> Iterator[tuple[str, str]]:
    rows = {row.id: row for row in history.rows}
    withdrawn = {entry.subject for entry in history.inbox if entry.command == "build.unqueue"}
    for order in history.orders:
        answer = order.accepted
        if order.command not in STARTING or answer is None:
            continue
        build = _subject(answer.body)
        if build not in rows:
            if build not in withdrawn:
                yield build, f"{order.command} {order.id} was accepted, but there is no such row"
        elif rows[build].state not in ("completed", "cancelled"):
            yield build, f"it is still {rows[build].state}"
    for row in history.rows:
        ends = [push for push in history.told_of(row.id) if push.event in (COMPLETED, CANCELLED)]
        if len(ends) > 1:
            yield row.id, f"its end was told {len(ends)} times: {', '.join(push.event for push in ends)}"
        if ends and ends[0].event != f"build.{row.state}":
            yield row.id, f"the table says {row.state}, but {ends[0].event} was told"


def _never_early(history: History) -> Iterator[tuple[str, str]]:
    for row in history.rows:
        if row.state == "completed" and row.completed_at != row.due_at:
            yield row.id, f"completed_at is {row.completed_at}, due_at {row.due_at}"
    due = {row.id: row.due_at for row in history.rows if row.state == "completed"}
    due |= {event.id: event.due_at for event in history.events}
    for push in history.stored:
        if push.source in due and _tells_the_end(push) and push.stored_at < due[push.source]:
            yield push.source, f"{push.event} was stored at {push.stored_at}, before {due[push.source]}"
    for session, push in history.heard():
        if push.event == COMPLETED:
            build = push.data["build"]
            due_at = from_rfc3339(build["due_at"])
            if push.received_at - history.clock_ahead < due_at:
                yield build["id"], f"{session.client} heard of its completion at {push.received_at}, before {due_at}"


def _tells_the_end(push: Stored) -> bool:
    return push.event not in {"build.started", "build.rescheduled", "build.queued", "build.unqueued", CANCELLED}


def _cancel_holds(history: History) -> Iterator[tuple[str, str]]:
    rows = {row.id: row for row in history.rows}
    for order in history.orders:
        if order.command != "build.cancel" or order.accepted is None:
            continue
        build = _subject(order.accepted.body)
        row = rows.get(build)
        if row is None or row.state != "cancelled":
            yield build, f"its cancel was confirmed, but it is {'gone' if row is None else row.state}"
        if any(push.event == COMPLETED for push in history.told_of(build)):
            yield build, "its cancel was confirmed, but its completion was told"
        for session, push in history.heard():
            if push.event == COMPLETED and push.data["build"]["id"] == build:
                yield build, f"its cancel was confirmed, but {session.client} heard of its completion"


def _heard_once_in_order(history: History) -> Iterator[tuple[str, str]]:
    feeds = {player: history.feed(player) for player in {None, *(session.player for session in history.sessions)}}
    by_client: defaultdict[str, list[Session]] = defaultdict(list)
    for session in history.sessions:
        by_client[session.client].append(session)
    for client, sessions in by_client.items():
        for text in _chain_faults(sessions):
            yield client, text
        for text in _coverage_faults(history, feeds, sessions):
            yield client, text


def _chain_faults(sessions: Sequence[Session]) -> Iterator[str]:
    """What a client can see for itself: each session's chain holds, and a resume goes on where it stood."""
    for session in sessions:
        for place, feed in enumerate[Feed](("player", "all")):
            last = session.begins[place]
            for push in session.heard:
                if push.feed != feed:
                    continue
                if push.seq <= last:
                    yield f"{_name(session)}: {feed} feed: push {push.seq} came at {last}: again, or backwards"
                elif push.prev not in (None, 0, last):
                    yield f"{_name(session)}: {feed} feed: push {push.seq} follows {push.prev}, but {last} was the last"
                last = max(last, push.seq)


def _coverage_faults(
    history: History, feeds: dict[str | None, list[Stored]], sessions: Sequence[Session]
) -> Iterator[str]:
    """What only somebody who knows the stream can see: nothing is missing, and all is as it was stored."""
    for number, session in enumerate(sessions):
        if session.epoch != history.epoch:
            continue  # the stream of that epoch is gone, there is nothing to compare with
        follower = sessions[number + 1] if number + 1 < len(sessions) else None
        for place, feed in enumerate[Feed](("player", "all")):
            heard = [push for push in session.heard if push.feed == feed]
            stored = {push.seq: push for push in feeds[session.player if feed == "player" else None]}
            until = max((push.seq for push in heard), default=session.begins[place])
            if follower is None:
                until = max(until, max(stored, default=0))
            missing = sorted({seq for seq in stored if session.begins[place] < seq <= until} - {e.seq for e in heard})
            if missing:
                yield f"{_name(session)}: {feed} feed: never heard {_listed(missing)}"
            for push in heard:
                kept = stored.get(push.seq)
                if kept is None or (kept.event, kept.at, kept.data) != (push.event, push.at, push.data):
                    yield f"{_name(session)}: {feed} feed: push {push.seq} ({push.event}) is not what the stream holds"
            if follower is not None and follower.resumed is not None and follower.resumed[place] != until:
                yield f"{_name(follower)}: {feed} feed: resumed at {follower.resumed[place]}, but stood at {until}"
        if follower is not None and follower.resumed_epoch == follower.epoch and not follower.recovered:
            yield f"{_name(follower)}: nothing was lost, but it did not recover"


def _name(session: Session) -> str:
    return f"{session.client} at {session.gateway} since {session.opened_at:%H:%M:%S.%f}"


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:10])
    return shown if len(numbers) <= 10 else f"{shown} and {len(numbers) - 10} more"


def _told(history: History) -> Iterator[tuple[str, str]]:
    for message, count in Counter(push.message_id.partition("~")[0] for push in history.stored).items():
        if count > 1:
            yield message.partition(".")[0], f"{message} is stored {count} times"
    told: defaultdict[str, list[Stored]] = defaultdict(list)
    for push in sorted(history.stored, key=lambda push: push.seq):
        told[push.source].append(push)
    for row in history.rows:
        for text in _untold(row, told[row.id], history.lost_until):
            yield row.id, text
    for event in history.events:
        if event.state == "told" and not _excused(event.due_at, history.lost_until) and not told[event.id]:
            yield event.id, "an announcement was never told"
        if event.state == "cancelled" and told[event.id]:
            yield event.id, "an announcement was told although it was taken back"


def _untold(row: Row, pushes: Sequence[Stored], lost_until: datetime | None) -> Iterator[str]:
    places = [push.place for push in pushes]
    if places != sorted(places):
        yield f"told out of order: {', '.join(push.event for push in pushes)}"
    wanted = [(revision,) for revision in range(1, row.revision + 1)] if lost_until is None else []
    if row.state == "completed" and not _excused(row.due_at, lost_until):
        wanted += [(row.revision,), *((row.revision, number) for number in range(1, row.follow_ups + 1))]
    if row.cancelled_at is not None and not _excused(row.cancelled_at, lost_until):
        wanted.append((row.revision,))
    for push in pushes:
        # A row that was taken back to an older copy comes to the same revision twice: the last one has to be told.
        if push.event == CANCELLED and row.cancelled_at is not None and from_rfc3339(push.at) != row.cancelled_at:
            yield f"its cancel at {row.cancelled_at} was never told: revision {row.revision} was told as of {push.at}"
    missing = sorted(set(wanted) - set(places))
    if missing:
        yield f"of {row.revision} revisions never told: {missing}; it is {row.state}"


def _excused(due_at: datetime, lost_until: datetime | None) -> bool:
    """Whether what was due then may have been told into a store that was lost on purpose."""
    return lost_until is not None and due_at <= lost_until


def _epoch_ended(history: History) -> Iterator[tuple[str, str]]:
    if history.epoch in history.gone_back:
        yield "stream", f"epoch {history.epoch} goes on, although what it told was taken back"


def _nothing_pending(history: History) -> Iterator[tuple[str, str]]:
    for row in history.rows:
        if row.state == "building":
            yield row.id, f"it is still building, due at {row.due_at}"
    for event in history.events:
        if event.state == "scheduled":
            yield event.id, f"an announcement still waits, due at {event.due_at}"
    for order in history.queued:
        yield order, "the order still waits for its site"
    for message in history.untold:
        yield message.partition(".")[0], f"{message} still stands in the outbox"
    if history.alarms:
        yield "alarms", f"{history.alarms} alarms are still in the stream"


def _nothing_unaccepted(history: History) -> Iterator[tuple[str, str]]:
    sent = {(order.player, order.id): order for order in history.orders}
    made: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    for entry in history.inbox:
        order = sent.get((entry.player, entry.command_id))
        subject = entry.subject
        if order is None or subject is None or order.command != entry.command:
            yield subject or entry.command_id, f"{entry.player} never ordered {entry.command} {entry.command_id}"
        elif entry.command in STARTING:
            made[subject] += 1
        elif entry.command in ("build.cancel", "build.reschedule"):
            changed[subject] += 1
    for row in history.rows:
        if made[row.id] != 1:
            yield row.id, f"{made[row.id]} orders have made this row"
        ended = 1 if row.state == "completed" else 0
        if row.revision != 1 + changed[row.id] + ended:
            yield row.id, f"revision {row.revision} after {changed[row.id]} accepted changes, and {row.state}"
    known = {row.id for row in history.rows} | {event.id for event in history.events}
    known |= {subject for subject in made if made[subject]}
    for push in history.stored:
        if push.source not in known:
            yield push.source, f"{push.event} tells of a row that is not there"


def _answers_stand(history: History) -> Iterator[tuple[str, str]]:
    inbox = {(entry.player, entry.command_id): entry for entry in history.inbox}
    for order in history.orders:
        entry = inbox.get((order.player, order.id))
        for answer in order.answers:
            if answer.accepted and (entry is None or answer.body != entry.outcome):
                yield _subject(answer.body), f"{order.command} {order.id} was answered otherwise than is remembered"
        yield from _refused_after_acceptance(order)
        if not order.answers:
            yield order.player, f"{order.command} {order.id} was never answered"
        elif order.accepted is None and entry is not None and _refused_for_good(order):
            yield entry.subject or order.id, f"{order.command} {order.id} was refused, but is remembered as carried out"
    rows = {row.id: row for row in history.rows}
    for entry in history.inbox:
        yield from _row_contradicts(entry, rows)


def _refused_after_acceptance(order: Order) -> Iterator[tuple[str, str]]:
    first = order.accepted
    if first is None:
        return
    for answer in order.answers[order.answers.index(first) + 1 :]:
        if not answer.accepted and answer.body["error"]["code"] not in PUT_OFF:
            yield _subject(first.body), f"{order.command} {order.id} was accepted, later refused: {answer.body}"


def _refused_for_good(order: Order) -> bool:
    """Whether the player heard a refusal, not only that it is put off, and has not tried again since.

    It speaks of all attempts before: one that was never answered (it lay in a process that was frozen, say) comes too
    late from then on.
    """
    return any(
        answer.at >= order.sent[-1] and answer.body["error"]["code"] not in PUT_OFF
        for answer in order.answers
        if not answer.accepted
    )


def _row_contradicts(entry: Remembered, rows: dict[str, Row]) -> Iterator[tuple[str, str]]:
    """What an answer said of a build is what the row still says, where nothing could have changed it."""
    built: dict[str, Any] | None = entry.outcome.get("result", {}).get("build")
    row = None if built is None else rows.get(built["id"])
    if built is None or row is None:
        return
    if (built["kind"], built["site"], entry.player) != (row.kind, row.site, row.player):
        yield row.id, "kind, site or player are not those that were answered"
    if from_rfc3339(built["started_at"]) != row.started_at:
        yield row.id, f"it was answered as started at {built['started_at']}, the row says {row.started_at}"
    if built["revision"] >= row.revision - (row.state == "completed") and from_rfc3339(built["due_at"]) != row.due_at:
        yield row.id, f"it was last answered as due at {built['due_at']}, the row says {row.due_at}"


def _one_a_site(history: History) -> Iterator[tuple[str, str]]:
    sites: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in history.rows:
        sites[row.player, row.site].append(row)
    for rows in sites.values():
        # One that took no time at all stands before what begins at that moment.
        rows.sort(key=lambda row: (row.started_at, row.ended_at or row.due_at))
        for before, after in pairwise(rows):
            if before.ended_at is None or before.ended_at > after.started_at:
                yield after.id, f"it began at {after.started_at}, while {before.id} stood there until {before.ended_at}"


def _one_lock_order(history: History) -> Iterator[tuple[str, str]]:
    if history.deadlocks:
        yield "database", f"{history.deadlocks} deadlocks"


def _subject(body: Any) -> str:  # noqa: ANN401 - decoded JSON
    made = body["result"]
    return (made.get("build") or made["queued"])["id"]
