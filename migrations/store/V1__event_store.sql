-- The event store of one service: an append-only log with one dense, commit-ordered position.
--
-- Everything is written through store.append (V2). Roles are made beforehand, named after the
-- database; this file only grants.

CREATE SCHEMA store;

-- Who this store is. A position means nothing without it.
CREATE TABLE store.identity (
    singleton  boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    store_id   uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO store.identity DEFAULT VALUES;

-- The row that appends queue for. It is locked and never updated: an updated counter would leave
-- a dead row version with every append, and beside one long snapshot none could be cleaned up.
CREATE TABLE store.append_lock (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton)
);
INSERT INTO store.append_lock DEFAULT VALUES;

CREATE TABLE store.events (
    -- 1, 2, 3 … without gaps, in commit order.
    position       bigint  PRIMARY KEY CHECK (position > 0),
    -- 1, 2, 3 … without gaps in its stream.
    version        bigint  NOT NULL CHECK (version > 0),
    -- Microseconds since 1970-01-01 UTC by this server's clock; never decreases. Not an order.
    recorded_at    bigint  NOT NULL,
    event_id       uuid    NOT NULL,
    command_id     uuid    NOT NULL,
    -- Set on a command's first event only: how many events it has, and what it asked for.
    command_events integer CHECK (command_events > 0),
    schema_version integer NOT NULL CHECK (schema_version > 0),
    -- Byte order, not a language's: names are compared for equality, and never change their order
    -- with an upgrade of the operating system's locale.
    category       text    COLLATE "C" NOT NULL,
    stream_id      text    COLLATE "C" NOT NULL,
    event_type     text    COLLATE "C" NOT NULL,
    fingerprint    bytea   CHECK (length(fingerprint) = 32),
    -- JSON exactly as it was written. jsonb would reorder keys and rewrite numbers.
    payload        bytea   NOT NULL,
    metadata       bytea   NOT NULL,
    CONSTRAINT events_stream_version UNIQUE (category, stream_id, version),
    CONSTRAINT events_first_of_command CHECK ((command_events IS NULL) = (fingerprint IS NULL))
);

-- A command is recorded once. One entry a command, not one an event.
CREATE UNIQUE INDEX events_command ON store.events (command_id)
    WHERE command_events IS NOT NULL;

-- The commands that caused no event: refused (with the refusal's JSON) or empty (without).
CREATE TABLE store.outcomes (
    command_id  uuid   PRIMARY KEY,
    recorded_at bigint NOT NULL,
    fingerprint bytea  NOT NULL CHECK (length(fingerprint) = 32),
    refusal     bytea,
    metadata    bytea  NOT NULL
);

-- History for people with SQL. The casts fail loudly on a payload that PostgreSQL's json refuses.
CREATE VIEW store.history AS
SELECT position,
       category,
       stream_id,
       version,
       event_type,
       schema_version,
       to_timestamp(recorded_at / 1000000) + (recorded_at % 1000000) * interval '1 microsecond'
           AS recorded_at,
       event_id,
       command_id,
       convert_from(payload, 'UTF8')::json  AS payload,
       convert_from(metadata, 'UTF8')::json AS metadata
FROM store.events;

-- Append-only by force. Missing grants stop the application; these triggers stop the owner and
-- everybody else. ENABLE ALWAYS: they also fire for a session that plays a replica, which is how
-- ordinary triggers are slipped past.
CREATE FUNCTION store.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% on %.% is refused: the log is append-only',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation',
              HINT = 'Record a correcting event in place of changing history.';
END;
$$;

DO $$
DECLARE
    guarded text;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['events', 'outcomes', 'identity'] LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON store.%I
                 FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_change()', guarded);
        EXECUTE format('ALTER TABLE store.%I ENABLE ALWAYS TRIGGER append_only', guarded);
    END LOOP;
END;
$$;

DO $$
DECLARE
    appender text := current_database() || '_appender';
    reader   text := current_database() || '_reader';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA store TO %I, %I', appender, reader);
    EXECUTE format(
        'GRANT SELECT ON store.identity, store.events, store.outcomes, store.history TO %I, %I',
        appender, reader);
END;
$$;
