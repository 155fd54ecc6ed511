-- Which build is live, and how far it has come: as far as the partition that has come least far.
SELECT b.build, b.revision, min(c.position), (array_agg(c.store_id))[1],
       EXISTS (SELECT FROM projections.dead_letters d
               WHERE d.projection = b.projection AND d.build = b.build AND d.resolution IS NULL)
FROM projections.builds b
JOIN projections.checkpoints c USING (projection, build)
WHERE b.projection = $1 AND b.state = 'live'
GROUP BY b.projection, b.build, b.revision
