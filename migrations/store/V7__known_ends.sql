-- Ends of streams that the caller knows are not looked up.
--
-- p_known has an element for each stream of each command, as p_first has: the version that the stream
-- has before this call, or -1 where it is to be looked up. For streams that it knows the caller has
-- compared what is expected. Where somebody else has written since, the next version is taken: the
-- index events_stream_version refuses the call as a whole, and the caller looks them up.
--
-- So a caller may know a version that is too small, and never one that is too large, which would leave
-- a hole. It knows what was committed in its own session, which ends before a server can lose a commit.
-- And it may only know the end of a stream that this call writes to: nothing else is refused by the index.
--
-- A call without p_known, from a program that still runs, is what it was.

DROP FUNCTION store.append_many;

CREATE FUNCTION store.append_many(
    p_command_ids       uuid[],
    p_fingerprints      bytea[],
    p_metadata          bytea[],
    p_refusals          bytea[],
    p_streams           integer[],
    p_events            integer[],
    p_categories        text[],
    p_stream_ids        text[],
    p_expected          bigint[],
    p_expected_events   uuid[],
    p_first             integer[],
    p_before            bigint[],
    p_event_commands    integer[],
    p_event_command_ids uuid[],
    p_event_metadata    bytea[],
    p_event_fingerprints bytea[],
    p_event_categories  text[],
    p_event_stream_ids  text[],
    p_event_streams     integer[],
    p_event_first       integer[],
    p_event_numbers     bigint[],
    p_event_ids         uuid[],
    p_event_types       text[],
    p_schema_versions   integer[],
    p_payloads          bytea[],
    p_known             bigint[] DEFAULT NULL,
    OUT command        integer,
    OUT status         text,
    OUT first_position bigint,
    OUT event_count    integer,
    OUT recorded_at    bigint,
    OUT versions       bigint[],
    OUT stream         integer,
    OUT refusal        bytea
)
    RETURNS SETOF record
    LANGUAGE plpgsql
    -- The owner's rights: the appender may call this and can write in no other way.
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    -- The plans are made once a session, maybe while the table is empty and reading all of it is
    -- the cheapest. They must be right for the millions of rows that come.
    SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
    SET jit = off
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
        SELECT max(h.position), max(h.recorded_at),
               NOT EXISTS (SELECT FROM store.outcomes o WHERE o.command_id = ANY (p_command_ids))
          INTO head, recorded_at, holds
          -- One row at least, also in an empty store.
          FROM (VALUES (true)) one
          LEFT JOIN LATERAL (
                   SELECT e.position, e.recorded_at
                     FROM store.events e
                    ORDER BY e.position DESC
                    LIMIT 1) h ON true;
        versions := coalesce(p_known, array_fill(-1::bigint, ARRAY[cardinality(p_first)]));
    END IF;
    IF holds AND -1 = ANY (versions) THEN
        SELECT array_agg(CASE WHEN s.known = -1 THEN coalesce(last.version, 0) ELSE s.known END
                         ORDER BY s.number),
               array_agg(coalesce(last.event_id, no_event) ORDER BY s.number)
          INTO versions, last_events
          FROM unnest(p_categories, p_stream_ids, p_first, versions)
               WITH ORDINALITY AS s (category, stream_id, first, known, number)
          LEFT JOIN LATERAL (
                   SELECT e.version, e.event_id
                     FROM store.events e
                    WHERE s.known = -1 AND s.first = s.number
                      AND e.category = s.category AND e.stream_id = s.stream_id
                    ORDER BY e.version DESC
                    LIMIT 1) last ON true;
        SELECT coalesce(bool_and(
                   CASE s.expected WHEN -1 THEN true
                                   WHEN -2 THEN versions[s.first] + s.before > 0
                                   ELSE s.expected = versions[s.first] + s.before END
                   -- Where an earlier command of this call has written to the stream, or its end is
                   -- known, the caller has compared the events.
                   AND (s.expected_event IS NULL OR s.before > 0
                        OR coalesce(p_known[s.first] >= 0, false)
                        OR s.expected_event = last_events[s.first])), true)
          INTO holds
          FROM (SELECT unnest(p_expected) AS expected,
                       unnest(p_expected_events) AS expected_event,
                       unnest(p_first) AS first,
                       unnest(p_before) AS before) s;
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

DROP FUNCTION store.append_alone;

-- As before, with p_known: the version that the stream has, or null where it is to be looked up.
CREATE FUNCTION store.append_alone(
    p_command_id     uuid,
    p_fingerprint    bytea,
    p_metadata       bytea,
    p_category       text,
    p_stream_id      text,
    p_expected       bigint,
    p_expected_event uuid,
    p_event_id       uuid,
    p_event_type     text,
    p_schema_version integer,
    p_payload        bytea,
    p_known          bigint DEFAULT NULL,
    OUT command        integer,
    OUT status         text,
    OUT first_position bigint,
    OUT event_count    integer,
    OUT recorded_at    bigint,
    OUT versions       bigint[],
    OUT stream         integer,
    OUT refusal        bytea
)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
    SET jit = off
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
           coalesce(p_known, last.version, 0) + 1,
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
                WHERE p_known IS NULL
                  AND e.category = p_category AND e.stream_id = p_stream_id
                ORDER BY e.version DESC
                LIMIT 1) last ON true
     WHERE (p_known IS NOT NULL OR
            CASE p_expected WHEN -1 THEN true
                            WHEN -2 THEN last.version IS NOT NULL
                            ELSE p_expected = coalesce(last.version, 0)
                                 AND coalesce(p_expected_event = last.event_id, true) END)
       -- A command that was refused, or caused nothing, is in no index of the events.
       AND NOT EXISTS (SELECT FROM store.outcomes o WHERE o.command_id = p_command_id)
    RETURNING 'executed', new.position, 1, new.recorded_at, ARRAY[new.version - 1]
         INTO status, first_position, event_count, recorded_at, versions;
