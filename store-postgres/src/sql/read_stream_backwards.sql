-- One stream from its end: the same index, read the other way round.
SELECT position, version, recorded_at, event_id, command_id, schema_version,
       event_type, payload, metadata
FROM store.events
WHERE category = $1 AND stream_id = $2 AND version < $3
ORDER BY version DESC
LIMIT $4
