"""PURE: a readable story of the build (or player) that a violation speaks of."""

from collections.abc import Iterator
from datetime import UTC, datetime

from tests.chaos.history import Answered, ClientEntry, ClientLog, History, Joined, Left, Ordered, Pushed
from tests.chaos.oracle import Violation

_AROUND_S = 3.0
_LONGEST = 120


def told(history: History, violations: list[Violation], seed: int) -> str:
    """What went wrong, the first of it with its whole story."""
    lines = [f"seed {seed}: {len(violations)} promises were broken"]
    lines += [
        f"  - {each.promise}: {each.how}" + (f" (build {each.build})" if each.build else "") for each in violations[:20]
    ]
    for violation in violations[:2]:
        lines += ["", f"The story of '{violation.promise}', {violation.build or violation.player or ''}:"]
        lines += story(history, violation)
    return "\n".join(lines)


def story(history: History, violation: Violation) -> list[str]:
    """In the order of time: what clients did and saw, what the stream stored, what was sabotaged around it."""
    events = sorted(_events(history, violation))
    moments = [at for at, _ in events]
    if moments:
        begin, end = min(moments) - _AROUND_S, max(moments) + _AROUND_S
        events += [(each.at, f"SABOTAGE  {each.what}") for each in history.sabotage if begin <= each.at <= end]
    lines = [f"  {_clock(at)}  {text}" for at, text in sorted(events)]
    if len(lines) > _LONGEST:
        lines = [*lines[: _LONGEST // 2], f"  ... {len(lines) - _LONGEST} lines ...", *lines[-_LONGEST // 2 :]]
    row = next((row for row in history.rows if row.id == violation.build), None)
    return [*lines, f"  at the end the row is {row}"] if row else lines


def _events(history: History, violation: Violation) -> Iterator[tuple[float, str]]:
    for client in history.clients:
        if violation.build is None and client.player != violation.player:
            continue
        commands = _commands_of(client, violation.build)
        for entry in client.entries:
            text = _text(entry, violation.build, commands)
            if text is not None:
                yield entry.at, f"{client.name:<12} {text}"
    for player, feed in history.feeds.items():
        for push in feed:
            if push.message_id.startswith(violation.build) if violation.build else player == violation.player:
                yield push.stored_at, f"STREAM    stored {push.seq}: {push.event} {push.message_id}"


def _commands_of(client: ClientLog, build: str | None) -> set[str]:
    """Ids of the commands that concern `build`: those that name it, and the one that made it."""
    ids: set[str] = set()
    for entry in client.entries:
        if isinstance(entry, Ordered):
            concerned = build is None or entry.args.get("build_id") == build
        else:
            concerned = isinstance(entry, Answered) and build is not None and build in str(entry.result)
        if concerned and isinstance(entry, Ordered | Answered):
            ids.add(entry.command_id)
    return ids


def _text(entry: ClientEntry, build: str | None, commands: set[str]) -> str | None:
    match entry:
        case Ordered() if entry.command_id in commands:
            return f"asks {entry.command} {entry.args} [{entry.command_id[-6:]}]"
        case Answered() if entry.command_id in commands:
            return f"is answered {entry.error or entry.result} [{entry.command_id[-6:]}]"
        case Pushed() if build is None or build in str(entry.data):
            return f"gets push {entry.seq} (prev {entry.prev}) {entry.event}"
        case Joined() if build is None:
            return f"joins: seq {entry.seq}, recovered {entry.recovered}, epoch {entry.epoch}"
        case Left() if build is None:
            return f"leaves: {entry.why}"
        case _:
            return None


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
