SELECT version, event_hash, state
FROM store.snapshots
WHERE category = $1 AND stream_id = $2 AND state_version = $3
