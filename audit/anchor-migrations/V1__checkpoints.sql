-- Checkpoints of logs that are sealed elsewhere, in the order in which they were anchored. This is a database of its
-- own, best on another server: whoever can change a log should not be able to change this.
CREATE SCHEMA anchor;

CREATE TABLE anchor.checkpoints (
    -- Has gaps: a number that was taken and not committed is not given again.
    number      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- What the log is called.
    log         text        COLLATE "C" NOT NULL CHECK (log <> ''),
    -- The checkpoint, as it was signed.
    note        text        NOT NULL CHECK (note <> ''),
    anchored_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX checkpoints_log ON anchor.checkpoints (log, number);

CREATE FUNCTION anchor.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION '% on %.% is refused: an anchor is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation',
              HINT = 'What was anchored is believed more than the log; anchor the next checkpoint in place of changing one.';
END;
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON anchor.checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION anchor.refuse_change();
ALTER TABLE anchor.checkpoints ENABLE ALWAYS TRIGGER append_only;

DO $$
DECLARE
    sealer  text := current_database() || '_sealer';
    auditor text := current_database() || '_auditor';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA anchor TO %I, %I', sealer, auditor);
    EXECUTE format('GRANT SELECT ON anchor.checkpoints TO %I, %I', sealer, auditor);
    EXECUTE format('GRANT INSERT (log, note) ON anchor.checkpoints TO %I', sealer);
END;
$$;
