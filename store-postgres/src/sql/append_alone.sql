-- The usual command of a caller who is alone: see store.append_alone in the migrations.
SELECT command, status, first_position, event_count, recorded_at, versions, stream, refusal
FROM store.append_alone($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
