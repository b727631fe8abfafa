-- name: earlier
-- What stands in the outbox before these revisions of these rows: it has to be published first.
SELECT o.id, o.message_id, o.player, o.payload, o.tell_at, o.created_at, o.source_id::text, o.trace
FROM outbox o
JOIN unnest($1::uuid[], $2::int[]) AS s (id, revision) ON o.source_id = s.id AND o.revision < s.revision
WHERE o.set_aside IS NULL
ORDER BY o.id

-- name: unpublished
-- What should have been published a moment ago and was not, oldest first, page by page.
SELECT o.id, o.message_id, o.player, o.payload, o.tell_at, o.created_at, o.source_id::text, o.trace
FROM outbox o
WHERE o.id > $1
  AND o.tell_at <= clock_timestamp() - $2::interval
  AND o.created_at <= clock_timestamp() - $2::interval
  AND o.set_aside IS NULL
ORDER BY o.id
LIMIT $3

-- name: delete_published
-- Deletes what was published, and lifts the stream's mark to the highest sequence of it. Not flushed: after a loss the
-- same messages are published again, under the same ids. SKIP LOCKED: who holds them is deleting them.
WITH relaxed AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), locked AS (
    SELECT id FROM outbox WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM outbox o USING locked l WHERE o.id = l.id
), raised AS (
    UPDATE feed_mark SET last_seq = $3 WHERE stream = $2 AND last_seq < $3
)
SELECT 1 FROM relaxed

-- name: set_aside
-- What the stream can never take, with the reason: nobody tries it again, and what stands behind it is published.
UPDATE outbox o SET set_aside = s.reason
FROM unnest($1::bigint[], $2::text[]) AS s (id, reason)
WHERE o.id = s.id

-- name: list_set_aside
-- What was set aside, oldest first, with the number of all of them.
SELECT id, message_id, player, coalesce(substring(payload FROM '"event": ?"([^"]{1,200})"'), '?'),
    octet_length(payload), created_at, set_aside, count(*) OVER ()
FROM outbox
WHERE set_aside IS NOT NULL
ORDER BY id
LIMIT $1

-- name: lock_set_aside
-- Those of these that are set aside (null: all that is), to be tried again or dropped in this transaction.
SELECT id FROM outbox
WHERE set_aside IS NOT NULL
  AND ($1::bigint[] IS NULL OR id = ANY($1))
ORDER BY id
FOR UPDATE

-- name: retry_set_aside
-- The sweep finds these again.
UPDATE outbox SET set_aside = NULL WHERE id = ANY($1::bigint[])

-- name: drop_set_aside
-- These are never published.
DELETE FROM outbox WHERE id = ANY($1::bigint[])

-- name: backlog
-- How much waits to be published although its time has come, for how long the oldest does, and how much never can be.
SELECT count(*) FILTER (WHERE set_aside IS NULL),
    coalesce(extract(epoch FROM clock_timestamp() - min(greatest(tell_at, created_at)) FILTER (WHERE set_aside IS NULL)),
        0)::float8,
    count(*) FILTER (WHERE set_aside IS NOT NULL)
FROM outbox
WHERE tell_at <= clock_timestamp()
