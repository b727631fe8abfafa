"""The development sign-in: a token for any name. It exists only where STARWAKE_DEV_SIGN_IN=true."""

import time
from datetime import UTC, datetime
from typing import Annotated, Final

import jwt
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from starwake.contracts.ids import MAX_PLAYER_BYTES, is_player_id
from starwake.contracts.times import to_rfc3339
from starwake.gateway.settings import TokenSettings

SIGN_IN_PATH: Final = "/dev/token"
_MAX_TTL_S = 30 * 86_400


class SignIn(BaseModel):
    """Who wants to play, and for how long (seconds)."""

    player: str
    ttl_s: Annotated[float, Field(gt=0, le=_MAX_TTL_S, allow_inf_nan=False)] = 3600.0


class SignedIn(BaseModel):
    """The token, and when it expires (RFC 3339)."""

    token: str
    expires_at: str


def dev_sign_in(settings: TokenSettings) -> APIRouter:
    """The route `POST /dev/token`, signing with the gateway's own shared secret.

    Raises:
        ValueError: there is no shared secret.
    """
    if settings.jwt_secret is None:
        raise ValueError("the development sign-in needs the shared secret")
    secret = settings.jwt_secret.get_secret_value()
    router = APIRouter(tags=["development"])

    @router.post(SIGN_IN_PATH)
    def give_token(sign_in: SignIn) -> SignedIn:
        """A token for any name; for development alone."""
        if not is_player_id(sign_in.player) or not sign_in.player.strip():
            raise HTTPException(422, f"a player's name has 1 to {MAX_PLAYER_BYTES} bytes and is not blank")
        now = time.time()
        expires_at = now + sign_in.ttl_s
        # A fraction in `iat`, so that a revocation tells tokens of the same second apart.
        claims: dict[str, object] = {"sub": sign_in.player, "iat": now, "exp": expires_at}
        if settings.jwt_issuer is not None:
            claims["iss"] = settings.jwt_issuer
        if settings.jwt_audience is not None:
            claims["aud"] = settings.jwt_audience
        token = jwt.encode(claims, secret, algorithm="HS256")
        return SignedIn(token=token, expires_at=to_rfc3339(datetime.fromtimestamp(expires_at, UTC)))

    _ = give_token  # registered by its decorator
    return router
