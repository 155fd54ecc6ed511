-- The API keys of programs that do not log in. Of a key only a hash is kept: what it is made of are 256 random bits, so
-- nothing is gained by one that is slow to compute.
CREATE SCHEMA gateway;

CREATE TABLE gateway.api_keys (
    -- The part of a key by which it is found, and spoken of.
    prefix        text        COLLATE "C" PRIMARY KEY CHECK (prefix ~ '^[a-z2-7]{8}$'),
    secret_sha256 bytea       NOT NULL CHECK (octet_length(secret_sha256) = 32),
    principal     text        COLLATE "C" NOT NULL CHECK (principal ~ '^[!-~]{1,128}$'),
    scopes        text[]      COLLATE "C" NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    revoked_at    timestamptz CHECK (revoked_at >= created_at)
);

DO $$
DECLARE
    projector text := current_database() || '_projector';
    reader    text := current_database() || '_reader';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA gateway TO %I, %I', projector, reader);
    EXECUTE format('GRANT SELECT ON gateway.api_keys TO %I, %I', projector, reader);
    EXECUTE format('GRANT INSERT (prefix, secret_sha256, principal, scopes), UPDATE (revoked_at) ON gateway.api_keys TO %I', projector);
END;
$$;
