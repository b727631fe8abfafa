-- name: lock_players
-- One order of a player after the other, over all copies of the service. The keys come sorted: one lock order.
SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key

-- name: lock_builds
-- The rows that orders want to change, or whose completion they count on: by id, or by site where one is building.
-- Sorted by id, like every statement that locks builds; what it returns is each row as it is once locked.
SELECT id::text, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at, follow_ups, trace,
    duration_ms
FROM build
WHERE id = ANY (ARRAY(
    SELECT unnest($1::uuid[])
    UNION
    SELECT busy.id
    FROM unnest($2::text[], $3::text[]) AS ask (player, site)
    CROSS JOIN LATERAL (
        SELECT id FROM build
        WHERE build.player = ask.player AND build.site = ask.site AND build.state = 'building'
        LIMIT 1
    ) AS busy
))
ORDER BY build.id
FOR NO KEY UPDATE

-- name: load_orders
-- For each order of a batch, in its order: the time; what the inbox remembers; how often it was refused; what its site
-- is busy with; how many builds its player has under way (counted up to a bound). A row that was completed ahead of its
-- time still counts. Counted is once for each player ($5), and not where what was noted of many (`note_held`) will do:
-- it is no fewer than there are, since only orders add to them. At the limit it is counted anew, once a second at most.
-- LATERAL with LIMIT keeps the planner from joining whole tables while they are young and their statistics empty;
-- ORDER BY due_at leads it to the index of recent completions, not to the one of all that a player ever finished.
WITH clock AS MATERIALIZED (SELECT date_trunc('milliseconds', clock_timestamp()) AS now)
SELECT
    clock.now, known.command, known.fingerprint, known.outcome, refused.times,
    coalesce(busy.kind, recent.kind) AS busy_kind,
    CASE WHEN busy.kind IS NULL THEN recent.due_at END AS free_at,
    coalesce(noted.builds, held.builds + ahead.builds) AS builds, noted.builds IS NOT NULL AS noted
FROM clock
CROSS JOIN unnest($1::text[], $2::text[], $3::text[], $5::bool[]) WITH ORDINALITY
    AS ask (player, command_id, site, first, number)
LEFT JOIN LATERAL (
    SELECT builds FROM held_builds
    WHERE ask.first AND held_builds.player = ask.player AND (
        counted_at > clock.now - interval '1 second'
        OR (builds < $4 AND counted_at > clock.now - interval '5 minutes')
    )
    LIMIT 1
) AS noted ON true
LEFT JOIN LATERAL (
    SELECT command, fingerprint, outcome FROM inbox
    WHERE inbox.player = ask.player AND inbox.command_id = ask.command_id
    LIMIT 1
) AS known ON true
LEFT JOIN LATERAL (
    SELECT times FROM refusal
    WHERE refusal.player = ask.player AND refusal.command_id = ask.command_id
    LIMIT 1
) AS refused ON true
LEFT JOIN LATERAL (
    SELECT kind FROM build
    WHERE build.player = ask.player AND build.site = ask.site AND build.state = 'building'
    LIMIT 1
) AS busy ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS builds
    FROM (
        SELECT FROM build
        WHERE ask.first AND noted.builds IS NULL AND build.player = ask.player AND build.state = 'building'
        LIMIT $4
    ) AS counted
) AS held
CROSS JOIN LATERAL (
    SELECT count(*) AS builds
    FROM (
        SELECT FROM build
        WHERE ask.first AND noted.builds IS NULL AND build.player = ask.player AND build.state = 'completed'
            AND build.due_at > clock.now
        ORDER BY build.due_at
        LIMIT $4
    ) AS counted
) AS ahead
LEFT JOIN LATERAL (
    SELECT build.kind, build.due_at
    FROM build
    WHERE build.player = ask.player AND build.site = ask.site AND build.state = 'completed' AND build.due_at > clock.now
    ORDER BY build.due_at DESC
    LIMIT 1
) AS recent ON true
ORDER BY ask.number

