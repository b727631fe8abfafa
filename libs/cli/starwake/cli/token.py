"""`starwake token`: a development token, signed with the running stack's own secret."""

import os
import time
from pathlib import Path
from typing import Any, Final

import jwt

from starwake.cli.embedded.state import read_state
from starwake.cli.errors import EXIT_NOT_RUNNING, EXIT_USAGE, CliError

_LONGEST_PLAYER_BYTES: Final = 255


def make_token(player: str, ttl_s: float, data: Path) -> str:
    """Sign a token for `player`, valid for `ttl_s` seconds from now.

    The secret is the running stack's; where none runs, STARWAKE_JWT_SECRET.

    Raises:
        CliError: no stack runs and no secret is set, or the name cannot be a player's.
    """
    if not 1 <= len(player.encode()) <= _LONGEST_PLAYER_BYTES or not player.strip():
        raise CliError(f"a player's name has 1 to {_LONGEST_PLAYER_BYTES} bytes and is not blank", EXIT_USAGE)
    secret, issuer, audience = _signer(data)
    # A fraction of a second in `iat`: a revocation ends the tokens that were made before it, and only those.
    now = time.time()
    claims: dict[str, Any] = {"sub": player, "iat": now, "exp": now + ttl_s}
    claims |= {name: value for name, value in (("iss", issuer), ("aud", audience)) if value is not None}
    return jwt.encode(claims, secret, algorithm="HS256")


def _signer(data: Path) -> tuple[str, str | None, str | None]:
    state = read_state(data)
    if state is not None and state.is_alive:
        return state.secrets.jwt_secret, state.jwt_issuer, state.jwt_audience
    secret = os.environ.get("STARWAKE_JWT_SECRET")
    if secret:
        return secret, os.environ.get("STARWAKE_JWT_ISSUER"), os.environ.get("STARWAKE_JWT_AUDIENCE")
    raise CliError(
        f"no stack runs on {data} whose secret could sign it: start one with `starwake up`, name its directory with "
        "--data, or set STARWAKE_JWT_SECRET",
        EXIT_NOT_RUNNING,
    )
