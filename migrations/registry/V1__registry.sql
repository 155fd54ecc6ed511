-- Which instances of which services there are.
--
-- An instance is listed for as long as its lease lasts, which its heartbeats make longer. When a lease ends is judged by
-- this server's clock alone. A row belongs to its holder, a number that each registration draws for itself, so that
-- whoever lost an answer finds its own row again. What others see is the incarnation: the revision by which the
-- instance registered, and so higher than that of anybody before it under the same id.
--
-- The row of an instance that goes stays for a while and is marked. By that watchers tell who went from what was lost.
CREATE SCHEMA registry;

CREATE TABLE registry.services (
    service  text        COLLATE "C" PRIMARY KEY CHECK (service ~ '^[a-z0-9-]{1,64}$'),
    -- Counted up with every change of who is listed, and how. Never by a heartbeat.
    revision bigint      NOT NULL DEFAULT 0 CHECK (revision >= 0),
    -- When instances whose lease had ended were last taken off.
    swept_at timestamptz NOT NULL DEFAULT '-infinity'
);

-- Half of each page is left free: a heartbeat changes no indexed column, and writes its row into the same page.
CREATE TABLE registry.instances (
    service     text        COLLATE "C" NOT NULL REFERENCES registry.services,
    instance_id text        COLLATE "C" NOT NULL CHECK (instance_id ~ '^[a-z0-9-]{1,64}$'),
    incarnation bigint      NOT NULL CHECK (incarnation > 0),
    holder      uuid        NOT NULL,
    address     text        NOT NULL,
    -- gone: it said so. expired: it was taken off when its lease had ended.
    status      text        NOT NULL
                CHECK (status IN ('starting', 'serving', 'draining', 'gone', 'expired')),
    held_until  timestamptz NOT NULL,
    PRIMARY KEY (service, instance_id)
) WITH (fillfactor = 50);

