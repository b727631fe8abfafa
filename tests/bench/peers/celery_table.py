"""The seed design's table: what each of its processes agrees on."""

TABLE = """
CREATE TABLE IF NOT EXISTS build (
    id uuid PRIMARY KEY, player text NOT NULL, kind text NOT NULL, site text NOT NULL,
    state text NOT NULL, started_at timestamptz NOT NULL, due_at timestamptz NOT NULL, completed_at timestamptz);
CREATE UNIQUE INDEX IF NOT EXISTS one_build_a_site ON build (player, site) WHERE state = 'building';
"""
