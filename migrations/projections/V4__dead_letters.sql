-- Events that a projection could not take in. The first of a stream that fails is parked with its
-- error, and what comes after it on that stream is parked behind it, in order; other streams go on.
CREATE TABLE projections.dead_letters (
    projection  text        COLLATE "C" NOT NULL,
    version     integer     NOT NULL CHECK (version > 0),
    position    bigint      NOT NULL CHECK (position > 0),
    category    text        COLLATE "C" NOT NULL,
    stream_id   text        COLLATE "C" NOT NULL,
    -- Why it failed the last time; null for one that only waits behind another.
    error       text,
    attempts    integer     NOT NULL CHECK (attempts >= 0),
    parked_at   timestamptz NOT NULL DEFAULT now(),
    -- How it ended: 'projected' after all, or 'skipped' by somebody for a reason. Null until then.
    resolution  text        CHECK (resolution IN ('projected', 'skipped')),
    resolved_by text,
    reason      text,
    resolved_at timestamptz,
    PRIMARY KEY (projection, version, position),
    CHECK ((resolution IS NULL) = (resolved_at IS NULL)),
    CHECK (resolution <> 'skipped' OR reason <> '')
);

-- Every batch asks for the streams that are parked; mostly there are none.
CREATE INDEX dead_letters_open ON projections.dead_letters
    (projection, version, category, stream_id, position) WHERE resolution IS NULL;

DO $$
DECLARE
    projector text := current_database() || '_projector';
    reader    text := current_database() || '_reader';
BEGIN
    EXECUTE format('GRANT SELECT ON projections.dead_letters TO %I, %I', projector, reader);
    EXECUTE format('GRANT INSERT, UPDATE ON projections.dead_letters TO %I', projector);
END;
$$;
