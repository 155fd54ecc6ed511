-- A command of a caller who is alone, on streams whose ends are known: see store.append_known in the migrations.
SELECT command, status, first_position, event_count, recorded_at, versions, stream, refusal
FROM store.append_known($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
