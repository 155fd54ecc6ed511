-- The model's tables are made with each build of the projection, in a schema of the build's own. The
-- one that was shared goes; what it held is in the events.
DROP SCHEMA balances CASCADE;
