-- name: read
-- How far the stream was ever told, and in which epoch.
SELECT epoch, last_seq FROM feed_mark WHERE stream = $1

-- name: went_back
-- The first of these rows (id, revision, must it be there) that the table knows only at an earlier revision, or not at
-- all: none while every commit that was told is still there.
SELECT told.id, told.revision
FROM unnest($1::uuid[], $2::int[], $3::bool[]) AS told (id, revision, kept)
LEFT JOIN build b ON b.id = told.id
LEFT JOIN world_event e ON e.id = told.id
WHERE coalesce(b.revision, e.revision) < told.revision OR (told.kept AND b.id IS NULL)
LIMIT 1

-- name: lift
-- Lifts the mark; never lowers it. Flushed later: a mark that is a moment behind still shows a stream that lost more.
WITH relaxed AS MATERIALIZED (
    SELECT set_config('synchronous_commit', 'off', true)
), raised AS (
    UPDATE feed_mark SET last_seq = $2 WHERE stream = $1 AND last_seq < $2
)
SELECT 1 FROM relaxed

-- name: begin_epoch
-- Notes a new epoch, and that nothing at or below the mark will come again.
INSERT INTO feed_mark (stream, epoch, last_seq)
VALUES ($1, $2, $3)
ON CONFLICT (stream) DO UPDATE
SET epoch = excluded.epoch, last_seq = greatest(feed_mark.last_seq, excluded.last_seq)
