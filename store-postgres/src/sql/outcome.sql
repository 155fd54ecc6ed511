-- What was recorded for a command: at most one row, from one table or the other.
SELECT position AS first_position, command_events AS event_count, NULL::bytea AS refusal
FROM store.events
WHERE command_id = $1 AND command_events IS NOT NULL
UNION ALL
SELECT NULL, 0, refusal
FROM store.outcomes
WHERE command_id = $1
