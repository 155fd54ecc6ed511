-- The next $2 events of the store, of which only some are wanted. The inner query bounds the work where
-- few are. That it has a LIMIT of its own is what makes the planner walk the store by position: with
-- all conditions in one place, and no statistics yet, it gathers for each page every event that the
-- category has in the whole store, and sorts the range. None is behind $3, where the next page begins,
-- also where some are lost; said within, that would have it sort as well.
SELECT *
FROM (
    SELECT position, version, recorded_at, event_id, command_id, schema_version,
           event_type, payload, metadata, category, stream_id
    FROM store.events
    WHERE position > $1
    ORDER BY position
    LIMIT $2
) AS next
WHERE position <= $3
  AND ($4::text IS NULL OR category = $4)
  AND ($5::text IS NULL OR stream_id = $5)
  -- The same rule as Member::has in core.
  AND ($6::bigint IS NULL
       OR ('x' || encode(substr(sha256(convert_to(category || '/' || stream_id, 'UTF8')), 1, 4),
                         'hex'))::bit(32)::bigint % $7 = $6)
ORDER BY position
LIMIT $8
