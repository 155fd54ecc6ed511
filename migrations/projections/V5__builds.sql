-- A projection may have several builds: copies of its model, each with tables of its own in a schema of
-- its own, `<projection>_<build>`. One is live, which is what readers see. Others are being filled, or
-- are kept to go back to.
--
-- Tables of before were not a build's own. Their models are filled again, from the first event.

DROP TABLE projections.leases;
DELETE FROM projections.checkpoints;
DELETE FROM projections.dead_letters;

CREATE TABLE projections.builds (
    projection        text        COLLATE "C" NOT NULL,
    build             integer     NOT NULL CHECK (build > 0),
    -- The revision of the code that fills it. A program runs the builds of its own revision.
    revision          integer     NOT NULL CHECK (revision > 0),
    state             text        NOT NULL CHECK (state IN ('building', 'live', 'kept')),
    -- By how many runners it is filled at once, each with the streams that fall to it.
    partitions        smallint    NOT NULL CHECK (partitions > 0),
    -- The most that may be read for it while it is being filled.
    events_per_second integer     CHECK (events_per_second > 0),
    -- How far the build before it had come when this one went live, by that one's partitions: up to
    -- there effects were written, by that one.
    effects_done      bigint[]    NOT NULL DEFAULT '{}',
    paused_by         text,
    pause_reason      text        CHECK (pause_reason <> ''),
    paused_at         timestamptz,
    -- Counted up to start again what has stopped.
    resumed           bigint      NOT NULL DEFAULT 0,
    created_at        timestamptz NOT NULL DEFAULT now(),
    live_since        timestamptz,
    PRIMARY KEY (projection, build),
    CHECK ((paused_by IS NULL) = (paused_at IS NULL)),
    CHECK ((paused_by IS NULL) = (pause_reason IS NULL))
);

CREATE UNIQUE INDEX builds_live ON projections.builds (projection) WHERE state = 'live';

-- The lease is in the checkpoint's row: the update that moves the checkpoint compares the epoch, and
-- whoever takes the lease over waits for that row. So one statement fences, locks and moves.
ALTER TABLE projections.checkpoints RENAME COLUMN version TO build;
ALTER TABLE projections.checkpoints
    DROP CONSTRAINT checkpoints_pkey,
    ADD COLUMN partition  smallint    NOT NULL DEFAULT 0 CHECK (partition >= 0),
    -- Whoever takes the lease over counts it up; so does whoever changes the build, to call its runners.
    ADD COLUMN epoch      bigint      NOT NULL DEFAULT 0,
    -- For people: which process it is.
    ADD COLUMN owner      text,
    ADD COLUMN held_until timestamptz NOT NULL DEFAULT '-infinity',
    -- Not known before the first event.
    ALTER COLUMN store_id DROP NOT NULL,
    ADD CHECK (position = 0 OR (store_id IS NOT NULL AND event_hash IS NOT NULL)),
    ADD PRIMARY KEY (projection, build, partition),
    ADD FOREIGN KEY (projection, build) REFERENCES projections.builds ON DELETE CASCADE,
    -- It is written with every batch, and has room for its next version beside it.
    SET (fillfactor = 50);
ALTER TABLE projections.checkpoints ALTER COLUMN partition DROP DEFAULT;

ALTER TABLE projections.dead_letters RENAME COLUMN version TO build;
ALTER TABLE projections.dead_letters
    ADD FOREIGN KEY (projection, build) REFERENCES projections.builds ON DELETE CASCADE;

-- What people have done to projections, and why.
CREATE TABLE projections.operations (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    projection text        COLLATE "C" NOT NULL,
    build      integer     NOT NULL,
    operation  text        NOT NULL,
    actor      text        NOT NULL,
    detail     text        NOT NULL
);

DO $$
DECLARE
    projector text := current_database() || '_projector';
    reader    text := current_database() || '_reader';
BEGIN
    EXECUTE format('GRANT SELECT ON projections.builds, projections.operations TO %I, %I', projector, reader);
    EXECUTE format('GRANT UPDATE ON projections.builds TO %I', projector);
    EXECUTE format('GRANT INSERT ON projections.operations TO %I', projector);
    EXECUTE format('GRANT DELETE ON projections.checkpoints, projections.dead_letters TO %I', projector);
END;
$$;
