-- Which instance of the service looks after a saga that is due, of however many there are.
--
-- A claim is a lease, held until a time by this server's clock. It spares participants being asked by two at once, and is
-- not what keeps two from harm: that are the version of the saga's log, which admits one of two appends, and the ids of
-- steps, by which participants know them again. So whoever sleeps through the end of its claim can go on as it likes.
--
-- A table of its own and no column of the projection of sagas: that one may be thrown away and filled again.
CREATE SCHEMA transfers;

CREATE TABLE transfers.claims (
    kind       text        COLLATE "C" NOT NULL,
    saga_id    text        COLLATE "C" NOT NULL,
    owner      uuid        NOT NULL,
    -- Counted up with each owner.
    epoch      bigint      NOT NULL CHECK (epoch > 0),
    held_until timestamptz NOT NULL,
    PRIMARY KEY (kind, saga_id)
);

CREATE INDEX claims_by_end ON transfers.claims (held_until);

DO $$
DECLARE
    projector text := current_database() || '_projector';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA transfers TO %I', projector);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON transfers.claims TO %I', projector);
END;
$$;
