"""PURE: judges a batch of requests by what was loaded for it, one after the other."""

from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, cast

import msgspec

from starwake.contracts.alarms import Alarm, build_alarm
from starwake.contracts.batches import Ask, InboxEntry, Loaded, PlayerRows, Remembered, Told, Writes
from starwake.contracts.builds import BuildState
from starwake.contracts.commands import REFUSALS_HEADER
from starwake.contracts.events import BUILD_QUEUED, BUILD_UNQUEUED, Notification, build_event, encode_body
from starwake.contracts.frames import error_body, result_body
from starwake.contracts.ids import CommandId, PlayerId, Revision, is_uuid, new_push_id
from starwake.contracts.queued import QueuedOrder
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.contracts.subjects import AlarmKey
from starwake.game.requests import Request
from starwake.game.rules import Outcome, Player, UnreadError, World, kinds_asked
from starwake.game.sound import UnsoundError, check, sound_refusal

ACCEPTED = "accepted"
REPEATED = "repeated"
ASKED_BACK = "asked_back"


class Answer(msgspec.Struct, frozen=True):
    """What a request is answered; `outcome` is `accepted`, `repeated`, `asked_back` or an error code.

    `error` is set for the last two.
    """

    body: bytes
    outcome: str
    error: tuple[str, str] | None = None
    headers: Mapping[str, str] | None = None
    follows: tuple[str, ...] = ()
    """The traces of earlier orders whose builds it changed or started; empty where the request is not traced."""


@dataclass(slots=True)
class Decision:
    """What a batch comes to: an answer for each request in its order, and what is written and then armed."""

    answers: list[Answer] = field(default_factory=list[Answer])
    writes: Writes = field(default_factory=Writes)
    unread: list[Ask] = field(default_factory=list[Ask])
    """What has to be read besides before the batch can be judged; nothing of this decision holds then."""

    def refuse(self, key: tuple[PlayerId, CommandId], refusal: Refusal, loaded: Loaded) -> None:
        """Refuse an order, and have that counted: an earlier attempt that is still on its way comes too late now."""
        loaded.refusals[key] = self.writes.refusals[key] = loaded.refusals.get(key, 0) + 1
        self.answers.append(refused(refusal))

    def alarms(self) -> list[Alarm]:
        """The alarms to be set once this is committed."""
        builds = (*self.writes.started.values(), *self.writes.changed.values())
        return [build_alarm(build) for build in builds if build.state is BuildState.BUILDING]

    def outdated(self) -> list[AlarmKey]:
        """The alarms that wake nothing any more once this is committed."""
        expected = self.writes.expected
        return [AlarmKey("build", build, Revision(revision)) for build, revision in expected.items()]

    def moved_on(self) -> list[tuple[str, int]]:
        """(id, revision) of what something may have yet to be told of from before: changed builds, orders that waited.

        Not even "queued" is told after "started" or "unqueued".
        """
        moved: list[tuple[str, int]] = [(build.id, build.revision) for build in self.writes.changed.values()]
        return [*moved, *((order, 1) for order in self.writes.unqueued)]


def refused(refusal: Refusal) -> Answer:
    """The answer to what was refused."""
    body = error_body(refusal.code, refusal.message, refusal.retry_after_ms)
    return Answer(body, refusal.code.value, (refusal.code.value, refusal.message))


def ask_of(request: Request, world: World) -> Ask:
    """What has to be read before `request` can be judged."""
    args, order = request.args, request.order
    return Ask(
        request.player,
        request.command_id,
        site if isinstance(site := getattr(args, "site", None), str) else None,
        build_id if isinstance(build_id := getattr(args, "build_id", None), str) and is_uuid(build_id) else None,
        kinds_asked(order, args, world.catalogue),
        order.queue,
    )


def decide(
    requests: Sequence[Request],
    loaded: Loaded,
    world: World,
    failed: Callable[[Request, Exception], None],
    *,
    may_read_more: bool = False,
) -> Decision:
    """Judge a batch. The picture of each player moves on with every order that is accepted.

    An order is judged only where its sender knows of all its refusals (`REFUSALS_HEADER`), else asked back.

    Args:
        requests: in the order of their arrival.
        loaded: what the table and the inbox say; the rows' picture is used up.
        world: catalogue and completions.
        failed: told of an order whose rule raised something else than `Refusal`, or answered with what cannot be
            stored or told: a mistake in the game's code, which is answered `internal` and costs that order alone.
        may_read_more: whether a rule may still ask for a site or a build that was not read (`Decision.unread`).
    """
    decision = Decision()
    players: dict[PlayerId, Player] = {}
    for request in requests:
        key = (request.player, request.command_id)
        remembered = loaded.remembered.get(key)
        if remembered is not None:
            decision.answers.append(_again(request, remembered))
            continue
        refusals = loaded.refusals.get(key, 0)
        if request.refusals != refusals:
            decision.answers.append(_ask_back(refusals))
            continue
        rows = loaded.players.get(request.player)
        if rows is None:
            rows = loaded.players[request.player] = PlayerRows()
        player = players.get(request.player)
        if player is None:
            player = players[request.player] = Player(request.player, loaded.now, rows, world)
        judged = _judged(request, player, rows, loaded.now)
        if isinstance(judged, Refusal):
            unread = judged.__cause__
            if may_read_more and isinstance(unread, UnreadError):
                decision.unread.append(
                    msgspec.structs.replace(ask_of(request, world), site=unread.site, build_id=unread.build_id)
                )
                continue
            if judged.code is ErrorCode.INTERNAL and isinstance(judged.__cause__, Exception):
                failed(request, judged.__cause__)
            decision.refuse(key, judged, loaded)
            continue
        player.apply(judged.outcome)
        _record(decision.writes, request, judged, loaded)
        follows = () if request.trace is None else _follows(judged.outcome, request.trace)
        decision.answers.append(Answer(judged.body, ACCEPTED, follows=follows))
    return decision


