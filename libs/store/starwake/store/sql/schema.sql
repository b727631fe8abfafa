-- name: has_version_table
-- Whether alembic has ever been here.
SELECT to_regclass('alembic_version') IS NOT NULL

-- name: current_version
-- The revision that the schema stands at.
SELECT version_num FROM alembic_version
