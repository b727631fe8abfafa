-- name: insert_events
-- An announcement: each of its pushes is a row of its own, which waits for its time.
INSERT INTO world_event (id, series, player, event, data, due_at, state, revision, trace)
SELECT id, $1, $2, event, data, due_at, 'scheduled', 1, $7
FROM unnest($3::uuid[], $4::text[], $5::jsonb[], $6::timestamptz[]) AS new (id, event, data, due_at)

-- name: remembered
-- What the inbox holds of an operator's command (their entries have no player), and the time.
SELECT date_trunc('milliseconds', clock_timestamp()), inbox.command, inbox.fingerprint, inbox.outcome
FROM (SELECT) AS always
LEFT JOIN inbox ON inbox.player = '' AND inbox.command_id = $1

-- name: remember
-- Remember an operator's command, so that it is safe to repeat.
INSERT INTO inbox (player, command_id, command, fingerprint, outcome) VALUES ('', $1, $2, $3, $4)

-- name: find_events
-- All rows of an announcement, by its own id or by that of one of its pushes.
SELECT id::text, state
FROM world_event
WHERE series = $1 OR id = $1
ORDER BY due_at, id

-- name: cancel_events
-- Those of them that are not pushed yet never will be. Locked by id, like every statement that locks events.
WITH locked AS MATERIALIZED (
    SELECT id, state FROM world_event WHERE series = $1 OR id = $1 ORDER BY id FOR NO KEY UPDATE
)
UPDATE world_event
SET state = 'cancelled', revision = world_event.revision + 1
FROM locked
WHERE world_event.id = locked.id AND world_event.id = ANY (ARRAY(SELECT id FROM locked WHERE state = 'scheduled'))
RETURNING world_event.id::text, world_event.revision

-- name: list_upcoming
-- What is still to come for a player, or for everybody, soonest first, after ($2, $3). Each part from its own index.
SELECT id::text, player, event, data, due_at, date_trunc('milliseconds', created_at) AS announced_at
FROM (
    (
        SELECT id, player, event, data, due_at, created_at
        FROM world_event
        WHERE state = 'scheduled' AND player = $1 AND (due_at, id) > ($2::timestamptz, $3::uuid)
        ORDER BY due_at, id
        LIMIT $4
    )
    UNION ALL
    (
        SELECT id, player, event, data, due_at, created_at
        FROM world_event
        WHERE state = 'scheduled' AND player IS NULL AND (due_at, id) > ($2::timestamptz, $3::uuid)
        ORDER BY due_at, id
        LIMIT $4
    )
) AS upcoming
ORDER BY due_at, upcoming.id
LIMIT $4
