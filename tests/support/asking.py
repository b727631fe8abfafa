"""Asking the command service as a gateway does whose player waits for the answer."""

from collections.abc import Mapping

from starwake.bus.connection import Bus
from starwake.bus.message import Message
from starwake.contracts.commands import REFUSALS_HEADER


async def ask(
    bus: Bus, subject: str, frame: bytes, *, timeout_s: float, headers: Mapping[str, str] | None = None
) -> Message:
    """Send a frame, once more with the count where it is asked back how often it was refused; the answer.

    Raises:
        BusError: no answer.
    """
    answer = await bus.request(subject, frame, timeout_s=timeout_s, headers=headers)
    refusals = answer.headers.get(REFUSALS_HEADER)
    if refusals is None:
        return answer
    return await bus.request(
        subject, frame, timeout_s=timeout_s, headers={**(headers or {}), REFUSALS_HEADER: refusals}
    )
