-- How far each projection of this database has come. A checkpoint moves in the transaction that
-- changes the model, so that model and checkpoint are never apart.
--
-- Roles are made beforehand, named after the database; this file only grants.

CREATE SCHEMA projections;

CREATE TABLE projections.checkpoints (
    projection text    COLLATE "C" NOT NULL,
    -- The version of the projection's code and tables: the next one fills its own beside this one.
    version    integer NOT NULL CHECK (version > 0),
    -- The store that the position belongs to; a position of another store means nothing here.
    store_id   uuid    NOT NULL,
    -- All events up to and including this one are in the model.
    position   bigint  NOT NULL CHECK (position >= 0),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, version)
);

DO $$
DECLARE
    projector text := current_database() || '_projector';
    reader    text := current_database() || '_reader';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA projections TO %I, %I', projector, reader);
    EXECUTE format('GRANT SELECT ON projections.checkpoints TO %I, %I', projector, reader);
    EXECUTE format('GRANT INSERT, UPDATE ON projections.checkpoints TO %I', projector);
END;
$$;
