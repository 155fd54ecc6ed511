
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE SCHEMA store;

ALTER SCHEMA store OWNER TO folio_first_version_owner;

CREATE FUNCTION store.append_alone(p_command_id uuid, p_fingerprint bytea, p_metadata bytea, p_category text, p_stream_id text, p_expected bigint, p_expected_event uuid, p_event_id uuid, p_event_type text, p_schema_version integer, p_payload bytea, OUT command integer, OUT status text, OUT first_position bigint, OUT event_count integer, OUT recorded_at bigint, OUT versions bigint[], OUT stream integer, OUT refusal bytea) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    AS $$
BEGIN
    -- Both as in store.append_many, and for the same reasons.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'store.append_alone needs a READ COMMITTED transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM FROM store.append_lock FOR UPDATE;

    INSERT INTO store.events AS new (
        position, version, recorded_at, event_id, command_id, command_events,
        schema_version, category, stream_id, event_type, fingerprint, payload, metadata)
    SELECT coalesce(head.position, 0) + 1,
           coalesce(last.version, 0) + 1,
           greatest(coalesce(head.recorded_at, 0),
                    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
           p_event_id, p_command_id, 1, p_schema_version, p_category, p_stream_id, p_event_type,
           p_fingerprint, p_payload, p_metadata
      FROM (VALUES (true)) one
      LEFT JOIN LATERAL (
               SELECT e.position, e.recorded_at
                 FROM store.events e
                ORDER BY e.position DESC
                LIMIT 1) head ON true
      LEFT JOIN LATERAL (
               SELECT e.version, e.event_id
                 FROM store.events e
                WHERE e.category = p_category AND e.stream_id = p_stream_id
                ORDER BY e.version DESC
                LIMIT 1) last ON true
     WHERE CASE p_expected WHEN -1 THEN true
                           WHEN -2 THEN last.version IS NOT NULL
                           ELSE p_expected = coalesce(last.version, 0)
                                AND coalesce(p_expected_event = last.event_id, true) END
       -- A command that was refused, or caused nothing, is in no index of the events.
       AND NOT EXISTS (SELECT FROM store.outcomes o WHERE o.command_id = p_command_id)
    RETURNING 'executed', new.position, 1, new.recorded_at, ARRAY[new.version - 1]
         INTO status, first_position, event_count, recorded_at, versions;
END;
$$;

ALTER FUNCTION store.append_alone(p_command_id uuid, p_fingerprint bytea, p_metadata bytea, p_category text, p_stream_id text, p_expected bigint, p_expected_event uuid, p_event_id uuid, p_event_type text, p_schema_version integer, p_payload bytea, OUT command integer, OUT status text, OUT first_position bigint, OUT event_count integer, OUT recorded_at bigint, OUT versions bigint[], OUT stream integer, OUT refusal bytea) OWNER TO folio_first_version_owner;

CREATE FUNCTION store.append_many(p_command_ids uuid[], p_fingerprints bytea[], p_metadata bytea[], p_refusals bytea[], p_streams integer[], p_events integer[], p_categories text[], p_stream_ids text[], p_expected bigint[], p_expected_events uuid[], p_first integer[], p_before bigint[], p_event_commands integer[], p_event_command_ids uuid[], p_event_metadata bytea[], p_event_fingerprints bytea[], p_event_categories text[], p_event_stream_ids text[], p_event_streams integer[], p_event_first integer[], p_event_numbers bigint[], p_event_ids uuid[], p_event_types text[], p_schema_versions integer[], p_payloads bytea[], OUT command integer, OUT status text, OUT first_position bigint, OUT event_count integer, OUT recorded_at bigint, OUT versions bigint[], OUT stream integer, OUT refusal bytea) RETURNS SETOF record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    AS $$
DECLARE
    -- In place of null, because an array with nulls has to be walked to be indexed.
    no_event    CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    last_events uuid[];
    holds       boolean;
    -- Whether some command has no events.
    is_silent   boolean;
    head        bigint;
    stream_from integer := 1;
    stream_to   integer;
    event_from  integer := 1;
    event_to    integer;
BEGIN
    -- Under READ COMMITTED every statement below sees what was committed before the lock was
    -- granted. A transaction with one snapshot would have taken it before waiting, and would read
    -- versions and the head as they were then.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'store.append_many needs a READ COMMITTED transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;

    -- Held to the commit: what is numbered here is visible before the next append can number.
    PERFORM FROM store.append_lock FOR UPDATE;

    -- The usual case: new commands that all find what they expect. They are checked and inserted
    -- as sets, which costs a fraction of one after another.
    --
    -- A repeat of a command that had events runs into the unique index, and the caller sends the
    -- batch again without p_first. Looking for it here would cost every batch what few need.
    holds := p_first IS NOT NULL;
    is_silent := 0 = ANY (p_events);
    IF holds AND is_silent THEN
        holds := NOT EXISTS (
            SELECT FROM unnest(p_command_ids, p_events) AS c (command_id, events)
             WHERE c.events = 0
               AND EXISTS (SELECT FROM store.events e
                            WHERE e.command_id = c.command_id AND e.command_events IS NOT NULL));
    END IF;
    IF holds THEN
        SELECT array_agg(coalesce(last.version, 0) ORDER BY s.number),
               array_agg(coalesce(last.event_id, no_event) ORDER BY s.number),
               max(h.position), max(h.recorded_at),
               NOT EXISTS (SELECT FROM store.outcomes o WHERE o.command_id = ANY (p_command_ids))
          INTO versions, last_events, head, recorded_at, holds
          -- One row at least, so that the head is found for a call that names no stream too.
          FROM (VALUES (true)) one
          LEFT JOIN LATERAL (
                   SELECT e.position, e.recorded_at
                     FROM store.events e
                    ORDER BY e.position DESC
                    LIMIT 1) h ON true
          LEFT JOIN unnest(p_categories, p_stream_ids, p_first)
               WITH ORDINALITY AS s (category, stream_id, first, number) ON true
          LEFT JOIN LATERAL (
                   SELECT e.version, e.event_id
                     FROM store.events e
                    WHERE s.first = s.number
                      AND e.category = s.category AND e.stream_id = s.stream_id
                    ORDER BY e.version DESC
                    LIMIT 1) last ON true;
        IF holds THEN
            SELECT coalesce(bool_and(
                       CASE s.expected WHEN -1 THEN true
                                       WHEN -2 THEN versions[s.first] + s.before > 0
                                       ELSE s.expected = versions[s.first] + s.before END
                       -- Where an earlier command of this call has written to the stream, the caller
                       -- has compared its events.
                       AND (s.expected_event IS NULL OR s.before > 0
                            OR s.expected_event = last_events[s.first])), true)
              INTO holds
              FROM (SELECT unnest(p_expected) AS expected,
                           unnest(p_expected_events) AS expected_event,
                           unnest(p_first) AS first,
                           unnest(p_before) AS before) s;
        END IF;
    END IF;
    IF holds THEN
        head := coalesce(head, 0);
        -- Never earlier than the event before, even when the server's clock was set back.
        recorded_at := greatest(coalesce(recorded_at, 0),
                                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
        status := 'executed';
        first_position := head + 1;
        INSERT INTO store.events (
            position, version, recorded_at, event_id, command_id, command_events,
            schema_version, category, stream_id, event_type, fingerprint, payload, metadata)
        SELECT head + e.number, versions[e.first] + e.of_stream, append_many.recorded_at,
               e.event_id, e.command_id, p_events[e.command], e.schema_version, e.category, e.stream_id,
               e.event_type, e.fingerprint, e.payload, e.metadata
          FROM (SELECT generate_series(1, cardinality(p_event_ids)) AS number,
                       unnest(p_event_first) AS first, unnest(p_event_numbers) AS of_stream,
                       unnest(p_event_ids) AS event_id, unnest(p_event_command_ids) AS command_id,
                       unnest(p_event_commands) AS command,
                       unnest(p_schema_versions) AS schema_version,
                       unnest(p_event_categories) AS category,
                       unnest(p_event_stream_ids) AS stream_id, unnest(p_event_types) AS event_type,
                       unnest(p_event_fingerprints) AS fingerprint, unnest(p_payloads) AS payload,
                       unnest(p_event_metadata) AS metadata) e;
        IF is_silent THEN
            INSERT INTO store.outcomes (command_id, recorded_at, fingerprint, refusal, metadata)
            SELECT c.command_id, append_many.recorded_at, c.fingerprint, c.refusal, c.metadata
              FROM unnest(p_command_ids, p_fingerprints, p_refusals, p_metadata, p_events)
                   AS c (command_id, fingerprint, refusal, metadata, events)
             WHERE c.events = 0;
        END IF;
        RETURN NEXT;
        RETURN;
    END IF;

    -- One of them is a repeat or conflicts: one after another, each on what the ones before left.
    FOR number IN 1 .. cardinality(p_command_ids) LOOP
        command := number;
        stream_to := stream_from + p_streams[command] - 1;
        event_to := event_from + p_events[command] - 1;
        SELECT o.status, o.first_position, o.event_count, o.recorded_at, o.versions, o.stream,
               o.refusal
          INTO status, first_position, event_count, recorded_at, versions, stream, refusal
          FROM store.append_one(
                   p_command_ids[command], p_fingerprints[command], p_metadata[command],
                   p_refusals[command],
                   p_categories[stream_from:stream_to], p_stream_ids[stream_from:stream_to],
                   p_expected[stream_from:stream_to], p_expected_events[stream_from:stream_to],
                   p_event_streams[event_from:event_to], p_event_ids[event_from:event_to],
                   p_event_types[event_from:event_to], p_schema_versions[event_from:event_to],
                   p_payloads[event_from:event_to]) o;
        RETURN NEXT;
        stream_from := stream_to + 1;
        event_from := event_to + 1;
    END LOOP;
END;
$$;

ALTER FUNCTION store.append_many(p_command_ids uuid[], p_fingerprints bytea[], p_metadata bytea[], p_refusals bytea[], p_streams integer[], p_events integer[], p_categories text[], p_stream_ids text[], p_expected bigint[], p_expected_events uuid[], p_first integer[], p_before bigint[], p_event_commands integer[], p_event_command_ids uuid[], p_event_metadata bytea[], p_event_fingerprints bytea[], p_event_categories text[], p_event_stream_ids text[], p_event_streams integer[], p_event_first integer[], p_event_numbers bigint[], p_event_ids uuid[], p_event_types text[], p_schema_versions integer[], p_payloads bytea[], OUT command integer, OUT status text, OUT first_position bigint, OUT event_count integer, OUT recorded_at bigint, OUT versions bigint[], OUT stream integer, OUT refusal bytea) OWNER TO folio_first_version_owner;

CREATE FUNCTION store.append_one(p_command_id uuid, p_fingerprint bytea, p_metadata bytea, p_refusal bytea, p_categories text[], p_stream_ids text[], p_expected bigint[], p_expected_events uuid[], p_event_streams integer[], p_event_ids uuid[], p_event_types text[], p_schema_versions integer[], p_payloads bytea[], OUT status text, OUT first_position bigint, OUT event_count integer, OUT recorded_at bigint, OUT versions bigint[], OUT stream integer, OUT refusal bytea) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    known_fingerprint bytea;
    head              bigint;
BEGIN
    -- A repeat first, before any version: the streams have moved on since the first time.
    SELECT e.position, e.command_events, e.fingerprint
      INTO first_position, event_count, known_fingerprint
      FROM store.events e
     WHERE e.command_id = p_command_id AND e.command_events IS NOT NULL;
    IF FOUND THEN
        status := CASE WHEN known_fingerprint = p_fingerprint
                       THEN 'already_applied' ELSE 'reused' END;
        RETURN;
    END IF;
    SELECT o.refusal, o.fingerprint
      INTO refusal, known_fingerprint
      FROM store.outcomes o
     WHERE o.command_id = p_command_id;
    IF FOUND THEN
        status := CASE WHEN known_fingerprint <> p_fingerprint THEN 'reused'
                       WHEN refusal IS NULL THEN 'already_applied'
                       ELSE 'refused_before' END;
        event_count := 0;
        RETURN;
    END IF;

    -- LATERAL with LIMIT: one descent of the index a stream. A plain join or EXISTS lets the
    -- planner read the whole table.
    SELECT array_agg(coalesce(last.version, 0) ORDER BY s.number),
           min(s.number) FILTER (WHERE NOT
               CASE s.expected WHEN -1 THEN true
                               WHEN -2 THEN last.version IS NOT NULL
                               ELSE s.expected = coalesce(last.version, 0)
                                    AND coalesce(s.expected_event = last.event_id, true) END)
      INTO versions, stream
      FROM unnest(p_categories, p_stream_ids, p_expected, p_expected_events)
           WITH ORDINALITY AS s (category, stream_id, expected, expected_event, number)
      LEFT JOIN LATERAL (
               SELECT e.version, e.event_id
                 FROM store.events e
                WHERE e.category = s.category AND e.stream_id = s.stream_id
                ORDER BY e.version DESC
                LIMIT 1) last ON true;
    IF stream IS NOT NULL THEN
        status := 'conflict';
        RETURN;
    END IF;

    SELECT e.position, e.recorded_at
      INTO head, recorded_at
      FROM store.events e
     ORDER BY e.position DESC
     LIMIT 1;
    head := coalesce(head, 0);
    -- Never earlier than the event before, even when the server's clock was set back.
    recorded_at := greatest(coalesce(recorded_at, 0),
                            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    status := 'executed';
    event_count := cardinality(p_event_ids);
    IF event_count = 0 THEN
        INSERT INTO store.outcomes (command_id, recorded_at, fingerprint, refusal, metadata)
        VALUES (p_command_id, recorded_at, p_fingerprint, p_refusal, p_metadata);
        RETURN;
    END IF;

    first_position := head + 1;
    INSERT INTO store.events (
        position, version, recorded_at, event_id, command_id, command_events, schema_version,
        category, stream_id, event_type, fingerprint, payload, metadata)
    SELECT head + e.number,
           versions[e.stream] + row_number() OVER (PARTITION BY e.stream ORDER BY e.number),
           recorded_at,
           e.event_id,
           p_command_id,
           CASE WHEN e.number = 1 THEN event_count END,
           e.schema_version,
           p_categories[e.stream],
           p_stream_ids[e.stream],
           e.event_type,
           CASE WHEN e.number = 1 THEN p_fingerprint END,
           e.payload,
           p_metadata
      FROM unnest(p_event_streams, p_event_ids, p_event_types, p_schema_versions, p_payloads)
           WITH ORDINALITY AS e (stream, event_id, event_type, schema_version, payload, number);
END;
$$;

ALTER FUNCTION store.append_one(p_command_id uuid, p_fingerprint bytea, p_metadata bytea, p_refusal bytea, p_categories text[], p_stream_ids text[], p_expected bigint[], p_expected_events uuid[], p_event_streams integer[], p_event_ids uuid[], p_event_types text[], p_schema_versions integer[], p_payloads bytea[], OUT status text, OUT first_position bigint, OUT event_count integer, OUT recorded_at bigint, OUT versions bigint[], OUT stream integer, OUT refusal bytea) OWNER TO folio_first_version_owner;

CREATE FUNCTION store.level() RETURNS integer
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$ SELECT 6 $$;

ALTER FUNCTION store.level() OWNER TO folio_first_version_owner;

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

ALTER FUNCTION store.refuse_change() OWNER TO folio_first_version_owner;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE public.migrations_store (
    version integer NOT NULL,
    name character varying(255),
    applied_on character varying(255),
    checksum character varying(255)
);

ALTER TABLE public.migrations_store OWNER TO folio_first_version_owner;

CREATE TABLE store.append_lock (
    singleton boolean DEFAULT true NOT NULL,
    CONSTRAINT append_lock_singleton_check CHECK (singleton)
);

ALTER TABLE store.append_lock OWNER TO folio_first_version_owner;

CREATE TABLE store.events (
    "position" bigint NOT NULL,
    version bigint NOT NULL,
    recorded_at bigint NOT NULL,
    event_id uuid NOT NULL,
    command_id uuid NOT NULL,
    command_events integer,
    schema_version integer NOT NULL,
    category text NOT NULL COLLATE pg_catalog."C",
    stream_id text NOT NULL COLLATE pg_catalog."C",
    event_type text NOT NULL COLLATE pg_catalog."C",
    fingerprint bytea,
    payload bytea NOT NULL,
    metadata bytea NOT NULL,
    CONSTRAINT events_command_events_check CHECK ((command_events > 0)),
    CONSTRAINT events_fingerprint_check CHECK ((length(fingerprint) = 32)),
    CONSTRAINT events_first_of_command CHECK (((command_events IS NULL) = (fingerprint IS NULL))),
    CONSTRAINT events_position_check CHECK (("position" > 0)),
    CONSTRAINT events_schema_version_check CHECK ((schema_version > 0)),
    CONSTRAINT events_version_check CHECK ((version > 0))
);

ALTER TABLE store.events OWNER TO folio_first_version_owner;

CREATE VIEW store.history AS
 SELECT events."position",
    events.category,
    events.stream_id,
    events.version,
    events.event_type,
    events.schema_version,
    (to_timestamp(((events.recorded_at / 1000000))::double precision) + (((events.recorded_at % (1000000)::bigint))::double precision * '00:00:00.000001'::interval)) AS recorded_at,
    events.event_id,
    events.command_id,
    (convert_from(events.payload, 'UTF8'::name))::json AS payload,
    (convert_from(events.metadata, 'UTF8'::name))::json AS metadata
   FROM store.events;

ALTER TABLE store.history OWNER TO folio_first_version_owner;

CREATE TABLE store.identity (
    singleton boolean DEFAULT true NOT NULL,
    store_id uuid DEFAULT gen_random_uuid() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT identity_singleton_check CHECK (singleton)
);

ALTER TABLE store.identity OWNER TO folio_first_version_owner;

CREATE TABLE store.outcomes (
    command_id uuid NOT NULL,
    recorded_at bigint NOT NULL,
    fingerprint bytea NOT NULL,
    refusal bytea,
    metadata bytea NOT NULL,
    CONSTRAINT outcomes_fingerprint_check CHECK ((length(fingerprint) = 32))
);

ALTER TABLE store.outcomes OWNER TO folio_first_version_owner;

CREATE TABLE store.snapshots (
    category text NOT NULL COLLATE pg_catalog."C",
    stream_id text NOT NULL COLLATE pg_catalog."C",
    state_version integer NOT NULL,
    version bigint NOT NULL,
    event_hash bytea NOT NULL,
    state bytea NOT NULL,
    CONSTRAINT snapshots_event_hash_check CHECK ((length(event_hash) = 32)),
    CONSTRAINT snapshots_state_version_check CHECK ((state_version > 0)),
    CONSTRAINT snapshots_version_check CHECK ((version > 0))
);

ALTER TABLE store.snapshots OWNER TO folio_first_version_owner;

INSERT INTO public.migrations_store VALUES
	(1, 'event_store', '2026-11-27T09:06:35.054045988Z', '494151493854744522'),
	(2, 'append', '2026-11-27T09:06:35.070464713Z', '17915440958287101749'),
	(3, 'append_many', '2026-11-27T09:06:35.0728543Z', '16511602301954295816'),
	(4, 'snapshots', '2026-11-27T09:06:35.076474246Z', '2207265670461377906'),
	(5, 'level', '2026-11-27T09:06:35.080244654Z', '2830607148523514583'),
	(6, 'append_at_less_cost', '2026-11-27T09:06:35.080958479Z', '2880102158749307260');

INSERT INTO store.append_lock VALUES
	(true);

INSERT INTO store.events VALUES
	(1, 1, 1795770395527124, 'b5daae6e-ad01-577c-8f30-5cce41e8b47d', '67c419e5-e1d1-5ee1-8707-0be3ddcd5a6f', 1, 1, 'account', '1', 'AccountOpened', '\xe32bd70940db2ee76497091737e224c5632a8de43477ff243e4763287ff40294', '\x7b2263757272656e6379223a22455552222c226f7665726472616674223a7b226b696e64223a226c696d6974222c226c696d6974223a7b22616d6f756e74223a2232302e3030222c2263757272656e6379223a22455552227d7d7d', '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616237642d373633642d386563392d323662356466636636303939227d'),
	(2, 1, 1795770395542406, 'cec74690-aee4-530b-b032-3330c4b16660', '0b3afa15-1448-5fd8-8200-96fdd3695a6e', 1, 1, 'account', '2', 'AccountOpened', '\xe294fe8f2f339026209ec13e4101a88f901e6ca46576b603e3904cad60dce17c', '\x7b2263757272656e6379223a22455552222c226f7665726472616674223a7b226b696e64223a226e6f6e65227d7d', '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616239352d373039362d613231612d613832363131653735366161227d'),
	(3, 1, 1795770395555791, '322c4436-50f2-518e-a60f-388e3f924d61', '5cb227bf-8024-5e06-8a3b-a8e0131b1b54', 1, 1, 'account', '3', 'AccountOpened', '\x3b182bfb468409203c6a72544fa2e4a4148e1506b7edebe1feb28fb713d002c3', '\x7b2263757272656e6379223a22455552222c226f7665726472616674223a7b226b696e64223a226e6f6e65227d7d', '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616261322d373231612d386635302d393866656535643663636664227d'),
	(4, 2, 1795770395569699, 'e1be8344-9e14-53f6-8567-1467a20b5572', '121f1b1d-67eb-54bf-b2ac-187b74ed30a3', 1, 1, 'account', '1', 'AccountCredited', '\x18d0974e58f7ab3de0272d1e227385b69bf6b77b66ef136313dccbf8b7c5266c', '\x7b22616d6f756e74223a7b22616d6f756e74223a2234302e3030222c2263757272656e6379223a22455552227d2c22636f6e747261223a2262616e6b3a4142222c226566666563746976655f64617465223a22313939332d30312d3035222c227265666572656e6365223a227265662d31222c226465736372697074696f6e223a2273616c617279227d', '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616262302d373537322d623934662d366234313538333432366437227d'),
	(5, 3, 1795770395581789, 'c90e3b99-e2f4-5b72-a53f-86fe16040205', '7c5a3bf0-1b9f-5d85-8738-a28a83f4319b', 1, 1, 'account', '1', 'AccountCredited', '\xff984f5d6fb17c4bb73a51c0547da569e2b8b7ede8db84289d01dc7c57eeb361', '\x7b22616d6f756e74223a7b22616d6f756e74223a2231302e3030222c2263757272656e6379223a22455552227d2c22636f6e747261223a2263617368227d', '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616262642d373539352d383335632d646537346361363234356433227d'),
	(6, 4, 1795770395593183, '7a19eaf0-0d49-586e-bc10-4fac8d467618', '24f2d358-d47f-5ec6-bf96-2ef196cd1c9d', 1, 1, 'account', '1', 'AccountDebited', '\xd9be3bf5ce082c4f8125b5d5b09fa7a38868b5ae4f66810b865278635cd2396a', '\x7b22616d6f756e74223a7b22616d6f756e74223a2236322e3530222c2263757272656e6379223a22455552227d2c22636f6e747261223a226361726473227d', '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616263382d373732662d383361322d326663373733373861323232227d'),
	(7, 2, 1795770395623900, '9553f024-5df3-536d-91d6-ebf131eae2bd', '094783bf-53f2-51e1-aead-49161b99882d', 1, 1, 'account', '2', 'AccountCredited', '\x0c920d2f52623461e08c12c7742ceefd951ef42970de4de0806c0996cf5ccac6', '\x7b22616d6f756e74223a7b22616d6f756e74223a2231312e3530222c2263757272656e6379223a22455552227d2c22636f6e747261223a22696e746572657374227d', '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616265372d373466352d623737312d313831633434333335336162227d'),
	(8, 3, 1795770395638997, '45631f05-34f9-59be-93b7-7410fbbd1757', 'd0c51015-fa19-56b7-95e5-46d28cce9d53', 1, 1, 'account', '2', 'AccountDebited', '\x11f7993e3ecc89b1b3fcdfa64113d22de5067d387c205531ab3e55253660813b', '\x7b22616d6f756e74223a7b22616d6f756e74223a2231312e3530222c2263757272656e6379223a22455552227d2c22636f6e747261223a2266656573227d', '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616266362d373562362d626165392d393033393234303137623366227d'),
	(9, 4, 1795770395649784, '89b21e5a-187d-5713-8026-739205b6f48b', 'faa8ca50-3442-52d9-8564-2962d2c2faa3', 1, 1, 'account', '2', 'AccountClosed', '\xb967b2ed241f43defa1626af7a35bfb321f7819e2a6fa6a03b0698c93db9e3a1', '\x6e756c6c', '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616330312d373133642d626432352d613030626463613534306262227d'),
	(10, 2, 1795770395661663, 'f289ecbd-0205-5c12-b0af-b5c348891d09', '6b6a28fa-5ae5-503c-8680-a82f9d873f3f', 1, 1, 'account', '3', 'AccountCredited', '\xe4d9bb8c7452ec9a0b9e2de15e29911a5b84d3a124f7c7e6830c72bc66a84912', '\x7b22616d6f756e74223a7b22616d6f756e74223a22312e3030222c2263757272656e6379223a22455552227d2c22636f6e747261223a22696e746572657374227d', '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616330622d373734362d626266632d373230623363386332616661227d');

INSERT INTO store.identity VALUES
	(true, 'cb504434-8bed-4076-9ddf-02f748c338f3', '2026-11-27 09:06:35.054094+00');

INSERT INTO store.outcomes VALUES
	('b063441e-a339-5e9d-9dca-01f073b258ff', 1795770395609347, '\x53c971454de20d8ba12c9d497df14e20e62e661f03e0d8b67bf1716d764b4c0c', '\x7b22496e73756666696369656e7446756e6473223a7b22617661696c61626c65223a7b22616d6f756e74223a22372e3530222c2263757272656e6379223a22455552227d7d7d', '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616264352d373534632d393431642d363835313334316361333263227d'),
	('ee352768-1491-5f68-a9c6-cdca4fa2adbc', 1795770395660656, '\x22960aaf568b2c89718617b50938dc70bf86f2678e9f77da150586280608d3c6', NULL, '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616330622d373734362d626266632d373230623363386332616661227d'),
	('4e69e3f3-51e9-57c7-b34e-7384bbaddfd1', 1795770395662793, '\x33dd197e89583fb24f5adf4085f971fed145f33a3aab30b78508e47d804aa3e0', '\x224e6f744f70656e656422', '\x7b226163746f72223a2274656c6c6572222c22636f7272656c6174696f6e5f6964223a2230316132316334312d616330622d373734362d626266632d373230623363386332616661227d');

ALTER TABLE ONLY public.migrations_store
    ADD CONSTRAINT migrations_store_pkey PRIMARY KEY (version);

ALTER TABLE ONLY store.append_lock
    ADD CONSTRAINT append_lock_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY store.events
    ADD CONSTRAINT events_pkey PRIMARY KEY ("position");

ALTER TABLE ONLY store.events
    ADD CONSTRAINT events_stream_version UNIQUE (category, stream_id, version);

ALTER TABLE ONLY store.identity
    ADD CONSTRAINT identity_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY store.outcomes
    ADD CONSTRAINT outcomes_pkey PRIMARY KEY (command_id);

ALTER TABLE ONLY store.snapshots
    ADD CONSTRAINT snapshots_pkey PRIMARY KEY (category, stream_id, state_version);

CREATE UNIQUE INDEX events_command ON store.events USING btree (command_id) WHERE (command_events IS NOT NULL);

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON store.events FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_change();

ALTER TABLE store.events ENABLE ALWAYS TRIGGER append_only;

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON store.identity FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_change();

ALTER TABLE store.identity ENABLE ALWAYS TRIGGER append_only;

CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON store.outcomes FOR EACH STATEMENT EXECUTE FUNCTION store.refuse_change();

ALTER TABLE store.outcomes ENABLE ALWAYS TRIGGER append_only;

GRANT USAGE ON SCHEMA store TO folio_first_version_appender;
GRANT USAGE ON SCHEMA store TO folio_first_version_reader;

REVOKE ALL ON FUNCTION store.append_alone(p_command_id uuid, p_fingerprint bytea, p_metadata bytea, p_category text, p_stream_id text, p_expected bigint, p_expected_event uuid, p_event_id uuid, p_event_type text, p_schema_version integer, p_payload bytea, OUT command integer, OUT status text, OUT first_position bigint, OUT event_count integer, OUT recorded_at bigint, OUT versions bigint[], OUT stream integer, OUT refusal bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION store.append_alone(p_command_id uuid, p_fingerprint bytea, p_metadata bytea, p_category text, p_stream_id text, p_expected bigint, p_expected_event uuid, p_event_id uuid, p_event_type text, p_schema_version integer, p_payload bytea, OUT command integer, OUT status text, OUT first_position bigint, OUT event_count integer, OUT recorded_at bigint, OUT versions bigint[], OUT stream integer, OUT refusal bytea) TO folio_first_version_appender;

REVOKE ALL ON FUNCTION store.append_many(p_command_ids uuid[], p_fingerprints bytea[], p_metadata bytea[], p_refusals bytea[], p_streams integer[], p_events integer[], p_categories text[], p_stream_ids text[], p_expected bigint[], p_expected_events uuid[], p_first integer[], p_before bigint[], p_event_commands integer[], p_event_command_ids uuid[], p_event_metadata bytea[], p_event_fingerprints bytea[], p_event_categories text[], p_event_stream_ids text[], p_event_streams integer[], p_event_first integer[], p_event_numbers bigint[], p_event_ids uuid[], p_event_types text[], p_schema_versions integer[], p_payloads bytea[], OUT command integer, OUT status text, OUT first_position bigint, OUT event_count integer, OUT recorded_at bigint, OUT versions bigint[], OUT stream integer, OUT refusal bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION store.append_many(p_command_ids uuid[], p_fingerprints bytea[], p_metadata bytea[], p_refusals bytea[], p_streams integer[], p_events integer[], p_categories text[], p_stream_ids text[], p_expected bigint[], p_expected_events uuid[], p_first integer[], p_before bigint[], p_event_commands integer[], p_event_command_ids uuid[], p_event_metadata bytea[], p_event_fingerprints bytea[], p_event_categories text[], p_event_stream_ids text[], p_event_streams integer[], p_event_first integer[], p_event_numbers bigint[], p_event_ids uuid[], p_event_types text[], p_schema_versions integer[], p_payloads bytea[], OUT command integer, OUT status text, OUT first_position bigint, OUT event_count integer, OUT recorded_at bigint, OUT versions bigint[], OUT stream integer, OUT refusal bytea) TO folio_first_version_appender;

REVOKE ALL ON FUNCTION store.append_one(p_command_id uuid, p_fingerprint bytea, p_metadata bytea, p_refusal bytea, p_categories text[], p_stream_ids text[], p_expected bigint[], p_expected_events uuid[], p_event_streams integer[], p_event_ids uuid[], p_event_types text[], p_schema_versions integer[], p_payloads bytea[], OUT status text, OUT first_position bigint, OUT event_count integer, OUT recorded_at bigint, OUT versions bigint[], OUT stream integer, OUT refusal bytea) FROM PUBLIC;

GRANT SELECT ON TABLE store.events TO folio_first_version_appender;
GRANT SELECT ON TABLE store.events TO folio_first_version_reader;

GRANT SELECT ON TABLE store.history TO folio_first_version_appender;
GRANT SELECT ON TABLE store.history TO folio_first_version_reader;

GRANT SELECT ON TABLE store.identity TO folio_first_version_appender;
GRANT SELECT ON TABLE store.identity TO folio_first_version_reader;

GRANT SELECT ON TABLE store.outcomes TO folio_first_version_appender;
GRANT SELECT ON TABLE store.outcomes TO folio_first_version_reader;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE store.snapshots TO folio_first_version_appender;
GRANT SELECT ON TABLE store.snapshots TO folio_first_version_reader;

