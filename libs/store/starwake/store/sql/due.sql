-- name: soon_builds
-- Keys of builds that come due in a window, oldest first, page by page: what the sweep compares with the hold.
-- `id` alone would mean the text of the column above, and a herd that is due at once would be sorted for each page.
SELECT id::text, revision, due_at
FROM build
WHERE state = 'building' AND due_at <= $3 AND (due_at, id) > ($1, $2::uuid)
ORDER BY due_at, build.id
LIMIT $4

-- name: soon_events
-- The same for world events.
SELECT id::text, revision, due_at
FROM world_event
WHERE state = 'scheduled' AND due_at <= $3 AND (due_at, id) > ($1, $2::uuid)
ORDER BY due_at, world_event.id
LIMIT $4

-- name: building
-- Whole rows of these builds, as far as they still wait.
SELECT id::text, player, kind, site, revision, started_at, due_at, follow_ups::text, trace
FROM build
WHERE id = ANY($1::uuid[]) AND state = 'building'
ORDER BY due_at, build.id

-- name: scheduled
-- Whole rows of these world events, as far as they still wait.
SELECT id::text, player, event, data::text, due_at, revision, trace
FROM world_event
WHERE id = ANY($1::uuid[]) AND state = 'scheduled'
ORDER BY due_at, world_event.id

-- name: claim_builds
-- Overdue builds, oldest first, that nobody else is working on; some players can be left out so that others get a
-- turn. SKIP LOCKED: several schedulers share a backlog without waiting for one another.
SELECT id::text, player, kind, site, revision, started_at, due_at, follow_ups::text, trace
FROM build
WHERE state = 'building' AND due_at <= $1 AND player <> ALL($2::text[])
ORDER BY due_at, build.id
LIMIT $3
FOR NO KEY UPDATE SKIP LOCKED

-- name: claim_events
-- Overdue world events, oldest first, that nobody else is working on.
SELECT id::text, player, event, data::text, due_at, revision, trace
FROM world_event
WHERE state = 'scheduled' AND due_at <= $1
ORDER BY due_at, world_event.id
LIMIT $2
FOR NO KEY UPDATE SKIP LOCKED

-- name: complete_builds
-- THE completion: the row decides, by the database's clock, and the outbox gets the pushes in the same statement.
-- Locks in one order (id). Answers for each row that still has the asked revision whether it was due (if
-- not it was left alone); for each message its place in the outbox; what stood in the outbox before (the statement's
-- snapshot does not hold what it writes itself); and, without a name, whether any order waits for a site.
WITH wanted AS (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::text[]) AS w (id, revision, due_at, player)
), locked AS MATERIALIZED (
    SELECT b.id, b.due_at <= clock_timestamp() + $5::interval AS due
    FROM build b
    JOIN wanted w ON w.id = b.id AND w.revision = b.revision AND w.due_at = b.due_at AND w.player = b.player
    WHERE b.state = 'building'
    ORDER BY b.id
    FOR NO KEY UPDATE OF b
), completed AS (
    UPDATE build b
    SET state = 'completed', revision = b.revision + 1, completed_at = b.due_at
    FROM locked l
    WHERE b.id = l.id AND l.due
    RETURNING b.id, b.player, b.revision, b.due_at
), pushes AS (
    INSERT INTO outbox (message_id, source_kind, source_id, revision, player, payload, tell_at, trace)
    SELECT m.message_id, 'build', c.id, c.revision, c.player, m.payload, c.due_at, m.trace
    FROM unnest($6::uuid[], $7::text[], $8::text[], $9::text[])
        WITH ORDINALITY AS m (id, message_id, payload, trace, place)
    JOIN completed c ON c.id = m.id
    ORDER BY m.place
    RETURNING id, message_id
)
SELECT l.id::text AS name, l.due AS due, NULL::bigint AS outbox_id,
    NULL::text AS player, NULL::text AS payload, NULL::timestamptz AS tell_at, NULL::timestamptz AS created_at,
    NULL::text AS source_id, NULL::text AS trace
FROM locked l
UNION ALL
SELECT p.message_id, NULL, p.id, NULL, NULL, NULL, NULL, NULL, NULL FROM pushes p
UNION ALL
(SELECT o.message_id, NULL, o.id, o.player, o.payload, o.tell_at, o.created_at, o.source_id::text, o.trace
FROM completed c JOIN outbox o ON o.source_id = c.id ORDER BY o.id)
UNION ALL
SELECT NULL, EXISTS (SELECT 1 FROM queued_order), NULL, NULL, NULL, NULL, NULL, NULL, NULL

