-- One stream in version order: the unique index on (category, stream_id, version) is the order.
-- Its name is not sent, since whoever asks has it.
SELECT position, version, recorded_at, event_id, command_id, schema_version,
       event_type, payload, metadata
FROM store.events
WHERE category = $1 AND stream_id = $2 AND version > $3
ORDER BY version
LIMIT $4
