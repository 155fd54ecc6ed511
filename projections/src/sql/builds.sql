-- Every build with its partitions, one row a partition.
SELECT b.projection, b.build, b.revision, b.state, b.events_per_second, b.paused_by, b.pause_reason,
       b.resumed,
       (SELECT count(*) FROM projections.dead_letters d
        WHERE d.projection = b.projection AND d.build = b.build AND d.resolution IS NULL),
       b.effects_done, c.store_id, c.position, c.event_hash,
       CASE WHEN c.held_until > now() THEN c.owner END, c.updated_at
FROM projections.builds b
JOIN projections.checkpoints c USING (projection, build)
WHERE $1::text IS NULL OR b.projection = $1
ORDER BY b.projection, b.build, c.partition
