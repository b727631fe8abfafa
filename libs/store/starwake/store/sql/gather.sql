-- name: build_keys
-- Builds that wait, in the order of their ids, page by page: what reconcile compares with the alarms.
-- `revision >= 1`, true of every row, is what lets a query take the index of what waits (tables.py).
-- `id` alone would mean the text of the column above, and sort all that wait for each page.
SELECT id::text, revision, due_at, started_at
FROM build
WHERE state = 'building' AND revision >= 1 AND id > $1::uuid AND id <= $2::uuid
ORDER BY build.id
LIMIT $3

-- name: event_keys
-- World events that wait, in the order of their ids.
SELECT id::text, revision, due_at, created_at
FROM world_event
WHERE state = 'scheduled' AND revision >= 1 AND id > $1::uuid AND id <= $2::uuid
ORDER BY world_event.id
LIMIT $3

-- name: lock
-- Waits for the right to look at the streams and mend them, until the transaction ends.
SELECT pg_advisory_xact_lock($1)

-- name: forget_inbox
-- Deletes a page of command ids that are older than promised. Not flushed: a loss only deletes again.
-- now() and not clock_timestamp(), which fits no index: a last page would look at all that is kept.
WITH relaxed AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), old AS (
    SELECT player, command_id FROM inbox WHERE created_at < now() - $1::interval
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM inbox i USING old o WHERE i.player = o.player AND i.command_id = o.command_id RETURNING 1
)
SELECT (SELECT count(*) FROM gone) FROM relaxed

-- name: forget_refusals
-- Deletes a page of what is known of refusals: they need not be known longer than what was carried out.
WITH relaxed AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), old AS (
    SELECT player, command_id FROM refusal WHERE refused_at < now() - $1::interval
    ORDER BY refused_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM refusal r USING old o WHERE r.player = o.player AND r.command_id = o.command_id RETURNING 1
)
SELECT (SELECT count(*) FROM gone) FROM relaxed

-- name: forget_events
-- Deletes a page of world events that ended long ago.
WITH relaxed AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), old AS (
    SELECT id FROM world_event
    WHERE state <> 'scheduled' AND due_at < clock_timestamp() - $1::interval
    ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM world_event e USING old o WHERE e.id = o.id RETURNING 1
)
SELECT (SELECT count(*) FROM gone) FROM relaxed
