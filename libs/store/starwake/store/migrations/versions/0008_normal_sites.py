"""Sites: what is under way or waits on a site whose name is not normal is found under the normal one.

Revision: 0008
"""

from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: None = None
depends_on: None = None

# What is over keeps its name: it is only listed. Where two names that look alike are both busy, one keeps its name
# until its build ends; so do the orders behind it. Only a database in UTF-8 holds what NFC is about, or normalizes it.
BUILDS = """
WITH odd AS (
    SELECT id, player, btrim(normalize(site, NFC)) AS normal,
        row_number() OVER (PARTITION BY player, btrim(normalize(site, NFC)) ORDER BY id) AS number
    FROM build
    WHERE state = 'building' AND site <> btrim(normalize(site, NFC))
)
UPDATE build SET site = odd.normal
FROM odd
WHERE build.id = odd.id AND build.state = 'building' AND odd.number = 1 AND odd.normal <> ''
    AND NOT EXISTS (
        SELECT FROM build AS held
        WHERE held.player = odd.player AND held.site = odd.normal AND held.state = 'building'
    )
"""
QUEUED = """
UPDATE queued_order SET site = btrim(normalize(site, NFC))
WHERE site <> btrim(normalize(site, NFC)) AND btrim(normalize(site, NFC)) <> ''
    AND NOT EXISTS (
        SELECT FROM build AS held
        WHERE held.player = queued_order.player AND held.site = queued_order.site AND held.state = 'building'
    )
"""


def upgrade() -> None:
    if op.get_context().as_sql or op.get_bind().exec_driver_sql("SHOW server_encoding").scalar() == "UTF8":
        op.execute(BUILDS)
        op.execute(QUEUED)


def downgrade() -> None:
    pass  # a name that was normalised is as good for the version before
