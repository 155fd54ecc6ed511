-- The last one that is kept stays. An older state in place of a newer one costs time and no more.
INSERT INTO store.snapshots (category, stream_id, state_version, version, event_hash, state)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (category, stream_id, state_version) DO UPDATE
SET version = excluded.version, event_hash = excluded.event_hash, state = excluded.state
