-- The read model of garages. Roles are made beforehand, named after the database; this file only grants.

CREATE SCHEMA parking;

CREATE TABLE parking.occupancy (
    garage text   COLLATE "C" PRIMARY KEY,
    spaces bigint NOT NULL,
    taken  bigint NOT NULL DEFAULT 0 CHECK (taken BETWEEN 0 AND spaces)
);

DO $$
DECLARE
    projector text := current_database() || '_projector';
    reader    text := current_database() || '_reader';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA parking TO %I, %I', projector, reader);
    EXECUTE format('GRANT SELECT ON parking.occupancy TO %I, %I', projector, reader);
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON parking.occupancy TO %I', projector);
END;
$$;
