-- A command of a caller who is alone, where nobody else writes: nothing is looked up but whether the command was refused before.
--
-- What a session has appended last was the store's end then. As long as it is, nobody else has written, and what the session knew
-- of any stream holds still: of those that it writes to, and of those that it has only looked at. No statement has to ask. Where
-- somebody else has written, the next position is taken, and the primary key refuses the call as a whole.
--
-- As with the ends of streams (V7), a session may know an end that is too small, and never one that is too large.

-- One new command with events, on streams whose ends are known.
--
-- p_head and p_head_recorded_at are of the store's last event, or null where it is to be looked up. p_seen_… are null, or have an
-- element for each stream that must end as it is expected to (see store.append_one) and is not written to. The other arrays have
-- one for each event. The answer is the position of the first one and when all were recorded; or null, where nothing was and
-- store.append_many says why. It is one value and no record, whose columns the server would describe anew for each call.
--
-- The session has the settings that the others above set for themselves, each of which costs some: generic plans, and indexes in any case.
CREATE FUNCTION store.append_next(
    p_head             bigint,
    p_head_recorded_at bigint,
    p_command_id       uuid,
    p_fingerprint      bytea,
    p_metadata         bytea,
    p_seen_categories  text[],
    p_seen_stream_ids  text[],
    p_seen_expected    bigint[],
    p_seen_events      uuid[],
    p_versions         bigint[],
    p_categories       text[],
    p_stream_ids       text[],
    p_event_ids        uuid[],
    p_event_types      text[],
    p_schema_versions  integer[],
    p_payloads         bytea[]
)
    RETURNS bigint[]
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    head        bigint  := p_head;
    recorded    bigint  := p_head_recorded_at;
    event_count integer := cardinality(p_event_ids);
BEGIN
    -- Both as in store.append_many, and for the same reasons.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'store.append_next needs a READ COMMITTED transaction'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM FROM store.append_lock FOR UPDATE;

    IF head IS NULL THEN
        SELECT coalesce(max(h.position), 0), coalesce(max(h.recorded_at), 0)
          INTO head, recorded
          FROM (SELECT e.position, e.recorded_at
                  FROM store.events e
                 ORDER BY e.position DESC
                 LIMIT 1) h;
    END IF;
    IF p_seen_categories IS NOT NULL THEN
        PERFORM FROM unnest(p_seen_categories, p_seen_stream_ids, p_seen_expected, p_seen_events)
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
                                         AND coalesce(s.expected_event = last.event_id, true) END;
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;

    -- Never earlier than the event before, even when the server's clock was set back.
    recorded := greatest(recorded, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    INSERT INTO store.events (
        position, version, recorded_at, event_id, command_id, command_events,
        schema_version, category, stream_id, event_type, fingerprint, payload, metadata)
    SELECT head + e.number, e.version, recorded, e.event_id, p_command_id,
           CASE e.number WHEN 1 THEN event_count END, e.schema_version, e.category, e.stream_id,
           e.event_type, CASE e.number WHEN 1 THEN p_fingerprint END, e.payload, p_metadata
      FROM (SELECT generate_series(1, event_count) AS number,
                   unnest(p_versions) AS version, unnest(p_event_ids) AS event_id,
                   unnest(p_schema_versions) AS schema_version,
                   unnest(p_categories) AS category, unnest(p_stream_ids) AS stream_id,
                   unnest(p_event_types) AS event_type, unnest(p_payloads) AS payload) e
     -- A command that was refused, or caused nothing, is in no index of the events.
     WHERE NOT EXISTS (SELECT FROM store.outcomes o WHERE o.command_id = p_command_id);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY[head + 1, recorded];
END;
$$;

DO $$
DECLARE
    appender text := current_database() || '_appender';
BEGIN
    REVOKE ALL ON FUNCTION store.append_next FROM PUBLIC;
    EXECUTE format('GRANT EXECUTE ON FUNCTION store.append_next TO %I', appender);
END;
$$;

-- store.append_known stays for programs that were started before this; the one that comes with it does not call it.

CREATE OR REPLACE FUNCTION store.level() RETURNS integer
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$ SELECT 8 $$;
