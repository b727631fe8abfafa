"""Who connects, the same for every peer: the token of the upgrade request, checked as Starwake checks it."""

import os

import jwt


def player_of(authorization: str) -> str:
    """The player of an `Authorization: Bearer <jwt>` header.

    Raises:
        jwt.InvalidTokenError: the token does not hold.
    """
    token = authorization.removeprefix("Bearer ")
    claims = jwt.decode(
        token, os.environ["BENCH_JWT_SECRET"], algorithms=["HS256"], options={"require": ["exp", "sub"]}
    )
    return str(claims["sub"])