-- Whoever has counted holds the row of the service until the commit: revisions appear in order.
CREATE FUNCTION registry.count_up(p_service text, p_at_least bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counted bigint;
BEGIN
    UPDATE registry.services SET revision = greatest(revision, p_at_least) + 1
     WHERE service = p_service
    RETURNING revision INTO counted;
    PERFORM pg_notify('folio_registry', p_service);
    RETURN counted;
END;
$$;

-- Registers, and takes the id over from whoever has it. p_before is null then. It is the last incarnation of a holder
-- that registers again: that one takes nothing over, and gets null where another holder has, or had, the id since.
CREATE FUNCTION registry.register(
    p_service  text,
    p_instance text,
    p_holder   uuid,
    p_address  text,
    p_status   text,
    p_term_ms  bigint,
    p_before   bigint
) RETURNS bigint
    LANGUAGE plpgsql
    -- The owner's rights: a service may do what these functions do, and nothing else to the tables.
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    registered bigint;
BEGIN
    INSERT INTO registry.services (service) VALUES (p_service) ON CONFLICT DO NOTHING;
    -- What is read from here on is as it is after everybody who was first.
    PERFORM FROM registry.services WHERE service = p_service FOR UPDATE;
    IF p_before IS NOT NULL AND EXISTS (
        SELECT FROM registry.instances
        WHERE service = p_service AND instance_id = p_instance AND holder <> p_holder
    ) THEN
        RETURN NULL;
    END IF;
    -- A table that was emptied begins to count anew, and is told here how far it had come.
    registered := registry.count_up(p_service, coalesce(p_before, 0));
    INSERT INTO registry.instances AS i
        (service, instance_id, incarnation, holder, address, status, held_until)
    VALUES (p_service, p_instance, registered, p_holder, p_address, p_status,
            clock_timestamp() + p_term_ms * interval '1 millisecond')
    ON CONFLICT (service, instance_id) DO UPDATE
        SET incarnation = excluded.incarnation, holder = excluded.holder,
            address = excluded.address, status = excluded.status, held_until = excluded.held_until;
    RETURN registered;
END;
$$;

-- Makes a lease last from now on: 'beat'. It does not wake up one that has ended: 'expired', or 'superseded' where
-- another holder has, or had, the id since, or it was said to be gone.
CREATE FUNCTION registry.heartbeat(
    p_service     text,
    p_instance    text,
    p_holder      uuid,
    p_incarnation bigint,
    p_term_ms     bigint
) RETURNS text
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- A crash of the server may take the last one back: the next comes before the lease ends.
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE registry.instances
       SET held_until = clock_timestamp() + p_term_ms * interval '1 millisecond'
     WHERE service = p_service AND instance_id = p_instance
       AND holder = p_holder AND incarnation = p_incarnation
       AND status NOT IN ('gone', 'expired') AND held_until > clock_timestamp();
    IF FOUND THEN
        RETURN 'beat';
    END IF;
    IF EXISTS (
        SELECT FROM registry.instances
        WHERE service = p_service AND instance_id = p_instance
          AND (holder <> p_holder OR status = 'gone')
    ) THEN
        RETURN 'superseded';
    END IF;
    RETURN 'expired';
END;
$$;

-- Changes what an instance is ready for; 'gone' takes it off. False where it is not listed any more: its next heartbeat is
-- told why.
CREATE FUNCTION registry.set_status(
    p_service  text,
    p_instance text,
    p_holder   uuid,
    p_status   text
) RETURNS boolean
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM registry.services WHERE service = p_service FOR UPDATE;
    UPDATE registry.instances SET status = p_status
     WHERE service = p_service AND instance_id = p_instance AND holder = p_holder
       AND status NOT IN ('gone', 'expired');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM registry.count_up(p_service, 0);
    RETURN true;
END;
$$;

-- Takes off every instance whose lease has ended, but of a service no more than one of p_one_in within a term, and one
-- at least. When many leases end at once, the network or this server is more likely at fault than all of the instances:
-- those that are left are listed, and callers find out which of them answer.
CREATE FUNCTION registry.sweep(p_term_ms bigint, p_one_in integer) RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    term CONSTANT interval := p_term_ms * interval '1 millisecond';
    due  text;
BEGIN
    -- While this server was down nobody could send a heartbeat.
    IF clock_timestamp() < pg_postmaster_start_time() + term THEN
        RETURN;
    END IF;
    FOR due IN
        SELECT s.service FROM registry.services s
        WHERE s.swept_at + term < clock_timestamp()
          AND EXISTS (
              SELECT FROM registry.instances i
              WHERE i.service = s.service AND i.status NOT IN ('gone', 'expired')
                AND i.held_until < clock_timestamp())
        -- Another sweep of the same time does it.
        FOR UPDATE SKIP LOCKED
    LOOP
        WITH ended AS (
            SELECT i.instance_id FROM registry.instances i
            WHERE i.service = due AND i.status NOT IN ('gone', 'expired')
              AND i.held_until < clock_timestamp()
            ORDER BY i.held_until, i.instance_id
            LIMIT (
                SELECT greatest(1, count(*) / p_one_in) FROM registry.instances listed
                WHERE listed.service = due AND listed.status NOT IN ('gone', 'expired'))
            FOR UPDATE
        )
        UPDATE registry.instances i SET status = 'expired'
        FROM ended WHERE i.service = due AND i.instance_id = ended.instance_id;
        -- Unless all of them have sent a heartbeat just now.
        IF FOUND THEN
            UPDATE registry.services SET swept_at = clock_timestamp() WHERE service = due;
            PERFORM registry.count_up(due, 0);
        END IF;
    END LOOP;
    -- By now every watcher has seen that they went.
    DELETE FROM registry.instances
     WHERE status IN ('gone', 'expired') AND held_until < clock_timestamp() - interval '1 hour';
END;
$$;

DO $$
DECLARE
    projector text := current_database() || '_projector';
    reader    text := current_database() || '_reader';
BEGIN
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA registry FROM PUBLIC;
    EXECUTE format('GRANT USAGE ON SCHEMA registry TO %I, %I', projector, reader);
    EXECUTE format('GRANT SELECT ON registry.services, registry.instances TO %I, %I', projector, reader);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION registry.register, registry.heartbeat, registry.set_status, registry.sweep TO %I',
        projector);
END;
$$;
