-- A range of the store in position order, of which only some events are wanted. The range bounds the
-- work where few are.
SELECT position, version, recorded_at, event_id, command_id, schema_version,
       event_type, payload, metadata, category, stream_id
FROM store.events
WHERE position > $1 AND position <= $2
  AND ($3::text IS NULL OR category = $3)
  AND ($4::text IS NULL OR stream_id = $4)
  -- The same rule as Member::has in core.
  AND ($5::bigint IS NULL
       OR ('x' || encode(substr(sha256(convert_to(category || '/' || stream_id, 'UTF8')), 1, 4),
                         'hex'))::bit(32)::bigint % $6 = $5)
ORDER BY position
LIMIT $7
