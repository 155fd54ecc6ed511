-- Who may write a projection. One runner at a time, of however many are started.
--
-- A lease is held until a time by this server's clock, and is known by its epoch: whoever takes it over
-- counts the epoch up, and what the one before still writes is refused by it. A row and no advisory
-- lock: a lock goes with its session, which a pooler or a half-dead connection may keep alive.
CREATE TABLE projections.leases (
    projection text        COLLATE "C" NOT NULL,
    version    integer     NOT NULL CHECK (version > 0),
    epoch      bigint      NOT NULL CHECK (epoch > 0),
    -- For people: which process it is.
    owner      text        NOT NULL,
    held_until timestamptz NOT NULL,
    PRIMARY KEY (projection, version)
);

DO $$
DECLARE
    projector text := current_database() || '_projector';
    reader    text := current_database() || '_reader';
BEGIN
    EXECUTE format('GRANT SELECT ON projections.leases TO %I, %I', projector, reader);
    EXECUTE format('GRANT INSERT, UPDATE ON projections.leases TO %I', projector);
END;
$$;
