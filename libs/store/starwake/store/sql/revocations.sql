-- name: note
-- Notes that a player's tokens issued up to then no longer count; an earlier moment changes nothing.
INSERT INTO revocation (player, revoked_at) VALUES ($1, $2)
ON CONFLICT (player) DO UPDATE SET revoked_at = excluded.revoked_at WHERE revocation.revoked_at < excluded.revoked_at

-- name: note_found
-- Notes what was found in the stream and the table has not, or has an earlier one of; not what nobody needs any more.
INSERT INTO revocation (player, revoked_at)
SELECT found.player, found.revoked_at FROM unnest($1::text[], $2::timestamptz[]) AS found (player, revoked_at)
WHERE found.revoked_at > clock_timestamp() - $3::interval
ORDER BY found.player
ON CONFLICT (player) DO UPDATE SET revoked_at = excluded.revoked_at WHERE revocation.revoked_at < excluded.revoked_at
RETURNING player

-- name: locked
-- A player's revocation, and until the transaction's end nobody else publishes it.
SELECT revoked_at FROM revocation WHERE player = $1 FOR UPDATE

-- name: page
-- A page of those that may still matter, in the order of players.
SELECT player, revoked_at FROM revocation
WHERE player > $1 AND revoked_at > clock_timestamp() - $2::interval
ORDER BY player LIMIT $3

-- name: forget
-- Deletes a page of those that are older than promised. Not flushed: a loss only deletes again.
WITH relaxed AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), old AS (
    SELECT player FROM revocation WHERE revoked_at < clock_timestamp() - $1::interval
    ORDER BY revoked_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM revocation r USING old o WHERE r.player = o.player RETURNING 1
)
SELECT (SELECT count(*) FROM gone) FROM relaxed
