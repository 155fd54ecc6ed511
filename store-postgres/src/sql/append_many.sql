SELECT command, status, first_position, event_count, recorded_at, versions, stream, refusal
FROM store.append_many($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                       $18, $19, $20, $21, $22, $23, $24, $25, $26)