END;
$$;

-- One new command with events on streams whose ends are all known, which is what a caller sends who is alone and has
-- written to them before. What is looked up is where streams end that it was decided on and does not write to, and what the
-- events have in common is sent once: less than half of what the same costs as a batch.
--
-- p_known has the version of each stream before the command, p_seen_… have an element for each stream that must end as it is
-- expected to (see store.append_one), and the other arrays one for each event. The answer is that of store.append_many. Where it cannot be recorded the status is null, and store.append_many says why.
CREATE FUNCTION store.append_known(
    p_command_id      uuid,
    p_fingerprint     bytea,
    p_metadata        bytea,
    p_known           bigint[],
    p_seen_categories text[],
    p_seen_stream_ids text[],
    p_seen_expected   bigint[],
    p_seen_events     uuid[],
    p_versions        bigint[],
    p_categories      text[],
    p_stream_ids      text[],
    p_event_ids       uuid[],
    p_event_types     text[],
    p_schema_versions integer[],
    p_payloads        bytea[],
    OUT command        integer,
    OUT status         text,
    OUT first_position bigint,
    OUT event_count    integer,
    OUT recorded_at    bigint,
    OUT versions       bigint[],
    OUT stream         integer,
    OUT refusal        bytea
)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET plan_cache_mode = force_generic_plan
    SET jit = off
AS $$
BEGIN
    -- Both as in store.append_many, and for the same reasons.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'store.append_known needs a READ COMMITTED transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM FROM store.append_lock FOR UPDATE;

    SELECT coalesce(head.position, 0) + 1,
           greatest(coalesce(head.recorded_at, 0),
                    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
      INTO first_position, recorded_at
      FROM (VALUES (true)) one
      LEFT JOIN LATERAL (
               SELECT e.position, e.recorded_at
                 FROM store.events e
                ORDER BY e.position DESC
                LIMIT 1) head ON true
     -- A command that was refused, or caused nothing, is in no index of the events.
     WHERE NOT EXISTS (SELECT FROM store.outcomes o WHERE o.command_id = p_command_id)
       AND NOT EXISTS (
               SELECT FROM unnest(p_seen_categories, p_seen_stream_ids, p_seen_expected, p_seen_events)
                        AS s (category, stream_id, expected, expected_event)
                 LEFT JOIN LATERAL (
                          SELECT e.version, e.event_id
                            FROM store.events e
                           WHERE e.category = s.category AND e.stream_id = s.stream_id
                           ORDER BY e.version DESC
                           LIMIT 1) last ON true
                WHERE NOT CASE s.expected WHEN -1 THEN true
                                          WHEN -2 THEN last.version IS NOT NULL
                                          ELSE s.expected = coalesce(last.version, 0)
                                               AND coalesce(s.expected_event = last.event_id, true) END);
    IF NOT FOUND THEN
        RETURN;
    END IF;
    status := 'executed';
    versions := p_known;
    event_count := cardinality(p_event_ids);
    INSERT INTO store.events (
        position, version, recorded_at, event_id, command_id, command_events,
        schema_version, category, stream_id, event_type, fingerprint, payload, metadata)
    SELECT first_position - 1 + e.number, e.version, append_known.recorded_at, e.event_id, p_command_id,
           CASE e.number WHEN 1 THEN event_count END, e.schema_version, e.category, e.stream_id,
           e.event_type, CASE e.number WHEN 1 THEN p_fingerprint END, e.payload, p_metadata
      FROM (SELECT generate_series(1, event_count) AS number,
                   unnest(p_versions) AS version, unnest(p_event_ids) AS event_id,
                   unnest(p_schema_versions) AS schema_version,
                   unnest(p_categories) AS category, unnest(p_stream_ids) AS stream_id,
                   unnest(p_event_types) AS event_type, unnest(p_payloads) AS payload) e;
END;
$$;

-- The server reads the checks of a table anew for every statement that inserts: six of them were a fifth of what an append
-- costs that is alone. What these kept out does not come: positions and versions are counted by the functions above, the only
-- way in, and a fingerprint is of a type that has 32 bytes and is sent with a command's first event. The check of the schema's
-- version stays: nothing else keeps 0 out.
ALTER TABLE store.events
    DROP CONSTRAINT events_position_check,
    DROP CONSTRAINT events_version_check,
    DROP CONSTRAINT events_command_events_check,
    DROP CONSTRAINT events_fingerprint_check,
    DROP CONSTRAINT events_first_of_command;

DO $$
DECLARE
    appender text := current_database() || '_appender';
BEGIN
    REVOKE ALL ON FUNCTION store.append_many, store.append_alone, store.append_known
        FROM PUBLIC;
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION store.append_many, store.append_alone, store.append_known TO %I',
        appender);
END;
$$;

CREATE OR REPLACE FUNCTION store.level() RETURNS integer
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT 7 $$;
