-- A position alone does not tell that the store was restored to an earlier moment and went on from
-- there with other events. The hash of the event at the position does.

ALTER TABLE projections.checkpoints
    -- Null in a checkpoint from before this column, until it moves.
    ADD COLUMN event_hash bytea CHECK (length(event_hash) = 32);
