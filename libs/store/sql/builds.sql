-- name: list_all
-- A player's builds, newest first, after the build $2.
SELECT id::text, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups, trace,
    date_trunc('milliseconds', clock_timestamp()) AS now
FROM build
WHERE player = $1 AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY build.id DESC
LIMIT $3

-- name: list_state
-- The same, in one of the final states; a row that was completed ahead of its time is not listed yet.
SELECT id::text, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups, trace,
    date_trunc('milliseconds', clock_timestamp()) AS now
FROM build
WHERE player = $1 AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') AND state = $4
    AND (completed_at IS NULL OR completed_at <= clock_timestamp())
ORDER BY build.id DESC
LIMIT $3

-- name: list_building
-- The same, of what is under way: few rows among a long history, so it starts from the indexes of those.
SELECT under_way.*, date_trunc('milliseconds', clock_timestamp()) AS now
FROM (
    SELECT id::text, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups,
        trace, id AS sort_key
    FROM build
    WHERE player = $1 AND state = 'building'
    UNION ALL
    (
        SELECT id::text, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups,
            trace, id AS sort_key
        FROM build
        WHERE player = $1 AND state = 'completed' AND due_at > clock_timestamp()
        ORDER BY due_at
    )
) AS under_way
WHERE sort_key < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
ORDER BY sort_key DESC
LIMIT $3

-- name: list_queued
-- What waits for a player's sites, first come first.
SELECT id::text, player, site, kind, duration_ms, follow_ups, trace, created_at
FROM queued_order
WHERE player = $1
ORDER BY site, position
LIMIT $2
