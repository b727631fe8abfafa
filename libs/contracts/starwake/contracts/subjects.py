"""Every NATS subject of Starwake, built and parsed in this one place.

A player id becomes one subject token by percent-encoding each UTF-8 byte outside `[A-Za-z0-9_-]`. The encoding is
injective and its image contains no `.`, `*`, `>` or white space, so no id can reach another player's subjects.
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from starwake.contracts.ids import PlayerId, Revision

AlarmKind = Literal["build", "event"]

COMMANDS = "cmd.>"
TIMER_SET = "timer.set.>"
TIMER_DUE = "timer.due.>"
NOTIFY = "notify.>"
NOTIFY_ALL = "notify.all"
PUSH = "push.>"
PUSH_ALL = "push.all"
REVOKED = "revoked.*"
CONTROL = "control.*.*"
EPOCH_ACTION = "epoch"
"""`control.all.epoch`: the notification stream began a new epoch, which is the body."""
OPS = "ops.>"

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_ESCAPES = tuple(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in range(256))
_PLAIN = re.compile(r"[A-Za-z0-9_-]+\Z")
_TOKEN = re.compile(r"(?:[A-Za-z0-9_-]|%[0-9A-F]{2})+\Z")
_NAME = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*\Z")
_ALARM = re.compile(r"timer\.(?:set|due)\.(build|event)\.([0-9a-f-]{36})\.r([1-9][0-9]{0,9})\Z")

MAX_NAME_CHARACTERS = 64


class AlarmKey(NamedTuple):
    """Which alarm: the kind and id of the row that it wakes, and the row's revision that it was set for."""

    kind: AlarmKind
    id: str
    revision: Revision


def encode_player(player: PlayerId) -> str:
    """The subject token of `player`.

    Raises:
        ValueError: `player` is empty (a subject has no empty tokens) or cannot be encoded as UTF-8.
    """
    if _PLAIN.match(player):
        return player
    if not player:
        raise ValueError("a player id is never empty")
    return "".join([_ESCAPES[byte] for byte in player.encode()])


def decode_player(token: str) -> PlayerId:
    """The player whose token this is; the inverse of `encode_player`.

    Raises:
        ValueError: no player has this token.
    """
    if _PLAIN.match(token):
        return PlayerId(token)
    if not _TOKEN.match(token):
        raise ValueError(f"not a player token: {token!r}")
    player = PlayerId(unquote_to_bytes(token).decode())
    if encode_player(player) != token:
        raise ValueError(f"not the canonical token of a player: {token!r}")
    return player


def is_name(text: str) -> bool:
    """Whether `text` may name a command or an event: dotted lower-case words, at most 64 characters."""
    return len(text) <= MAX_NAME_CHARACTERS and _is_dotted(text)


# The few names that there are come with every frame, several times each; what else clients make up falls out again.
@lru_cache(maxsize=1024)
def _is_dotted(text: str) -> bool:
    return _NAME.match(text) is not None


def command(player: PlayerId, name: str) -> str:
    """Where `player`'s command `name` (such as `build.start`) is requested: `cmd.ada.build.start`."""
    return f"cmd.{encode_player(player)}.{_checked(name)}"


def command_pattern(name: str) -> str:
    """Where every player's command `name` arrives: `cmd.*.build.start`."""
    return f"cmd.*.{_checked(name)}"


def parse_command(subject: str) -> tuple[PlayerId, str]:
    """The player and the command's name of a `cmd.` subject.

    Raises:
        ValueError: not such a subject.
    """
    return _parse_players("cmd", subject)


def timer_set(key: AlarmKey) -> str:
    """Where the schedule of an alarm is stored; versioned by revision, never replaced in place."""
    return f"timer.set.{key.kind}.{key.id}.r{key.revision}"


def timer_due(key: AlarmKey) -> str:
    """Where an alarm arrives when it fires."""
    return f"timer.due.{key.kind}.{key.id}.r{key.revision}"


def parse_alarm(subject: str) -> AlarmKey:
    """The alarm that a `timer.set` or `timer.due` subject speaks of.

    Raises:
        ValueError: not such a subject.
    """
    match = _ALARM.match(subject)
    if match is None:
        raise ValueError(f"not an alarm subject: {subject!r}")
    kind: AlarmKind = "build" if match[1] == "build" else "event"
    return AlarmKey(kind, match[2], Revision(int(match[3])))


def notify(player: PlayerId | None) -> str:
    """Where a push to `player`, or to everybody (None), is stored."""
    return NOTIFY_ALL if player is None else f"notify.player.{encode_player(player)}"


def push(player: PlayerId | None) -> str:
    """Where a stored push to `player`, or to everybody (None), is republished to the gateways."""
    return PUSH_ALL if player is None else f"push.player.{encode_player(player)}"


def control(player: PlayerId, action: str) -> str:
    """Where gateways hear of `action` (such as `revoke`) on a player's sessions."""
    return f"control.{encode_player(player)}.{_checked(action)}"


def parse_control(subject: str) -> tuple[PlayerId, str]:
    """The player and the action of a `control.` subject.

    Raises:
        ValueError: not such a subject.
    """
    return _parse_players("control", subject)


def revoked(player: PlayerId) -> str:
    """Where the latest revocation of a player's tokens is stored; republished as `control.<player>.revoke`."""
    return f"revoked.{encode_player(player)}"


def parse_revoked(subject: str) -> PlayerId:
    """The player of a `revoked.` subject.

    Raises:
        ValueError: not such a subject.
    """
    prefix, _, token = subject.partition(".")
    if prefix != "revoked":
        raise ValueError(f"not a revoked subject: {subject!r}")
    return decode_player(token)


def ops(name: str) -> str:
    """Where operators and game code ask for `name` (such as `announce`)."""
    return f"ops.{_checked(name)}"


def _parse_players(kind: str, subject: str) -> tuple[PlayerId, str]:
    prefix, _, rest = subject.partition(".")
    token, _, name = rest.partition(".")
    if prefix != kind or not is_name(name):
        raise ValueError(f"not a {kind} subject: {subject!r}")
    return decode_player(token), name


def _checked(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"not a dotted lower-case name: {name!r}")
    return name
