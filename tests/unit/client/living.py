"""A universe in which orders are carried out: what the terminal client needs to be played with."""

import asyncio
from datetime import UTC, datetime, timedelta

from tests.unit.client.universe import Frame, Universe, build

KINDS = [
    {"kind": "dock", "title": "Dock", "duration_s": 0.3},
    {"kind": "shipyard", "title": "Shipyard", "duration_s": 90},
    {"kind": "ringworld", "title": "Ringworld", "duration_s": 400_000, "requires": ["shipyard"]},
]


def spelled(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LivingUniverse(Universe):
    """Builds start, complete, are cancelled and rescheduled, and every step is pushed."""

    def __init__(self) -> None:
        super().__init__()
        self.builds: dict[str, Frame] = {}
        self.tasks: set[asyncio.Task[object]] = set()
        self.handlers |= {
            "catalogue.list": lambda _: {"result": {"kinds": KINDS}},
            "build.list": self._list,
            "build.start": self._start,
            "build.cancel": self._cancel,
            "build.reschedule": self._reschedule,
        }

    def _tell(self, event: str, row: Frame) -> None:
        task = asyncio.create_task(self.push(event, {"build": dict(row)}))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _list(self, frame: Frame) -> Frame:
        state = frame["args"].get("state")
        return {"result": {"builds": [row for row in self.builds.values() if state in (None, row["state"])]}}

    def _start(self, frame: Frame) -> Frame:
        kind, site = frame["args"]["kind"], frame["args"]["site"]
        if any((row["site"], row["state"]) == (site, "building") for row in self.builds.values()):
            return {"error": {"code": "site_busy", "message": f"{site} is already building"}}
        seconds = next(entry["duration_s"] for entry in KINDS if entry["kind"] == kind)
        assert isinstance(seconds, (int, float))
        due = datetime.now(UTC) + timedelta(seconds=seconds)
        row = build(kind=kind, site=site, due_at=spelled(due))
        self.builds[row["id"]] = row
        self._tell("build.started", row)
        if seconds < 10:
            asyncio.get_running_loop().call_later(seconds, self._complete, row)
        return {"result": {"build": dict(row)}}

    def _complete(self, row: Frame) -> None:
        if row["state"] == "building":
            row |= {"state": "completed", "revision": row["revision"] + 1, "completed_at": row["due_at"]}
            self._tell("build.completed", row)

    def _cancel(self, frame: Frame) -> Frame:
        row = self.builds[frame["args"]["build_id"]]
        if row["state"] != "building":
            return {"error": {"code": "not_building", "message": "that build is over"}}
        row |= {"state": "cancelled", "revision": row["revision"] + 1, "cancelled_at": spelled(datetime.now(UTC))}
        self._tell("build.cancelled", row)
        return {"result": {"build": dict(row)}}

    def _reschedule(self, frame: Frame) -> Frame:
        row = self.builds[frame["args"]["build_id"]]
        left = datetime.fromisoformat(row["due_at"]) - datetime.now(UTC)
        row |= {
            "revision": row["revision"] + 1,
            "due_at": spelled(datetime.now(UTC) + left * frame["args"]["factor"]),
        }
        self._tell("build.rescheduled", row)
        return {"result": {"build": dict(row)}}
