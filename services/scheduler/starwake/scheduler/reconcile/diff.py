"""PURE: how table and alarms differ, and what mends it.

Rows and alarms are compared range by range, both in the order of their ids, so that a million of each need no more
memory than one page. A wrong judgement costs nothing: arming is idempotent, and an alarm that was taken away too
early belongs to a row that the sweep finds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from starwake.contracts.subjects import AlarmKey


@dataclass(frozen=True, slots=True)
class PendingRow:
    """A row that waits for its time, as reconcile sees it.

    Attributes:
        key: kind, id and revision.
        due_at: when it is due.
        since: when it came to be (`started_at`, `created_at`).
    """

    key: AlarmKey
    due_at: datetime
    since: datetime


@dataclass(slots=True)
class Plan:
    """What has to be done about one range.

    Attributes:
        arm: rows without an alarm, oldest due first.
        tombstone: alarms without a row, or of a revision that is gone.
        overdue: how many rows are due already; completing them needs no alarm.
    """

    arm: list[AlarmKey] = field(default_factory=list[AlarmKey])
    tombstone: list[AlarmKey] = field(default_factory=list[AlarmKey])
    overdue: int = 0


def diff(rows: Iterable[PendingRow], alarms: Iterable[AlarmKey], *, started: datetime, now: datetime) -> Plan:
    """What differs between the rows and the alarms of the same range of ids.

    Args:
        rows: all rows of the range that wait.
        alarms: all alarms of the range that are scheduled, listed before the rows were read.
        started: when the gathering began, by the database's clock; rows that came to be later are left alone,
            since their alarm may have been set after the listing.
        now: the database's time.

    Not async on purpose: yielding here would let state change in the middle of the comparison.
    """
    plan = Plan()
    unclaimed = set(alarms)
    missing: list[PendingRow] = []
    for row in rows:
        if row.key in unclaimed:
            unclaimed.discard(row.key)
        elif row.due_at > now and row.since < started:
            missing.append(row)
        if row.due_at <= now:
            plan.overdue += 1
    missing.sort(key=lambda row: row.due_at)
    plan.arm = [row.key for row in missing]
    plan.tombstone = sorted(unclaimed)
    return plan


def split_at(alarms: list[AlarmKey], last: AlarmKey) -> tuple[list[AlarmKey], list[AlarmKey]]:
    """`alarms` (sorted) cut behind the range that ends with the row `last`, whatever the revision.

    Ids are canonical UUIDs, whose text sorts as the database sorts them.
    """
    low, high = 0, len(alarms)
    while low < high:
        middle = (low + high) // 2
        if (alarms[middle].kind, alarms[middle].id) <= (last.kind, last.id):
            low = middle + 1
        else:
            high = middle
    return alarms[:low], alarms[low:]
