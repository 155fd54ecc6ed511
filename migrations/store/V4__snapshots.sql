-- States that were kept to shorten loading: a cache, and the only table here that may be changed.
-- What it holds is compared with the stream before it is used.

CREATE TABLE store.snapshots (
    category      text     COLLATE "C" NOT NULL,
    stream_id     text     COLLATE "C" NOT NULL,
    -- The version of the state's shape, which the aggregate's code raises.
    state_version integer  NOT NULL CHECK (state_version > 0),
    -- The event that it is the state after, and that event's hash.
    version       bigint   NOT NULL CHECK (version > 0),
    event_hash    bytea    NOT NULL CHECK (length(event_hash) = 32),
    state         bytea    NOT NULL,
    PRIMARY KEY (category, stream_id, state_version)
);

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON store.snapshots TO %I',
                   current_database() || '_appender');
    EXECUTE format('GRANT SELECT ON store.snapshots TO %I', current_database() || '_reader');
END;
$$;
