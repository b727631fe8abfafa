-- name: read
-- The highest sequence ever published into the stream, and in which epoch.
SELECT epoch, last_seq FROM feed_mark WHERE stream = $1

-- name: went_back
-- The first of these pushes (row, revision, must the row be there, sequence, message id) whose row the table knows only
-- at an earlier revision or not at all, or which lies above the mark and never stood in the outbox: none while every
-- commit that was published is still there. One statement: mark and outbox are those of one moment.
SELECT pushed.seq
FROM unnest($1::uuid[], $2::int[], $3::bool[], $4::bigint[], $5::text[])
    AS pushed (id, revision, kept, seq, message_id)
LEFT JOIN build b ON b.id = pushed.id
LEFT JOIN world_event e ON e.id = pushed.id
WHERE coalesce(b.revision, e.revision) < pushed.revision OR (pushed.kept AND b.id IS NULL)
   OR (
       pushed.seq > (SELECT last_seq FROM feed_mark WHERE stream = $6)
       AND pushed.message_id LIKE '%~%'
       AND NOT EXISTS (SELECT FROM outbox o WHERE o.message_id = pushed.message_id)
   )
ORDER BY pushed.seq
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
