"""Chance, for what must not happen to thousands in the same moment."""

import random

from starwake.gateway import upgrade


def soon() -> float:
    """Seconds until whoever was refused may come again; random, so that thousands do not come together once more."""
    return upgrade.soon(random.random())  # noqa: S311 - no secret
