"""A token becomes an identity: JWTs (RFC 7519) signed with a shared secret or with a key from a JWKS (RFC 7517).

The key decides the algorithm, never the token's header (RFC 8725, 3.1): a key's algorithms are fixed when it is
loaded, and a token that names another one is refused. A refusal never repeats any part of the token.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import jwt
import msgspec

from libs.contracts.ids import PlayerId, is_player_id
from services.gateway.keys import REFRESH_INTERVAL_S, KeySource, VerificationKey

MAX_TOKEN_CHARACTERS: Final = 8192
LEEWAY_S: Final = 30.0
_LATEST_EXPIRY: Final = 253_402_300_799  # the last second that RFC 3339 can write, in the year 9999


class TokenRefused(Exception):  # noqa: N818 - says what happened
    """The token does not hold; the text says why, fit for the client to see."""


class Identity(msgspec.Struct, frozen=True):
    """Who a token speaks for.

    Attributes:
        player: its `sub`.
        expires_at: its `exp`, seconds since the epoch.
        issued_at: its `iat`, seconds since the epoch, or None.
    """

    player: PlayerId
    expires_at: float
    issued_at: float | None


class _Header(msgspec.Struct):
    alg: str
    kid: str | None = None
    crit: msgspec.Raw | None = None


_header_decoder = msgspec.json.Decoder(_Header)


class Authenticator:
    """Verifies tokens against the configured keys, issuer and audience."""

    def __init__(
        self,
        sources: Sequence[KeySource],
        *,
        issuer: str | None = None,
        audience: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """An authenticator over one or more sources of keys.

        Args:
            sources: asked in order for the key of a token.
            issuer: what `iss` must be; unchecked if None.
            audience: what `aud` must be or contain; unchecked if None.
            clock: seconds since the epoch.

        Raises:
            ValueError: no source: nobody could ever sign in.
        """
        if not sources:
            raise ValueError("no key to verify tokens with")
        self._sources = tuple(sources)
        self._issuer = issuer
        self._audience = audience
        self._clock = clock

    async def identify(self, token: str) -> Identity:
        """Whom the token speaks for.

        Raises:
            TokenRefused: it does not hold.
            KeysUnavailable: its key is not known and cannot be fetched at the moment.
        """
        header = _read_header(token)
        keys: list[VerificationKey] = []
        for source in self._sources:
            keys += await source.keys_for(header.alg, header.kid)
        if not keys:
            raise TokenRefused("the token is signed with a key or algorithm that is not accepted here")
        claims = self._verified_claims(token, keys)
        return self._identity(claims)

    async def keep_keys_fresh(self) -> None:
        """Load all keys again from time to time, for ever."""
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_S)
            for source in self._sources:
                await source.refresh()

    def _verified_claims(self, token: str, keys: Sequence[VerificationKey]) -> dict[str, Any]:
        failure = "the token does not hold"
        for key in keys:
            try:
                # Time is checked below, with our clock; the rest of the claims by the library.
                return jwt.decode(
                    token,
                    key.material,
                    algorithms=[key.algorithm],
                    issuer=self._issuer,
                    audience=self._audience,
                    options={
                        "require": ["exp", "sub"],
                        "verify_exp": False,
                        "verify_nbf": False,
                        "verify_iat": False,
                        "verify_aud": self._audience is not None,
                        "verify_iss": self._issuer is not None,
                        "verify_sub": False,
                    },
                )
            except jwt.InvalidSignatureError:
                failure = "the token's signature does not hold"
            except jwt.InvalidIssuerError:
                failure = "the token is from another issuer"
            except jwt.InvalidAudienceError:
                failure = "the token is for another audience"
            except jwt.MissingRequiredClaimError as error:
                failure = f"the token has no {error.claim}"
            except jwt.PyJWTError:
                failure = "the token is malformed"
            except (ValueError, TypeError, RecursionError):  # what hostile contents can still raise inside the library
                failure = "the token is malformed"
        raise TokenRefused(failure)

    def _identity(self, claims: dict[str, Any]) -> Identity:
        now = self._clock()
        player = claims["sub"]
        if not isinstance(player, str) or not is_player_id(player):
            raise TokenRefused("the token's sub is not a string of 1 to 255 bytes")
        expires_at = _moment(claims, "exp")
        issued_at = _moment(claims, "iat") if claims.get("iat") is not None else None
        not_before = _moment(claims, "nbf") if claims.get("nbf") is not None else None
        if expires_at <= now:
            raise TokenRefused("the token has expired")
        if max(not_before or 0.0, issued_at or 0.0) > now + LEEWAY_S:
            raise TokenRefused("the token is not valid yet")
        return Identity(PlayerId(player), expires_at, issued_at)


def _moment(claims: dict[str, Any], claim: str) -> float:
    value = claims[claim]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST_EXPIRY:
        raise TokenRefused(f"the token's {claim} is not a time")
    return float(value)


def _read_header(token: str) -> _Header:
    """The token's first part; only what is needed to choose a key, nothing of it is believed."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenRefused(f"the token is longer than {MAX_TOKEN_CHARACTERS} characters")
    first, dot, _ = token.partition(".")
    try:
        header = _header_decoder.decode(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (ValueError, binascii.Error, RecursionError):  # a DecodeError is a ValueError
        raise TokenRefused("the token is malformed") from None
    if not dot:
        raise TokenRefused("the token is malformed")
    if header.crit is not None:
        raise TokenRefused("the token asks for extensions that are not understood here")
    return header