-- name: complete_events
-- The same for world events: `scheduled -> told`.
WITH wanted AS (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::timestamptz[]) AS w (id, revision, due_at)
), locked AS MATERIALIZED (
    SELECT e.id, e.due_at <= clock_timestamp() + $4::interval AS due
    FROM world_event e
    JOIN wanted w ON w.id = e.id AND w.revision = e.revision AND w.due_at = e.due_at
    WHERE e.state = 'scheduled'
    ORDER BY e.id
    FOR NO KEY UPDATE OF e
), completed AS (
    UPDATE world_event e
    SET state = 'told', revision = e.revision + 1, told_at = e.due_at
    FROM locked l
    WHERE e.id = l.id AND l.due
    RETURNING e.id, e.player, e.revision, e.due_at
), pushes AS (
    INSERT INTO outbox (message_id, source_kind, source_id, revision, player, payload, tell_at, trace)
    SELECT m.message_id, 'event', c.id, c.revision, c.player, m.payload, c.due_at, m.trace
    FROM unnest($5::uuid[], $6::text[], $7::text[], $8::text[])
        WITH ORDINALITY AS m (id, message_id, payload, trace, place)
    JOIN completed c ON c.id = m.id
    ORDER BY m.place
    RETURNING id, message_id
)
SELECT l.id::text AS name, l.due AS due, NULL::bigint AS outbox_id,
    NULL::text AS player, NULL::text AS payload, NULL::timestamptz AS tell_at, NULL::timestamptz AS created_at,
    NULL::text AS source_id, NULL::text AS trace
FROM locked l
UNION ALL
SELECT p.message_id, NULL, p.id, NULL, NULL, NULL, NULL, NULL, NULL FROM pushes p

-- name: any_queued
-- Whether any order waits for its site at all; most of the time none does.
SELECT EXISTS (SELECT 1 FROM queued_order)

-- name: next_queued
-- The next order of each of these builds' sites, locked, with the moment at which it starts: the build's own due
-- time. A statement of its own after the UPDATE: only its snapshot holds what was queued while the UPDATE waited.
SELECT q.id::text, q.player, q.kind, q.site, q.duration_ms, q.follow_ups::text, q.trace, q.created_at,
    b.due_at AS starts_at
FROM build b
CROSS JOIN LATERAL (
    SELECT * FROM queued_order q
    WHERE q.player = b.player AND q.site = b.site
    ORDER BY q.position
    LIMIT 1
    FOR UPDATE
) q
WHERE b.id = ANY($1::uuid[])
ORDER BY q.player, q.site

-- name: stranded_queued
-- Orders whose site is free although they wait: the one before was cancelled, or its end was not seen. They start
-- when their site became free, or when they were given if that was later. What is young, or waits behind what ended a
-- moment ago, is left to whoever is about it. Only what ended since the order was given matters, and is found by time:
-- hence the split by state, now() (clock_timestamp() fits no index), and OFFSET 0, which keeps the tables from being joined.
SELECT q.id::text, q.player, q.kind, q.site, q.duration_ms, q.follow_ups::text, q.trace, q.created_at,
    greatest(
        q.created_at,
        (
            SELECT max(b.due_at) FROM build b
            WHERE b.player = q.player AND b.site = q.site AND b.state = 'completed' AND b.due_at > q.created_at
        ),
        (
            SELECT max(b.cancelled_at) FROM build b
            WHERE b.player = q.player AND b.site = q.site AND b.state = 'cancelled' AND b.cancelled_at > q.created_at
        )
    ) AS starts_at
FROM queued_order q
WHERE q.created_at < clock_timestamp() - $1::interval
  AND NOT EXISTS (
      SELECT 1 FROM build b WHERE b.player = q.player AND b.site = q.site AND b.state = 'building' OFFSET 0)
  AND NOT EXISTS (
      SELECT 1 FROM build b
      WHERE b.player = q.player AND b.site = q.site AND b.state = 'completed' AND b.due_at > now() - $1::interval
      OFFSET 0)
  AND NOT EXISTS (
      SELECT 1 FROM build b
      WHERE b.player = q.player AND b.site = q.site AND b.state = 'cancelled' AND b.cancelled_at > now() - $1::interval
      OFFSET 0)
  AND NOT EXISTS (
      SELECT 1 FROM queued_order f WHERE f.player = q.player AND f.site = q.site AND f.position < q.position)
ORDER BY q.player, q.site
LIMIT $2
FOR UPDATE OF q SKIP LOCKED

-- name: start_queued
-- Turns orders that waited into builds, as far as their site is free, and writes the pushes.
WITH wanted AS (
    SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::text[], $6::text[])
        AS w (id, started_at, due_at, message_id, payload, trace)
), started AS (
    INSERT INTO build (id, player, kind, site, state, revision, started_at, due_at, follow_ups, trace)
    SELECT q.id, q.player, q.kind, q.site, 'building', 1, w.started_at, w.due_at, q.follow_ups, q.trace
    FROM wanted w
    JOIN queued_order q ON q.id = w.id
    ORDER BY q.player, q.site
    ON CONFLICT DO NOTHING
    RETURNING id, player, started_at
), gone AS (
    DELETE FROM queued_order q USING started s WHERE q.id = s.id
)
INSERT INTO outbox (message_id, source_kind, source_id, revision, player, payload, tell_at, trace)
SELECT w.message_id, 'build', s.id, 1, s.player, w.payload, s.started_at, w.trace
FROM wanted w
JOIN started s ON s.id = w.id
ORDER BY s.id
RETURNING id, message_id

-- name: overdue
-- How many rows wait beyond their time by more than a moment.
SELECT
    (SELECT count(*) FROM build WHERE state = 'building' AND due_at <= clock_timestamp() - $1::interval)
    + (SELECT count(*) FROM world_event WHERE state = 'scheduled' AND due_at <= clock_timestamp() - $1::interval)

-- name: pending
-- How many rows wait for their time.
SELECT
    (SELECT count(*) FROM build WHERE state = 'building') + (SELECT count(*) FROM world_event WHERE state = 'scheduled')
