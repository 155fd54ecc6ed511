-- Many commands in one call and one commit: this replaces store.append.
--
-- The appender gathers the commands that wait and sends them here together. Each has its own
-- outcome: a command that conflicts is refused alone, and the others are recorded.
--
-- A writer may now also expect a stream's last event by its id. A version alone is not enough for a
-- writer that has decided on events which were not committed yet: if those are refused and somebody
-- else's take their versions, the number is the expected one and the history is not.

DROP FUNCTION store.append;

-- One command. Called under the lock by store.append_many, which nobody else may replace.
--
-- Arrays with one element a stream: p_categories, p_stream_ids, p_expected, p_expected_events
--     p_expected: n >= 0 is the exact version (0: no stream yet), -1 any, -2 at least one event
--     p_expected_events: the id that the stream's last event must have, or null
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
CREATE FUNCTION store.append_one(
    p_command_id      uuid,
    p_fingerprint     bytea,
    p_metadata        bytea,
    p_refusal         bytea,
    p_categories      text[],
    p_stream_ids      text[],
    p_expected        bigint[],
    p_expected_events uuid[],
    p_event_streams   integer[],
    p_event_ids       uuid[],
    p_event_types     text[],
    p_schema_versions integer[],
    p_payloads        bytea[],
    OUT status         text,
    OUT first_position bigint,
    OUT event_count    integer,
    OUT recorded_at    bigint,
    OUT versions       bigint[],
    OUT stream         integer,
    OUT refusal        bytea
)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
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

-- Arrays with one element a command: p_command_ids, p_fingerprints, p_metadata, p_refusals,
--     p_streams (how many streams it names), p_events (how many events it has)
-- Arrays with one element a stream of a command, in the commands' order: p_categories,
--     p_stream_ids, p_expected, p_expected_events (see store.append_one), and
--     p_first: index of the element with which this call first names the stream
--     p_before: how many events earlier commands of this call have for the stream
-- Arrays with one element an event, in the commands' order:
--     p_event_commands: index of its command, and p_event_fingerprints: its command's fingerprint,
--         on a command's first event only, else null
--     p_event_command_ids, p_event_metadata, p_event_categories, p_event_stream_ids: repeated,
--         because looking them up by index would walk a text array once an event
--     p_event_streams: index among the streams of its own command
--     p_event_first: index of the element with which this call first names its stream
--     p_event_numbers: which of this call's events on its stream it is
--     p_event_ids, p_event_types, p_schema_versions, p_payloads
-- All indexes and numbers count from 1. p_first is null where the caller knows that the commands
-- cannot all succeed.
--
-- Where all succeed: one row, command null, status 'executed', first_position, recorded_at, and
-- versions with one element for each of p_categories, of meaning at first elements only: the
-- stream's version before this call. Else one row a command, as store.append_one has it.
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
    holds := p_first IS NOT NULL
        AND NOT EXISTS (SELECT FROM store.outcomes o WHERE o.command_id = ANY (p_command_ids));
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
               array_agg(coalesce(last.event_id, no_event) ORDER BY s.number)
          INTO versions, last_events
          FROM unnest(p_categories, p_stream_ids, p_first)
               WITH ORDINALITY AS s (category, stream_id, first, number)
          LEFT JOIN LATERAL (
                   SELECT e.version, e.event_id
                     FROM store.events e
                    WHERE s.first = s.number
                      AND e.category = s.category AND e.stream_id = s.stream_id
                    ORDER BY e.version DESC
                    LIMIT 1) last ON true;
        SELECT coalesce(bool_and(
                   CASE s.expected WHEN -1 THEN true
                                   WHEN -2 THEN versions[s.first] + s.before > 0
                                   ELSE s.expected = versions[s.first] + s.before END
                   -- Where an earlier command of this call has written to the stream, the caller
                   -- has compared its events.
                   AND (s.expected_event IS NULL OR s.before > 0
                        OR s.expected_event = last_events[s.first])), true)
          INTO holds
          FROM unnest(p_expected, p_expected_events, p_first, p_before)
               AS s (expected, expected_event, first, before);
    END IF;
    IF holds THEN
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
        first_position := head + 1;
        INSERT INTO store.events (
            position, version, recorded_at, event_id, command_id, command_events,
            schema_version, category, stream_id, event_type, fingerprint, payload, metadata)
        SELECT head + e.number, versions[e.first] + e.of_stream, recorded_at, e.event_id,
               e.command_id, p_events[e.command], e.schema_version, e.category, e.stream_id,
               e.event_type, e.fingerprint, e.payload, e.metadata
          FROM unnest(p_event_first, p_event_numbers, p_event_ids, p_event_command_ids,
                      p_event_commands, p_schema_versions, p_event_categories,
                      p_event_stream_ids, p_event_types, p_event_fingerprints, p_payloads,
                      p_event_metadata)
               WITH ORDINALITY AS e (first, of_stream, event_id, command_id, command,
                                     schema_version, category, stream_id, event_type, fingerprint,
                                     payload, metadata, number);
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

DO $$
BEGIN
    REVOKE ALL ON FUNCTION store.append_one, store.append_many FROM PUBLIC;
    EXECUTE format('GRANT EXECUTE ON FUNCTION store.append_many TO %I',
                   current_database() || '_appender');
END;
$$;
