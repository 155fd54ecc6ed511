-- The keys under which what is recorded about people is sealed, one for each of them. This is a database of its own, so
-- that its backups can be thrown away sooner than those of the log.
CREATE SCHEMA vault;

CREATE TABLE vault.subjects (
    -- A pseudonym. What tells who it is has no place here: it stays when the key is gone.
    subject_id   text        COLLATE "C" PRIMARY KEY CHECK (subject_id ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    key          bytea       CHECK (octet_length(key) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- Not compared with the time before: a clock that was set back must not stop it.
    forgotten_at timestamptz,
    forgotten_by text        CHECK (forgotten_by <> ''),
    reason       text        CHECK (reason <> ''),
    CHECK ((key IS NULL) = (forgotten_at IS NOT NULL)),
    CHECK ((key IS NULL) = (forgotten_by IS NOT NULL)),
    CHECK ((key IS NULL) = (reason IS NOT NULL))
);

-- The one change of a row is that it is forgotten. Another key would pass off a subject that was forgotten as a new one,
-- and what was sealed under the first as damaged.
CREATE FUNCTION vault.forget_only() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF OLD.forgotten_at IS NOT NULL OR NEW.forgotten_at IS NULL THEN
        RAISE EXCEPTION 'subject % is refused any change but to be forgotten, once', OLD.subject_id
            USING ERRCODE = 'restrict_violation',
                  HINT = 'A subject that was forgotten stays so; name another one.';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER forget_only BEFORE UPDATE ON vault.subjects
    FOR EACH ROW EXECUTE FUNCTION vault.forget_only();
ALTER TABLE vault.subjects ENABLE ALWAYS TRIGGER forget_only;

DO $$
DECLARE
    keeper text := current_database() || '_keeper';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA vault TO %I', keeper);
    EXECUTE format('GRANT SELECT ON vault.subjects TO %I', keeper);
    EXECUTE format('GRANT INSERT (subject_id, key) ON vault.subjects TO %I', keeper);
    EXECUTE format('GRANT UPDATE (key, forgotten_at, forgotten_by, reason) ON vault.subjects TO %I', keeper);
END;
$$;
