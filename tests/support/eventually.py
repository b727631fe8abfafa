"""Waiting for something to become true, with a deadline."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(condition: Callable[[], T | Awaitable[T]], within_s: float = 10.0, every_s: float = 0.02) -> T:
    """Poll `condition` (a plain or an async function) until it is truthy; its last value is returned.

    An AssertionError in it counts as "not yet". At the deadline it is raised, or one that shows the last value.
    """
    deadline = time.monotonic() + within_s
    while True:
        failure: AssertionError | None = None
        value: T | None = None
        try:
            answer = condition()
            value = await answer if inspect.isawaitable(answer) else answer
        except AssertionError as error:
            failure = error
        if value:
            return value
        if time.monotonic() >= deadline:
            raise failure or AssertionError(f"not within {within_s} s: {condition!r} gave {value!r}")
        await asyncio.sleep(every_s)