-- name: note_held
-- How many builds players have who have many: counting those takes longer than an order should. $3 says for which of them
-- it was counted just now. Each row is its player's, whose lock is held.
INSERT INTO held_builds (player, builds, counted_at)
SELECT player, builds, clock_timestamp() FROM unnest($1::text[], $2::int[], $3::bool[]) AS new (player, builds, counted)
ON CONFLICT (player) DO UPDATE SET builds = excluded.builds, counted_at = CASE
    WHEN (SELECT bool_or(counted) FROM unnest($1::text[], $3::bool[]) AS new (player, counted)
        WHERE new.player = held_builds.player)
    THEN excluded.counted_at ELSE held_builds.counted_at END

-- name: load_standing
-- Which of the asked kinds each player has finished.
SELECT ask.player, ask.kind
FROM unnest($1::text[], $2::text[]) AS ask (player, kind)
WHERE EXISTS (
    SELECT FROM build
    WHERE build.player = ask.player AND build.kind = ask.kind AND build.state = 'completed'
        AND build.due_at <= clock_timestamp()
)

-- name: load_queues
-- What waits for each player's sites, first come first.
SELECT id::text, player, site, kind, duration_ms, follow_ups, trace, created_at
FROM queued_order
WHERE player = ANY ($1::text[])
ORDER BY player, site, position

-- name: change_builds
-- Cancelled and rescheduled rows. The revision is the guard (it names one content, here one that was building): fewer
-- rows than asked for means that somebody else came first, and the whole batch is rolled back and judged again.
-- The ids once more as ANY, and no word on the state: that leads to the primary key on young tables too.
UPDATE build
SET state = new.state, revision = new.revision, due_at = new.due_at, cancelled_at = new.cancelled_at,
    duration_ms = new.duration_ms
FROM unnest($1::uuid[], $2::int[], $3::text[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::bigint[])
    AS new (id, expected, state, revision, due_at, cancelled_at, duration_ms)
WHERE build.id = ANY ($1::uuid[]) AND build.id = new.id AND build.revision = new.expected

-- name: insert_orders
-- A whole batch: its builds, what the inbox will remember, and what has yet to be published, in its order. Most columns come
-- as one text each, joined by $24; of those that may be NULL, NULL is written as nothing.
WITH started AS (
    INSERT INTO build (id, player, kind, site, state, revision, started_at, due_at, cancelled_at, follow_ups, trace)
    SELECT * FROM unnest(
        string_to_array($1, $24)::uuid[], $2::text[], string_to_array($3, $24), string_to_array($4, $24),
        string_to_array($5, $24), string_to_array($6, $24)::int[], string_to_array($7, $24)::timestamptz[],
        string_to_array($8, $24)::timestamptz[], string_to_array($9, $24, '')::timestamptz[],
        string_to_array($10, $24, '')::jsonb[], string_to_array($11, $24, '')
    )
), remembered AS (
    INSERT INTO inbox (player, command_id, command, fingerprint, outcome)
    SELECT * FROM unnest(
        $12::text[], $13::text[], string_to_array($14, $24), $15::bytea[], string_to_array($16, $24)
    )
)
INSERT INTO outbox (message_id, source_kind, source_id, revision, player, payload, tell_at, trace)
SELECT message_id, 'build', source_id, revision, player, payload, tell_at, trace
FROM unnest(
    string_to_array($17, $24), string_to_array($18, $24)::uuid[], string_to_array($19, $24)::int[],
    $20::text[], string_to_array($21, $24), string_to_array($22, $24)::timestamptz[], $23::text[]
) WITH ORDINALITY AS pushes (message_id, source_id, revision, player, payload, tell_at, trace, number)
ORDER BY pushes.number
RETURNING id, message_id

-- name: count_refusals
-- How often these orders were refused by now. Each row is its player's, whose lock is held.
INSERT INTO refusal (player, command_id, times)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[])
ON CONFLICT (player, command_id) DO UPDATE SET times = excluded.times, refused_at = excluded.refused_at

-- name: insert_queued
-- Orders that wait for their site.
INSERT INTO queued_order (id, player, site, kind, duration_ms, follow_ups, trace, created_at)
SELECT id, player, site, kind, duration_ms, follow_ups, trace, created_at
FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::jsonb[], $7::text[], $8::timestamptz[]
) WITH ORDINALITY AS new (id, player, site, kind, duration_ms, follow_ups, trace, created_at, number)
ORDER BY new.number

-- name: delete_queued
-- Orders that wait no longer: started or withdrawn. Fewer than asked for: somebody else came first.
DELETE FROM queued_order WHERE id = ANY ($1::uuid[])
