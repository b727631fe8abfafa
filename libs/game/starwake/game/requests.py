"""PURE: from a message's subject and body to an order that can be judged. Whoever sent it is not trusted."""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from starwake.contracts.frames import MAX_FRAME_BYTES, Command, decode_command, is_command_id
from starwake.contracts.ids import CommandId, PlayerId, is_player_id
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.contracts.sites import MAX_SITE_CHARACTERS, normal_site
from starwake.contracts.subjects import parse_command
from starwake.game.declare import Order

FINGERPRINT_BYTES: Final = 16
# W3C Trace Context, 3.2.2
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
_COUNT: Final = re.compile(r"[0-9]{1,9}\Z")
_ESCAPED_NUL: Final = b"\\u0000"
_NUL: Final = "the character U+0000 cannot be stored"
_any_decoder = msgspec.json.Decoder()
_canonical_encoder = msgspec.json.Encoder(order="deterministic")


class Request(msgspec.Struct):
    """One order as it came in.

    Attributes:
        fingerprint: a hash of the arguments, in whatever order they were written.
        refusals: of how many refusals of this very order the sender knows.
    """

    player: PlayerId
    command_id: CommandId
    order: Order
    args: Any
    fingerprint: bytes
    trace: str | None = None
    refusals: int = 0


class OrderParser:
    """Reads the requests of the orders that there are; each order's arguments have a decoder of their own."""

    def __init__(self, orders: Mapping[str, Order]) -> None:
        self._orders = {name: (order, msgspec.json.Decoder(order.args)) for name, order in orders.items()}

    def parse(self, subject: str, payload: bytes, traceparent: str | None = None) -> Request:
        """The order in a message.

        Raises:
            Refusal: bad_json, bad_request, unknown_command.
        """
        player, name, command = read_frame(subject, payload)
        known = self._orders.get(name)
        if known is None:
            raise Refusal(ErrorCode.UNKNOWN_COMMAND, f"there is no command {name!r}")
        order, decoder = known
        if command.id is None or not is_command_id(command.id):
            raise Refusal(ErrorCode.BAD_REQUEST, "an order needs an id of 1 to 64 characters")
        refuse_nul(command.id)
        args = _with_normal_site(decode_args(decoder, command))
        if _ESCAPED_NUL in bytes(command.args):  # JSON has no other way to write it
            raise Refusal(ErrorCode.BAD_REQUEST, _NUL)
        try:
            mark = fingerprint(command.args)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # in fields that no order reads
            raise Refusal(ErrorCode.BAD_REQUEST, f"args: {error}") from error
        return Request(player, CommandId(command.id), order, args, mark, acceptable_trace(traceparent))


def read_frame(subject: str, payload: bytes) -> tuple[PlayerId, str, Command]:
    """The player, the command's name and the frame of a `cmd.` message.

    Raises:
        Refusal: bad_json, bad_request.
    """
    try:
        player, name = parse_command(subject)
    except ValueError as error:
        raise Refusal(ErrorCode.BAD_REQUEST, "no player has this subject") from error
    if not is_player_id(player):
        raise Refusal(ErrorCode.BAD_REQUEST, "a player id has 1 to 255 bytes")
    refuse_nul(player)
    if len(payload) > MAX_FRAME_BYTES:
        raise Refusal(ErrorCode.BAD_REQUEST, f"a frame has at most {MAX_FRAME_BYTES} bytes")
    try:
        command = decode_command(payload)
    except msgspec.ValidationError as error:
        raise Refusal(ErrorCode.BAD_REQUEST, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(ErrorCode.BAD_JSON, str(error)) from error
    if command.command != name:
        raise Refusal(ErrorCode.BAD_REQUEST, f"the subject says {name!r}, the frame another command")
    return player, name, command


def decode_args(decoder: "msgspec.json.Decoder[Any]", command: Command) -> Any:  # noqa: ANN401 - the order's own Struct
    """The arguments of a frame, validated.

    Raises:
        Refusal: bad_request.
    """
    try:
        return decoder.decode(command.args)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(ErrorCode.BAD_REQUEST, f"args: {error}") from error


def _with_normal_site(args: Any) -> Any:  # noqa: ANN401 - the order's own Struct
    """The arguments with `site`, where they have one, as it is kept: names that look alike are one site.

    Raises:
        Refusal: bad_request, nothing is left of it, or it is too long.
    """
    site = getattr(args, "site", None)
    if not isinstance(site, str):
        return args
    normal = normal_site(site)
    if normal == site:
        return args
    if not 0 < len(normal) <= MAX_SITE_CHARACTERS:
        raise Refusal(ErrorCode.BAD_REQUEST, f"a site's name has 1 to {MAX_SITE_CHARACTERS} characters")
    return msgspec.structs.replace(args, site=normal)


def fingerprint(args: bytes | msgspec.Raw) -> bytes:
    """A hash of JSON arguments; how they are spaced and in which order they are written makes no difference.

    Of the JSON and not of the Struct: a later version's new optional argument must not make an old id look reused.
    """
    canonical = _canonical_encoder.encode(_any_decoder.decode(args))
    return blake2b(canonical, digest_size=FINGERPRINT_BYTES).digest()


def refuse_nul(text: str) -> None:
    """Refuse what Postgres' text cannot hold.

    Raises:
        Refusal: bad_request.
    """
    if "\0" in text:
        raise Refusal(ErrorCode.BAD_REQUEST, _NUL)


def acceptable_count(text: str | None) -> int:
    """The number in a header; 0 where there is none, whoever sent it."""
    return int(text) if text is not None and _COUNT.match(text) else 0


def acceptable_trace(traceparent: str | None) -> str | None:
    """The trace context if it is one: it goes into the row, and anybody may have sent it."""
    return traceparent if traceparent is not None and _TRACEPARENT.match(traceparent) else None
