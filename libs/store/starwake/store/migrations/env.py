"""How alembic reaches the database: over the connection that `starwake.store.migrate` hands it, and no other way."""

from typing import TYPE_CHECKING, cast

from alembic import context

from starwake.store.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection

context.configure(
    connection=cast("Connection", context.config.attributes["connection"]),
    target_metadata=metadata,
    compare_type=True,
    compare_server_default=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
