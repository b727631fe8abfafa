"""The pure parts: bytecode instructions and allocated bytes for each piece of work, the same on every machine."""

import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any, Final

from starwake.contracts import frames, subjects
from starwake.contracts.alarms import build_alarm
from starwake.contracts.builds import BuildRecord, BuildState
from starwake.contracts.events import completion_events
from starwake.contracts.ids import BuildId, PlayerId, Revision
from starwake.gateway.framing import FrameReader, text_frame
from starwake.gateway.limits import ConnectionLimits
from starwake.gateway.protocol import Connection

_TIMES: Final = 50
COMMAND: Final = b'{"id":"c1","command":"build.start","args":{"kind":"dock","site":"luna-1"}}'
_MASK: Final = b"\x01\x02\x03\x04"
_PLAYER: Final = PlayerId("ada")


def measure() -> dict[str, float]:
    """Instructions and allocated bytes of each piece of work."""
    figures: dict[str, float] = {}
    for name, work in works().items():
        for _ in range(3):
            work()  # caches fill
        figures[f"{name}_instructions"] = instructions(work)
        figures[f"{name}_allocated_bytes"] = allocated(work)
    return figures


def instructions(work: Callable[[], object]) -> float:
    """Bytecode instructions that Python carries out in one call of `work` (C code does not count)."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401 - itself
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for _ in range(_TIMES):
            work()
    finally:
        sys.settrace(before)
    return count / _TIMES


def allocated(work: Callable[[], object]) -> float:
    """Bytes that are allocated at the worst moment of one call of `work`."""
    tracemalloc.start()
    try:
        peaks: list[int] = []
        for _ in range(_TIMES):
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            work()
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
        return float(sorted(peaks)[_TIMES // 2])
    finally:
        tracemalloc.stop()


def works() -> dict[str, Callable[[], object]]:
    """The pieces of work by name; each call of one is one frame, alarm or completion."""
    limits = ConnectionLimits(commands_per_s=1e9, burst=1_000_000, max_in_flight=1_000_000)
    connection = Connection(limits, 0.0, ping_phase=0.5)
    connection.vouched_for()
    connection.authenticated(_PLAYER, None, 1e9, 0.0)
    connection.joined(0.0)
    reader = FrameReader(65_536)
    wire = (
        bytes((0x81, 0x80 | len(COMMAND)))
        + _MASK
        + bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(COMMAND))
    )
    started = datetime(2026, 1, 1, tzinfo=UTC)
    build = BuildRecord(
        id=BuildId("019a0000-0000-7000-8000-000000000000"),
        player=_PLAYER,
        kind="dock",
        site="luna-1",
        state=BuildState.BUILDING,
        revision=Revision(1),
        started_at=started,
        due_at=started + timedelta(minutes=15),
    )
    completed = build.completed()
    body = frames.result_body({"build": build.view()})
    push = completion_events(completed)[0].body

    def command_in() -> object:
        (incoming,) = reader.feed(wire)
        effects = connection.text(COMMAND, 1.0)
        return incoming, effects, subjects.command(_PLAYER, "build.start")

    return {
        "command_in": command_in,
        "answer_out": lambda: text_frame(frames.answer_frame("c1", "build.start", body)),
        "push_out": lambda: text_frame(frames.push_frame(812, 790, push)),
        "alarm_of_a_build": lambda: build_alarm(build),
        "completion_of_a_build": lambda: completion_events(build.completed()),
    }