class _Judged(NamedTuple):
    """An accepted order, with all that it tells encoded already."""

    outcome: Outcome
    body: bytes
    told: list[Told]


def _judged(request: Request, player: Player, rows: PlayerRows, now: datetime) -> _Judged | Refusal:
    """What comes of one order; nothing is kept of it yet. A fault in the game's code is the refusal's cause."""
    try:
        try:
            outcome = player.decide(request.order, request.args, request.trace)
        except Refusal as refusal:
            sound = sound_refusal(refusal)
            refused(sound)
            return sound
        if not isinstance(cast("object", outcome), Outcome):
            raise UnsoundError(f"a rule answers with an Outcome, not {outcome!r:.80}")  # noqa: TRY301 - a fault as all
        body = result_body(outcome.result)
        check(outcome, body, request.player, rows)
        return _Judged(outcome, body, _told(request, outcome, now))
    except (Exception, SystemExit, CancelledError) as error:  # noqa: BLE001 - reported, see `decide`
        # Neither of the latter two can come from anywhere else: nothing here waits.
        fault = Refusal(ErrorCode.INTERNAL, "this order could not be carried out")
        fault.__cause__ = (
            error if isinstance(error, Exception) else UnsoundError(f"a rule raised {type(error).__name__}")
        )
        return fault


def _again(request: Request, remembered: Remembered) -> Answer:
    if remembered.command != request.order.command or remembered.fingerprint != request.fingerprint:
        return refused(Refusal(ErrorCode.ID_REUSED, "this id was used for another command or other arguments"))
    return Answer(remembered.outcome, REPEATED)


def _ask_back(refusals: int) -> Answer:
    error = Refusal(ErrorCode.UNAVAILABLE, "this order was refused meanwhile; try again")
    return msgspec.structs.replace(refused(error), outcome=ASKED_BACK, headers={REFUSALS_HEADER: str(refusals)})


def _record(writes: Writes, request: Request, judged: _Judged, loaded: Loaded) -> None:
    key = (request.player, request.command_id)
    outcome, name, body = judged.outcome, request.order.command, judged.body
    loaded.remembered[key] = Remembered(name, request.fingerprint, body)
    writes.inbox.append(InboxEntry(request.player, CommandId(request.command_id), name, request.fingerprint, body))
    writes.outbox.extend(judged.told)
    for build, _, _ in outcome.transitions:
        if build.revision == 1 or build.id in writes.started:
            writes.started[build.id] = build
        else:
            writes.expected.setdefault(build.id, build.revision - 1)
            writes.changed[build.id] = build
    for order in outcome.queued:
        writes.queued[order.id] = order
    writes.unqueued.extend(order.id for order in outcome.unqueued)
    writes.unqueued.extend(order.id for order in outcome.started_from_queue)


def _told(request: Request, outcome: Outcome, now: datetime) -> list[Told]:
    trace = request.trace
    told = [
        Told(build_event(event, at, build, trace), build.id, build.revision, at)
        for build, event, at in outcome.transitions
    ]
    told += [_queue_event(BUILD_QUEUED, new_push_id(order.id, 0), order, now, trace) for order in outcome.queued]
    told += [_queue_event(BUILD_UNQUEUED, new_push_id(order.id, 0, 1), order, now, trace) for order in outcome.unqueued]
    return told


def _queue_event(event: str, message_id: str, order: QueuedOrder, now: datetime, trace: str | None) -> Told:
    body = encode_body(event, now, {"queued": order.view()})
    return Told(Notification(message_id, order.player, body, trace), order.id, 0, now)


def _follows(outcome: Outcome, trace: str) -> tuple[str, ...]:
    rows = (*(build for build, _, _ in outcome.transitions), *outcome.unqueued)
    return tuple({row.trace: None for row in rows if row.trace is not None and row.trace != trace})
