-- Whoever audits reads all of the history and of the log beside it, and nothing else: not the snapshots, which are a
-- cache, and no read model. It may lock no row and append nothing.
--
-- Roles are made beforehand, named after the database; this file only grants.

DO $$
DECLARE
    auditor text := current_database() || '_auditor';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA store, audit TO %I', auditor);
    EXECUTE format('GRANT SELECT ON store.identity, store.events, store.outcomes, store.history TO %I', auditor);
    EXECUTE format('GRANT SELECT ON audit.tiles, audit.buckets, audit.checkpoints TO %I', auditor);
END;
$$;
