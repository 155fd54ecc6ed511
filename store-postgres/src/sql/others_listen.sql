-- Whether another session of this database listens for appends. Its name is shown to everybody, whoever it belongs to.
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid())
