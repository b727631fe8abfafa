"""PURE: a JWT in its compact form (RFC 7519, RFC 7515), taken apart; nothing of it is believed yet.

Written out here because the library's way takes three times as long, which thousands feel who come back at once: it
looks at each character by itself, parses the header twice, and prepares the key at each use. What it checks, this
checks too; the signatures themselves stay the library's work.
"""

import base64
import binascii
from typing import Any, Final, NamedTuple

import msgspec

MAX_TOKEN_CHARACTERS: Final = 8192
_PARTS: Final = 3
_MOST_PADDING: Final = 2


class TokenRefused(Exception):  # noqa: N818 - says what happened
    """The token does not hold; the text says why, fit for the client to see."""


class Header(msgspec.Struct, frozen=True):
    """What is needed to choose a key."""

    alg: str
    kid: str | None = None
    crit: msgspec.Raw | None = None
    b64: bool = True


class Token(NamedTuple):
    """A token's parts.

    Attributes:
        header: what it says of its key.
        signed: the bytes that the signature is over.
        claims: still encoded: they are read once the signature holds.
        signature: to be compared.
    """

    header: Header
    signed: bytes
    claims: str
    signature: bytes


_header_decoder = msgspec.json.Decoder(Header)
_claims_decoder = msgspec.json.Decoder(dict[str, Any])


def read_token(text: str) -> Token:
    """The token's parts.

    Raises:
        TokenRefused: it is none, or one that asks for extensions.
    """
    if len(text) > MAX_TOKEN_CHARACTERS:
        raise TokenRefused(f"the token is longer than {MAX_TOKEN_CHARACTERS} characters")
    parts = text.split(".")
    if len(parts) != _PARTS:
        raise TokenRefused("the token is malformed")
    head, claims, signature = parts
    try:
        header = _header_decoder.decode(_from_base64url(head))
        token = Token(header, f"{head}.{claims}".encode("ascii"), claims, _from_base64url(signature))
    except (ValueError, RecursionError):  # a DecodeError is a ValueError, binascii's and Unicode's errors too
        raise TokenRefused("the token is malformed") from None
    # RFC 7797: unencoded contents must be declared critical; undeclared they are malformed, declared they are refused.
    if header.crit is not None or not header.b64:
        raise TokenRefused("the token asks for extensions that are not understood here")
    return token


def read_claims(token: Token) -> dict[str, Any]:
    """What the token says; only to be asked once its signature holds.

    Raises:
        TokenRefused: it is not a JSON object.
    """
    try:
        return _claims_decoder.decode(_from_base64url(token.claims))
    except (ValueError, RecursionError):
        raise TokenRefused("the token is malformed") from None


def _from_base64url(text: str) -> bytes:
    """Strictly: no other characters, no loose bits at the end; padding only where it is whole, as some issuers add it.

    Raises:
        ValueError: it is not base64url.
    """
    bare = text.rstrip("=")
    padding = len(text) - len(bare)
    if padding > _MOST_PADDING or (padding and len(text) % 4):
        raise binascii.Error("wrong padding")
    encoded = bare.encode("ascii")
    decoded = base64.urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != encoded:
        raise binascii.Error("not base64url in its one form")
    return decoded
