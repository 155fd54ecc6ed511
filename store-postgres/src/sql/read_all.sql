-- The whole store in position order. Positions have no gaps, so a page is a range: the server
-- reads just these rows, and no snapshot outlives the page.
SELECT position, version, recorded_at, event_id, command_id, schema_version,
       category, stream_id, event_type, payload, metadata
FROM store.events
WHERE position > $1 AND position <= $2
ORDER BY position
