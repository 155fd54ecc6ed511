-- Seals of the event store that is in this database: a Merkle log over its events and outcomes, a map of its
-- streams, and signed checkpoints.
--
-- Everything that a seal writes is in one transaction, which holds the row of audit.sealer. Nothing of it is on
-- the way of an append.

CREATE SCHEMA audit;

-- Outcomes get an order of their own, as events have positions. Appends insert them under the append lock, which
-- is held to the commit: the numbers are in commit order. Those of appends that were rolled back are left out.
-- What was there before is numbered as it lies in the table.
ALTER TABLE store.outcomes ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;
CREATE UNIQUE INDEX outcomes_number ON store.outcomes (number);

-- The nodes of the log, 256 side by side. The last of each level grow, the others stay.
CREATE TABLE audit.tiles (
    level  smallint NOT NULL CHECK (level BETWEEN 0 AND 7),
    index  bigint   NOT NULL CHECK (index >= 0),
    hashes bytea    NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (level, index)
);
-- Hashes cannot be compressed, so it is not tried.
ALTER TABLE audit.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Where each stream ends, in those of the 65,536 parts of the map that have a stream.
CREATE TABLE audit.buckets (
    number  integer PRIMARY KEY CHECK (number BETWEEN 0 AND 65535),
    entries bytea   NOT NULL CHECK (length(entries) > 0 AND length(entries) % 48 = 0),
    -- The leaves of the log with the seal that changed it last. Without an index: whoever knows an older map reads
    -- what is newer once, and seals are written all the time.
    size    bigint  NOT NULL CHECK (size > 0)
);
ALTER TABLE audit.buckets ALTER COLUMN entries SET STORAGE EXTERNAL;

-- Each seal appends the events behind those of the seal before, in the order of their positions, and then the
-- outcomes behind those, in the order of their numbers. So these rows say which leaf is which.
CREATE TABLE audit.checkpoints (
    -- Leaves of the log.
    size      bigint PRIMARY KEY,
    -- The position of the last event and the number of the last outcome that are in it.
    events    bigint NOT NULL CHECK (events >= 0),
    outcomes  bigint NOT NULL CHECK (outcomes >= 0),
    -- Microseconds since 1970-01-01 UTC by this server's clock; never decreases.
    sealed_at bigint NOT NULL,
    -- All of that with the roots, signed.
    note      text   NOT NULL CHECK (note <> ''),
    -- Events are numbered without gaps, outcomes are not.
    CHECK (size BETWEEN events AND events + outcomes)
);
CREATE INDEX checkpoints_events ON audit.checkpoints (events, size);
CREATE INDEX checkpoints_outcomes ON audit.checkpoints (outcomes, size);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_change();
ALTER TABLE audit.checkpoints ENABLE ALWAYS TRIGGER append_only;

-- Whoever has locked this row seals. It is never updated.
CREATE TABLE audit.sealer (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton)
);
INSERT INTO audit.sealer DEFAULT VALUES;

DO $$
DECLARE
    sealer text := current_database() || '_sealer';
    reader text := current_database() || '_reader';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA store TO %I', sealer);
    EXECUTE format('GRANT SELECT ON store.events, store.outcomes TO %I', sealer);
    EXECUTE format('GRANT USAGE ON SCHEMA audit TO %I, %I', sealer, reader);
    EXECUTE format(
        'GRANT SELECT ON audit.tiles, audit.buckets, audit.checkpoints, audit.sealer TO %I, %I', sealer, reader);
    EXECUTE format('GRANT INSERT, UPDATE ON audit.tiles, audit.buckets TO %I', sealer);
    EXECUTE format('GRANT INSERT ON audit.checkpoints TO %I', sealer);
    -- To lock its row.
    EXECUTE format('GRANT UPDATE ON audit.sealer TO %I', sealer);
END;
$$;
