"""PURE: the story of one build, event or client - rows, orders, pushes, frames and kills on one timeline."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.chaos.history import History
from tests.chaos.oracle import Violation

_AROUND = timedelta(seconds=2)
_STORIES = 3
_LISTED = 20


def report(seed: int | str, history: History, violations: Sequence[Violation]) -> str:
    """All that a person needs to begin: the seed, what was broken, and the stories of the first few concerned."""
    lines = [
        f"seed {seed}: {len(violations)} violations",
        *_epochs(history),
        *(str(each) for each in violations[:_LISTED]),
    ]
    if len(violations) > _LISTED:
        lines.append(f"... and {len(violations) - _LISTED} more")
    for subject in list(dict.fromkeys(each.subject for each in violations))[:_STORIES]:
        lines += ["", *tell(history, subject)]
    return "\n".join(lines)


def _epochs(history: History) -> Iterator[str]:
    if history.gone_back:
        yield f"taken back to an older copy in epoch {', '.join(history.gone_back)}; the epoch is now {history.epoch}"


def tell(history: History, subject: str) -> list[str]:
    """The story of `subject`, line by line, oldest first."""
    own = sorted(_own(history, subject), key=lambda each: each[0])
    if not own:
        return [f"of {subject} nothing is known"]
    begin, end = own[0][0] - _AROUND, own[-1][0] + _AROUND
    harm = ((each.at, f"        {each.what}") for each in history.happenings if begin <= each.at <= end)
    lines = sorted([*own, *harm], key=lambda each: each[0])
    return [f"the story of {subject}:", *(f"{at:%H:%M:%S.%f} {text}" for at, text in lines), *_state(history, subject)]


def _own(history: History, subject: str) -> Iterator[tuple[datetime, str]]:
    yield from _orders(history, subject)
    for push in history.stored:
        if push.source == subject:
            yield push.stored_at, f"stored  {push.message_id} {push.event} as {push.seq} for {push.player or 'all'}"
    for session in history.sessions:
        whole = session.client == subject
        if whole:
            resumed = f"resumed at {session.resumed}" if session.resumed else "began live"
            recovered = {True: "recovered", False: "NOT recovered", None: ""}[session.recovered]
            yield (
                session.opened_at,
                f"hello   {session.client} at {session.gateway}, {resumed} {recovered}, stands {session.stands}",
            )
            if session.closed_at is not None:
                yield session.closed_at, f"closed  {session.client}: {session.closed_why}"
        for heard in session.heard:
            if whole or _speaks_of(heard.data, subject):
                yield (
                    heard.received_at,
                    f"heard   {session.client}: {heard.feed} {heard.seq} after {heard.prev}: {heard.event}",
                )


def _orders(history: History, subject: str) -> Iterator[tuple[datetime, str]]:
    for order in history.orders:
        bodies = [answer.body for answer in order.answers]
        if order.args.get("build_id") == subject or any(_speaks_of(body.get("result", {}), subject) for body in bodies):
            for at in order.sent:
                yield at, f"sent    {order.command} {dict(order.args)} as {order.id}"
            for answer in order.answers:
                yield answer.at, f"answer  {order.command} {order.id}: {dict(answer.body)}"


def _speaks_of(data: Any, subject: str) -> bool:  # noqa: ANN401 - decoded JSON
    things: Iterable[Any] = (data.get("build"), data.get("queued"))
    return data.get("build_id") == subject or any(thing and thing["id"] == subject for thing in things)


def _state(history: History, subject: str) -> Iterator[str]:
    for row in history.rows:
        if row.id == subject:
            yield f"row     {row}"
    for event in history.events:
        if event.id == subject:
            yield f"event   {event}"
    for message in history.untold:
        if message.startswith(subject):
            yield f"outbox  {message}"
