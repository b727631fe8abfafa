"""A batch of orders in one transaction: reads what it needs to know, writes what it changes.

The rules (`starwake.game`) stand between `load_batch` and `write_batch`, and see neither.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

from starwake.contracts.batches import Ask, Busy, Loaded, PlayerRows, Remembered, Writes
from starwake.contracts.builds import BuildRecord
from starwake.contracts.ids import CommandId, PlayerId
from starwake.contracts.queued import QueuedOrder
from starwake.contracts.times import to_rfc3339
from starwake.store.builds import build_from_row, encode_follow_ups, queued_from_row
from starwake.store.database import Connection
from starwake.store.errors import StoreConflict, StoreError
from starwake.store.outbox import trace_column
from starwake.store.sql import load

_SQL = load("orders")
_SEPARATOR = "\x1f"
COUNTED_EACH_TIME: Final = 500
"""Up to so many builds of a player are counted for each batch, in a fraction of a millisecond; more are noted."""


def player_lock(player: str) -> int:
    """The advisory lock's key of a player: 64 bits, signed. Two players may share one; they then wait needlessly."""
    return int.from_bytes(blake2b(player.encode(), digest_size=8, person=b"player").digest(), signed=True)


async def load_batch(connection: Connection, asks: Sequence[Ask], *, count_up_to: int) -> Loaded:
    """Lock the players (and the builds that may change), then read what the orders need. Inside a transaction.

    Three statements, since a READ COMMITTED statement sees what was committed before it began: what the others did
    while we waited for the locks is visible only to the ones after.
    """
    await connection.execute(_SQL.lock_players, sorted({player_lock(ask.player) for ask in asks}))
    locked = await _lock_builds(connection, asks)
    rows = await connection.fetch(
        _SQL.load_orders,
        [ask.player for ask in asks],
        [ask.command_id for ask in asks],
        [ask.site for ask in asks],
        count_up_to,
        _first_of_each(asks),
    )
    loaded = Loaded(rows[0][0], {}, {})
    for ask, (_, command, fingerprint, outcome, refused, kind, free_at, builds, noted) in zip(asks, rows, strict=True):
        player = loaded.players.get(ask.player)
        if player is None:
            player = loaded.players[ask.player] = PlayerRows(builds, noted, sites=set(), ids=set())
        if command is not None:
            loaded.remembered[ask.player, ask.command_id] = Remembered(command, fingerprint, outcome.encode())
        elif refused is not None:
            loaded.refusals[ask.player, ask.command_id] = refused
        _note_asked(player, ask)
        if ask.site is not None and kind is not None:
            player.busy[ask.site] = Busy(kind, free_at)
    for build in locked:
        # Locked by its id, which is the client's word: it may be another player's.
        if build.player in loaded.players:
            loaded.players[build.player].by_id[build.id] = build
    await _load_standing(connection, asks, loaded)
    await _load_queues(connection, asks, loaded)
    return loaded


async def note_held(connection: Connection, players: Mapping[PlayerId, PlayerRows]) -> None:
    """Note how many builds those players have who have many, as their orders leave them. In the same transaction."""
    many = sorted((player, rows) for player, rows in players.items() if rows.noted or rows.builds > COUNTED_EACH_TIME)
    if many:
        await connection.execute(
            _SQL.note_held,
            [player for player, _ in many],
            [rows.builds for _, rows in many],
            [not rows.noted for _, rows in many],
        )


async def write_batch(connection: Connection, writes: Writes) -> list[int]:
    """Write what the rules decided; returns the outbox rows' ids, in the order of `writes.outbox`.

    Raises:
        StoreConflict: a row is not as it was when it was read, or the site was taken: judge the batch again.
    """
    if writes.refusals:
        await _count_refusals(connection, writes.refusals)
    if writes.unqueued:
        # What was queued and withdrawn in this very batch has no row yet.
        ids = [order for order in writes.unqueued if writes.queued.pop(order, None) is None]
        if await connection.execute(_SQL.delete_queued, ids) != f"DELETE {len(ids)}":
            raise StoreConflict("a queued order was started or withdrawn meanwhile")
    if writes.changed:
        # Before the INSERT, in a statement of its own: a site that is freed here may be built on by a later order.
        await _change(connection, writes)
    if not writes.inbox:
        return []
    ids = await _insert(connection, writes)
    if writes.queued:
        await _enqueue(connection, list(writes.queued.values()))
    return ids


def _note_asked(player: PlayerRows, ask: Ask) -> None:
    if ask.site is not None and player.sites is not None:
        player.sites.add(ask.site)
    if ask.build_id is not None and player.ids is not None:
        player.ids.add(ask.build_id)


def _first_of_each(asks: Sequence[Ask]) -> list[bool]:
    seen: set[PlayerId] = set()
    return [not (ask.player in seen or seen.add(ask.player)) for ask in asks]


