-- name: list_all
-- A player's builds, newest first, after the build $2. Each state by itself, as the index has them.
SELECT id::text, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups, trace,
    date_trunc('milliseconds', now()) AS now
FROM (
    (
        SELECT id, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups, trace
        FROM build
        WHERE player = $1 AND state = 'building' AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ORDER BY build.id DESC
        LIMIT $3
    )
    UNION ALL
    (
        SELECT id, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups, trace
        FROM build
        WHERE player = $1 AND state = 'completed' AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ORDER BY build.id DESC
        LIMIT $3
    )
    UNION ALL
    (
        SELECT id, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups, trace
        FROM build
        WHERE player = $1 AND state = 'cancelled' AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ORDER BY build.id DESC
        LIMIT $3
    )
) AS page
ORDER BY page.id DESC
LIMIT $3

-- name: list_state
-- The same, in one of the final states; a row that was completed ahead of its time is not listed yet.
SELECT id::text, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups, trace,
    date_trunc('milliseconds', now()) AS now
FROM build
WHERE player = $1 AND state = $4 AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    AND (completed_at IS NULL OR completed_at <= now())
ORDER BY build.id DESC
LIMIT $3

-- name: list_building
-- The same, of what is under way: few rows among a long history. now() and not clock_timestamp(), which fits no index:
-- the rows completed ahead of their time would be looked for among all that were ever completed.
SELECT id::text, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups, trace,
    date_trunc('milliseconds', now()) AS now
FROM (
    (
        SELECT id, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups, trace
        FROM build
        WHERE player = $1 AND state = 'building' AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ORDER BY build.id DESC
        LIMIT $3
    )
    UNION ALL
    (
        SELECT id, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups, trace
        FROM build
        WHERE player = $1 AND state = 'completed' AND due_at > now()
            AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ORDER BY due_at
    )
) AS under_way
ORDER BY under_way.id DESC
LIMIT $3

-- name: list_queued
-- A page of what waits for a player's sites, first come first, behind the place $2.
SELECT id::text, player, site, kind, duration_ms, follow_ups, trace, created_at, position
FROM queued_order
WHERE player = $1
  AND position > $2
ORDER BY position
LIMIT $3
