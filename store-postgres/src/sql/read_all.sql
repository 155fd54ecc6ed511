-- The whole store in position order. Positions have no gaps, so a page is a range: the server
-- reads just these rows, and no snapshot outlives the page.
SELECT position, version, recorded_at, event_id, command_id, schema_version,
       event_type, payload, metadata, category, stream_id
FROM store.events
WHERE position > $1 AND position <= $2
ORDER BY position
