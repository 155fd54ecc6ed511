-- How much of a limit is spent, for all gateways together.
--
-- A bucket is one moment, by this server's clock: when everything that was taken from it will be back (in the generic
-- cell rate algorithm: the theoretical arrival time). A row whose moment has passed says the same as no row.
--
-- The table is not logged: a take costs no flush to disk, and after a crash of the server, or a failover, every bucket is
-- full. A burst too many on that day is the price.
CREATE SCHEMA limits;

CREATE UNLOGGED TABLE limits.buckets (
    policy  text        COLLATE "C" NOT NULL,
    key     text        COLLATE "C" NOT NULL,
    tat     timestamptz NOT NULL,
    -- How many the last statement has got.
    granted bigint      NOT NULL CHECK (granted >= 0),
    PRIMARY KEY (policy, key)
)
-- Rows are updated in place: there is room in each page, and no index on what changes. Old rows are found by reading
-- the whole table, seldom.
WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

DO $$
DECLARE
    projector text := current_database() || '_projector';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA limits TO %I', projector);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON limits.buckets TO %I', projector);
END;
$$;