async def _lock_builds(connection: Connection, asks: Sequence[Ask]) -> list[BuildRecord]:
    ids = list({ask.build_id for ask in asks if ask.build_id is not None})
    sites = [(ask.player, ask.site) for ask in asks if ask.queue and ask.site is not None]
    if not ids and not sites:
        return []
    rows = await connection.fetch(_SQL.lock_builds, ids, [player for player, _ in sites], [site for _, site in sites])
    return [build_from_row(row, row["duration_ms"]) for row in rows]


async def _load_standing(connection: Connection, asks: Sequence[Ask], loaded: Loaded) -> None:
    wanted = list({(ask.player, kind) for ask in asks for kind in ask.kinds})
    if not wanted:
        return
    players, kinds = zip(*wanted, strict=True)
    for player, kind in await connection.fetch(_SQL.load_standing, players, kinds):
        loaded.players[player].standing.add(kind)


async def _load_queues(connection: Connection, asks: Sequence[Ask], loaded: Loaded) -> None:
    players = list({ask.player for ask in asks if ask.queue})
    if not players:
        return
    for row in await connection.fetch(_SQL.load_queues, players):
        order = queued_from_row(row)
        loaded.players[order.player].queues.setdefault(order.site, []).append(order)


async def _count_refusals(connection: Connection, refusals: Mapping[tuple[PlayerId, CommandId], int]) -> None:
    await connection.execute(
        _SQL.count_refusals,
        [player for player, _ in refusals],
        [command_id for _, command_id in refusals],
        list(refusals.values()),
    )


async def _change(connection: Connection, writes: Writes) -> None:
    builds = list(writes.changed.values())
    status = await connection.execute(
        _SQL.change_builds,
        [build.id for build in builds],
        [writes.expected[build.id] for build in builds],
        [build.state.value for build in builds],
        [build.revision for build in builds],
        [build.due_at for build in builds],
        [build.cancelled_at for build in builds],
        [build.duration_ms for build in builds],
    )
    if status != f"UPDATE {len(builds)}":
        raise StoreConflict("a build was completed or changed meanwhile")


async def _insert(connection: Connection, writes: Writes) -> list[int]:
    builds = list(writes.started.values())
    inbox, outbox = writes.inbox, writes.outbox
    rows = await connection.fetch(
        _SQL.insert_orders,
        _joined([build.id for build in builds]),
        [build.player for build in builds],
        _joined([build.kind for build in builds]),
        _joined([build.site for build in builds]),
        _joined([build.state.value for build in builds]),
        _joined([str(build.revision) for build in builds]),
        _joined([to_rfc3339(build.started_at) for build in builds]),
        _joined([to_rfc3339(build.due_at) for build in builds]),
        _joined([to_rfc3339(build.cancelled_at) if build.cancelled_at else "" for build in builds]),
        _joined([encode_follow_ups(build.follow_ups) or "" for build in builds]),
        _joined([build.trace or "" for build in builds]),
        [entry.player for entry in inbox],
        [entry.command_id for entry in inbox],
        _joined([entry.command for entry in inbox]),
        [entry.fingerprint for entry in inbox],
        _joined([entry.outcome.decode() for entry in inbox]),
        _joined([entry.notification.message_id for entry in outbox]),
        _joined([entry.source_id for entry in outbox]),
        _joined([str(entry.revision) for entry in outbox]),
        [entry.notification.player for entry in outbox],
        _joined([entry.notification.body.decode() for entry in outbox]),
        _joined([to_rfc3339(entry.tell_at) for entry in outbox]),
        trace_column([entry.notification for entry in outbox]),
        _SEPARATOR,
    )
    ids = {message_id: row_id for row_id, message_id in rows}
    return [ids[entry.notification.message_id] for entry in outbox]


def _joined(values: Sequence[str]) -> str:
    """A column as one text, which `insert_orders` splits again: asyncpg takes as long for two values of an array.

    Only for what we have written ourselves, JSON included: no U+001F can be in it, as it can in what clients choose.

    Raises:
        StoreError: it is in it all the same.
    """
    text = _SEPARATOR.join(values)
    if text.count(_SEPARATOR) != max(0, len(values) - 1):
        raise StoreError("U+001F in a column of a batch")
    return text


async def _enqueue(connection: Connection, orders: list[QueuedOrder]) -> None:
    await connection.execute(
        _SQL.insert_queued,
        [order.id for order in orders],
        [order.player for order in orders],
        [order.site for order in orders],
        [order.kind for order in orders],
        [order.duration_ms for order in orders],
        [encode_follow_ups(order.follow_ups) for order in orders],
        [order.trace for order in orders],
        [order.created_at for order in orders],
    )
