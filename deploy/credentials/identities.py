"""Who there is: the users of NATS and the roles of Postgres, as `deploy/nats` and `deploy/postgres` know them."""

from dataclasses import dataclass
from typing import Literal

Slot = Literal["a", "b"]
SLOTS: tuple[Slot, Slot] = ("a", "b")

# One nkey user each in deploy/nats/config/accounts.conf, in both slots.
NATS_IDENTITIES = ("gateway", "command", "scheduler", "provision", "operator", "system")


@dataclass(frozen=True, slots=True)
class DatabaseRole:
    """A login role of deploy/postgres/roles.sql, and the Kubernetes workload that signs in as it."""

    workload: str
    role: str


DATABASE_ROLES = (
    DatabaseRole("migrate", "starwake_owner"),
    DatabaseRole("command", "starwake_command"),
    DatabaseRole("scheduler", "starwake_scheduler"),
)
