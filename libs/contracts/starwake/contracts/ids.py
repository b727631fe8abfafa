"""Identifiers, each a type of its own so that one cannot be passed for another."""

import re
from random import getrandbits
from typing import NewType

import uuid_utils

PlayerId = NewType("PlayerId", str)
"""Who plays: the `sub` of the token, any non-empty string of at most 255 UTF-8 bytes, save U+0000."""

BuildId = NewType("BuildId", str)
"""A UUIDv7 (RFC 9562, 5.7) in its canonical form, so ids sort by the time they were made."""

CommandId = NewType("CommandId", str)
"""The client's own id of one command, 1 to 64 characters; the idempotency key."""

SessionId = NewType("SessionId", str)
"""One WebSocket session, unique over all gateways."""

Revision = NewType("Revision", int)
"""Grows by one with each transition of a build or world event; the first state is 1."""

Seq = NewType("Seq", int)
"""A position in the NOTIFICATIONS stream; 0 where there is none yet."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MAX_PLAYER_BYTES = 255
MAX_COMMAND_ID_CHARACTERS = 64
MAX_REVISION = 2**31 - 1
"""The column's type."""


def new_id() -> str:
    """A fresh UUIDv7: sortable by time, unique without coordination."""
    return str(uuid_utils.uuid7())


def new_push_id(source: str, revision: int, *numbers: int) -> str:
    """A fresh message id for one push: `<row id>.<revision>[.<n>]~<nonce>`, made once, when its row is written.

    The first part alone names another content once the table was restored from an older copy: the revisions come again.
    """
    # No secret: it only has to differ from the one that another life of the table gave the same row and revision.
    nonce = f"{getrandbits(40):010x}"
    if numbers:
        return f"{source}.{revision}.{'.'.join(map(str, numbers))}~{nonce}"
    return f"{source}.{revision}~{nonce}"


def push_place(message_id: str) -> tuple[str, int] | None:
    """The row and the revision that a push's message id names; None where it is none of ours."""
    source, _, rest = message_id.partition("~")[0].partition(".")
    revision = rest.partition(".")[0]
    return (source, int(revision)) if revision.isdecimal() and revision.isascii() else None


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its canonical form: 32 lower-case hexadecimal digits in five groups."""
    return _UUID.fullmatch(text) is not None


def is_player_id(text: str) -> bool:
    """Whether `text` may be a player id: not empty, encodable, at most 255 UTF-8 bytes, and without U+0000.

    That one character is the only one that Postgres cannot hold in a text (its documentation, 8.3).
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # lone surrogates, which JSON can spell and UTF-8 cannot
        return False
    return 0 < size <= MAX_PLAYER_BYTES and "\0" not in text
