"""Players who come back with much to catch up on: a resume storm, as after an outage of gateways."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import picows

from tests.bench.load.player import Frame, Player, connect
from tests.bench.load.steady import tell_ready, until

if TYPE_CHECKING:
    from tests.bench.load.client import Spec

_JITTER: Final = 0.5


class Returning:
    """One player on the way back in, over as many connections as the server asks for.

    Attributes:
        live_s: seconds from the storm's begin to the last frame that was missed; 0 before.
        told: how often it was asked to come later.
        unserved: how often it was closed, or refused, before it was live without being told when to come.
        lost: pushes missing from its feed, or out of order, once it was live.
    """

    def __init__(self, spec: "Spec", number: int, began: float, resume: str) -> None:
        self._spec = spec
        self._name = f"{spec.prefix}-{number}"
        self._began = began
        self._resume = resume
        self._missed = int(spec.options["missed"])
        self._after_s: float | None = None
        self.seqs: list[int] = []
        self.live_s = 0.0
        self.told = 0
        self.unserved = 0
        self.lost = 0
        self.player: Player | None = None

    async def come(self, deadline: float) -> None:
        """Connect until everything is there, or until `deadline` (of `time.perf_counter`)."""
        while not self.live_s and time.perf_counter() < deadline:
            self.seqs, self._after_s = [], None
            try:
                self.player = await connect(
                    self._spec.url, self._name, self._spec.secret, self._on_frame, resume=self._resume
                )
            except picows.WSInvalidStatusError as refused:
                self._after_s = retry_after(refused)
            except (OSError, picows.WSError, TimeoutError):
                pass
            else:
                await until(self._is_served, max(0.0, deadline - time.perf_counter()))
            if self.live_s or time.perf_counter() > deadline:
                return
            if self._after_s is None:
                self.unserved += 1
                self._after_s = 1.0
            else:
                self.told += 1
            await asyncio.sleep(self._after_s)

    def _is_served(self) -> bool:
        return bool(self.live_s) or (self.player is not None and self.player.closed)

    def _on_frame(self, player: Player, frame: Frame) -> None:
        if frame.type == "push":
            self.seqs.append(frame.seq)
            if len(self.seqs) == self._missed:
                self.live_s = time.perf_counter() - self._began
                self.lost += self.seqs != sorted(set(self.seqs)) or player.recovered is not True
        elif frame.type == "bye" and frame.reconnect_after_ms is not None:
            self._after_s = frame.reconnect_after_ms / 1000


def retry_after(refused: picows.WSInvalidStatusError) -> float | None:
    """What `Retry-After` of an answer asks for, with a client's own jitter; None where it has none."""
    assert refused.response is not None
    seconds = refused.response.headers.get("Retry-After")
    return None if seconds is None else float(seconds) * (1 + _JITTER * random.random())  # noqa: S311 - no secret


async def resume_storm(spec: "Spec") -> dict[str, object]:
    """All at once, each with `missed` pushes behind it. Options: `missed`, `resume` (a position), `within_s`."""
    began = time.perf_counter()
    everybody = [Returning(spec, number, began, str(spec.options["resume"])) for number in range(spec.players)]
    deadline = began + float(spec.options["within_s"])
    await asyncio.gather(*(each.come(deadline) for each in everybody))
    tell_ready()
    await asyncio.to_thread(sys.stdin.read)
    live = sorted(each.live_s for each in everybody if each.live_s)
    counts = Counter[str]()
    for each in everybody:
        counts.update(told=each.told, unserved=each.unserved, lost=each.lost)
    return {
        "all_live_s": round(live[-1], 3) if live else 0.0,
        "half_live_s": round(live[len(live) // 2], 3) if live else 0.0,
        "missing": spec.players - len(live),
        "told_to_come_later": counts["told"],
        "closed_unserved": counts["unserved"],
        "not_recovered": counts["lost"],
    }


ACTIONS: dict[str, Callable[["Spec"], Awaitable[dict[str, object]]]] = {"resume_storm": resume_storm}
