"""`starwake set-aside`: pushes that the stream could never take; list them, have them tried again, drop them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from starwake.cli.connections import connected_database
from starwake.cli.errors import EXIT_USAGE, CliError
from starwake.contracts.times import to_rfc3339
from starwake.store import outbox
from starwake.store.errors import StoreError

_LISTED = 1000
Action = Literal["list", "retry", "drop"]


async def set_aside(action: Action, ids: Sequence[int], data: Path, *, every: bool) -> dict[str, Any]:
    """List what was set aside, or have some of it (`every`: all of it) tried again or dropped; as `--json` prints it.

    Raises:
        CliError: Postgres cannot be reached, it is not said which, or one of them is not set aside (then none is
            touched).
    """
    if action == "list":
        if ids or every:
            raise CliError("`list` takes neither ids nor --all", EXIT_USAGE)
    elif bool(ids) == every:
        raise CliError(f"say which: `starwake set-aside {action} ID ...`, or --all", EXIT_USAGE)
    try:
        async with connected_database(data) as database, database.transaction() as connection:
            if action == "list":
                total, listed = await outbox.list_set_aside(connection, _LISTED)
                return {"set_aside": total, "pushes": [_as_json(push) for push in listed]}
            found = await outbox.lock_set_aside(connection, None if every else ids)
            if missing := sorted(set(ids) - set(found)):
                raise CliError(f"not set aside: {', '.join(map(str, missing))}; nothing was changed")
            change = outbox.retry_set_aside if action == "retry" else outbox.drop_set_aside
            await change(connection, found)
    except StoreError as error:
        raise CliError(f"it is not known to be done, try again: {error}") from error
    return {"action": action, "ids": found}


def described(found: dict[str, Any]) -> list[str]:
    """The answer for people."""
    if "pushes" not in found:
        done = "will be tried again within seconds" if found["action"] == "retry" else "dropped, never to be told"
        return [f"{len(found['ids'])} pushes {done}"]
    if not found["pushes"]:
        return ["nothing is set aside"]
    lines = [
        f"{push['id']:>8}  {push['created_at']}  {push['event']} to {push['player'] or 'all'}, {push['bytes']} bytes"
        f" ({push['message_id']})\n          {push['reason']}"
        for push in found["pushes"]
    ]
    more = found["set_aside"] - len(found["pushes"])
    return [*lines, *([f"... and {more} more"] if more > 0 else [])]


def _as_json(push: outbox.SetAside) -> dict[str, Any]:
    return {
        "id": push.id,
        "message_id": push.message_id,
        "player": push.player,
        "event": push.event,
        "bytes": push.payload_bytes,
        "created_at": to_rfc3339(push.created_at),
        "reason": push.reason,
    }
