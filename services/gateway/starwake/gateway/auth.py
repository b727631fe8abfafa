"""A token becomes an identity: JWTs (RFC 7519) signed with a shared secret or with a key from a JWKS (RFC 7517).

The key decides the algorithm, never the token's header (RFC 8725, 3.1): a key's algorithms are fixed when it is
loaded, and a token that names another one is refused. A refusal never repeats any part of the token.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from starwake.contracts.ids import PlayerId, is_player_id
from starwake.gateway.keys import REFRESH_INTERVAL_S, KeySource, KeysUnavailable, VerificationKey
from starwake.gateway.tokens import MAX_TOKEN_CHARACTERS, Token, TokenRefused, read_claims, read_token

__all__ = ["MAX_TOKEN_CHARACTERS", "Authenticator", "Identity", "TokenRefused"]

LEEWAY_S: Final = 30.0
_LATEST_EXPIRY: Final = 253_402_300_799  # the last second that RFC 3339 can write, in the year 9999


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
        parts = read_token(token)
        keys: list[VerificationKey] = []
        unavailable: KeysUnavailable | None = None
        for source in self._sources:
            try:
                keys += await source.keys_for(parts.header.alg, parts.header.kid)
            except KeysUnavailable as error:  # another source may have the key
                unavailable = error
        if unavailable is not None and not keys:
            raise unavailable
        return self._identity(self._verified_claims(parts, keys))

    def identify_at_hand(self, token: str) -> Identity | None:
        """As `identify`, at once; None where a key has to be fetched first.

        Raises:
            TokenRefused: it does not hold.
        """
        parts = read_token(token)
        keys: list[VerificationKey] = []
        for source in self._sources:
            found = source.keys_at_hand(parts.header.alg, parts.header.kid)
            if found is None:
                return None
            keys += found
        return self._identity(self._verified_claims(parts, keys))

    async def keep_keys_fresh(self) -> None:
        """Load all keys again from time to time, for ever."""
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_S)
            for source in self._sources:
                await source.refresh()

    def _verified_claims(self, token: Token, keys: Sequence[VerificationKey]) -> dict[str, Any]:
        # The sources give keys of the token's algorithm alone; that they do is too much to be left to them.
        fitting = [key for key in keys if key.algorithm == token.header.alg]
        if not fitting:
            raise TokenRefused("the token is signed with a key or algorithm that is not accepted here")
        if not any(key.verifies(token.signed, token.signature) for key in fitting):
            raise TokenRefused("the token's signature does not hold")
        claims = read_claims(token)
        if self._issuer is not None and _required(claims, "iss") != self._issuer:
            raise TokenRefused("the token is from another issuer")
        if self._audience is not None:
            named = _required(claims, "aud")
            if self._audience not in (named if isinstance(named, list) else [named]):
                raise TokenRefused("the token is for another audience")
        return claims

    def _identity(self, claims: dict[str, Any]) -> Identity:
        now = self._clock()
        player = _required(claims, "sub")
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


def _required(claims: dict[str, Any], claim: str) -> Any:  # noqa: ANN401 - JSON
    value = claims.get(claim)
    if value is None:
        raise TokenRefused(f"the token has no {claim}")
    return value


def _moment(claims: dict[str, Any], claim: str) -> float:
    value = _required(claims, claim)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST_EXPIRY:
        raise TokenRefused(f"the token's {claim} is not a time")
    return float(value)
