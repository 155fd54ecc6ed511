-- Which events a projector was really given, so that it can be proven later that it was each one, once.
-- It is written where the projector is called, in the transaction that moves the checkpoint, and compared
-- with what the source has, range by range.

-- In how many partitions a build was filled, from behind which position on. With that it is known which
-- partition was to have an event. Of what is before the first of them, nothing is recorded.
CREATE TABLE projections.sharings (
    projection text     COLLATE "C" NOT NULL,
    build      integer  NOT NULL,
    since      bigint   NOT NULL CHECK (since >= 0),
    partitions smallint NOT NULL CHECK (partitions > 0),
    PRIMARY KEY (projection, build, since),
    FOREIGN KEY (projection, build) REFERENCES projections.builds ON DELETE CASCADE
);

-- Builds of before have no record of their past.
INSERT INTO projections.sharings (projection, build, since, partitions)
SELECT b.projection, b.build, max(c.position), b.partitions
FROM projections.builds b JOIN projections.checkpoints c USING (projection, build)
GROUP BY b.projection, b.build;

CREATE TABLE projections.taken (
    projection text     COLLATE "C" NOT NULL,
    build      integer  NOT NULL,
    since      bigint   NOT NULL,
    partition  smallint NOT NULL CHECK (partition >= 0),
    -- 4096 positions: 0 has 1 to 4096.
    range      bigint   NOT NULL CHECK (range >= 0),
    -- How many events the projector was given.
    events     bigint   NOT NULL,
    -- Of these, how many after they had been parked.
    late       bigint   NOT NULL,
    -- How many were parked, whatever became of them since.
    parked     bigint   NOT NULL,
    -- How many came in their turn, and not behind those before them. It should be none.
    disordered bigint   NOT NULL,
    -- The positions of the first and the last that came in their turn.
    first      bigint,
    last       bigint,
    -- Which they were: the SHA-256 of each one's position and id, added up 32 bits by 32 bits.
    sums       bigint[] NOT NULL CHECK (cardinality(sums) = 8),
    PRIMARY KEY (projection, build, since, partition, range),
    FOREIGN KEY (projection, build, since) REFERENCES projections.sharings ON DELETE CASCADE
)
-- The last row of each partition is written with every batch, and has room for its next version beside it.
WITH (fillfactor = 70);

DO $$
DECLARE
    projector text := current_database() || '_projector';
    reader    text := current_database() || '_reader';
BEGIN
    EXECUTE format('GRANT SELECT ON projections.sharings, projections.taken TO %I, %I', projector, reader);
    EXECUTE format('GRANT INSERT, UPDATE ON projections.sharings, projections.taken TO %I', projector);
    EXECUTE format('GRANT DELETE ON projections.sharings TO %I', projector);
END;
$$;
