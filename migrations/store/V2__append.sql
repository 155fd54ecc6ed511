-- The one way to write to the store: one call, one command, one outcome.
--
-- Arrays with one element a stream: p_categories, p_stream_ids, p_expected
--     p_expected: n >= 0 is the exact version (0: no stream yet), -1 any, -2 at least one event
-- Arrays with one element an event: p_event_streams (index into the stream arrays, from 1),
--     p_event_ids, p_event_types, p_schema_versions, p_payloads
-- p_refusal: the refusal to record in place of events, or null
--
-- status: 'executed' | 'already_applied' | 'refused_before' | 'conflict' | 'reused'
--     executed          first_position, recorded_at, versions (of each stream before this append)
--     already_applied   first_position and event_count of what the command had recorded; null and 0
--                       where it was recorded without events
--     refused_before    refusal
--     conflict          stream (index from 1), versions
--     reused            the command id is on record with another fingerprint
CREATE FUNCTION store.append(
    p_command_id      uuid,
    p_fingerprint     bytea,
    p_metadata        bytea,
    p_categories      text[],
    p_stream_ids      text[],
    p_expected        bigint[],
    p_event_streams   integer[],
    p_event_ids       uuid[],
    p_event_types     text[],
    p_schema_versions integer[],
    p_payloads        bytea[],
    p_refusal         bytea,
    OUT status         text,
    OUT first_position bigint,
    OUT event_count    integer,
    OUT recorded_at    bigint,
    OUT versions       bigint[],
    OUT stream         integer,
    OUT refusal        bytea
)
    LANGUAGE plpgsql
    -- The owner's rights: the appender may call this and can write in no other way.
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known_fingerprint bytea;
    head              bigint;
    last_recorded_at  bigint;
BEGIN
    -- Under READ COMMITTED every statement below sees what was committed before the lock was
    -- granted. A transaction with one snapshot would have taken it before waiting, and would read
    -- versions and the head as they were then.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'store.append needs a READ COMMITTED transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;

    -- Held to the commit: what is numbered here is visible before the next append can number.
    PERFORM FROM store.append_lock FOR UPDATE;

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

    -- The last version of each stream: a scalar sub-select, which is one descent of the index a
    -- stream. A join or EXISTS lets the planner read the whole table.
    SELECT array_agg(coalesce((SELECT e.version
                                 FROM store.events e
                                WHERE e.category = s.category AND e.stream_id = s.stream_id
                                ORDER BY e.version DESC
                                LIMIT 1), 0)
                     ORDER BY s.number)
      INTO versions
      FROM unnest(p_categories, p_stream_ids)
           WITH ORDINALITY AS s (category, stream_id, number);

    SELECT s.number
      INTO stream
      FROM unnest(p_expected, versions) WITH ORDINALITY AS s (expected, actual, number)
     WHERE NOT CASE s.expected WHEN -1 THEN true
                               WHEN -2 THEN s.actual > 0
                               ELSE s.expected = s.actual END
     ORDER BY s.number
     LIMIT 1;
    IF FOUND THEN
        status := 'conflict';
        RETURN;
    END IF;

    SELECT e.position, e.recorded_at
      INTO head, last_recorded_at
      FROM store.events e
     ORDER BY e.position DESC
     LIMIT 1;
    head := coalesce(head, 0);
    -- Never earlier than the event before, even when the server's clock was set back.
    recorded_at := greatest(
        coalesce(last_recorded_at, 0),
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

DO $$
BEGIN
    REVOKE ALL ON FUNCTION store.append FROM PUBLIC;
    EXECUTE format('GRANT EXECUTE ON FUNCTION store.append TO %I',
                   current_database() || '_appender');
END;
$$;
