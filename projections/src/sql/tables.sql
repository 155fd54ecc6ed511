-- The tables of two schemas by name, each with the columns of its primary key: null where there is no such
-- table, empty where it has no key.
WITH tables AS (
    SELECT n.nspname AS schema, format('%I', c.relname) AS name,
           ARRAY(SELECT format('%I', a.attname)
                 FROM pg_index i
                 CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k (number, place)
                 JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
                 WHERE i.indrelid = c.oid AND i.indisprimary
                 ORDER BY k.place) AS key
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname IN ($1, $2)
)
SELECT coalesce(one.name, other.name), one.key, other.key
FROM (SELECT * FROM tables WHERE schema = $1) one
FULL JOIN (SELECT * FROM tables WHERE schema = $2) other USING (name)
ORDER BY 1
