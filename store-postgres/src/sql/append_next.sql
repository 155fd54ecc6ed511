-- A command of a caller who is alone, on streams whose ends are known: see store.append_next in the migrations.
SELECT store.append_next($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
