-- What CREATE EXTENSION makes: functions, views, comments, and nothing else.
CREATE EXTENSION forge_backup;

SELECT extname, extversion = (SELECT default_version FROM pg_available_extensions WHERE name = 'forge_backup') AS current,
       nspname AS schema, extrelocatable AS relocatable
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE extname = 'forge_backup';

SELECT p.proname AS name, pg_get_function_identity_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result
FROM pg_proc p
WHERE p.pronamespace = 'forge_backup'::regnamespace
ORDER BY p.proname COLLATE "C";

-- Nothing runs as somebody else, nothing claims to be free of side effects, nothing runs in a parallel worker.
SELECT p.proname AS name, p.prosecdef AS security_definer, p.provolatile AS volatility, p.proparallel AS parallel
FROM pg_proc p
WHERE p.pronamespace = 'forge_backup'::regnamespace
ORDER BY p.proname COLLATE "C";

SELECT c.relname AS view, a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'forge_backup'::regnamespace AND c.relkind = 'v'
ORDER BY c.relname COLLATE "C", a.attnum;

-- Everything has a comment.
SELECT p.oid::regprocedure::text AS without_comment
FROM pg_proc p
WHERE p.pronamespace = 'forge_backup'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
UNION ALL
SELECT c.oid::regclass::text
FROM pg_class c
WHERE c.relnamespace = 'forge_backup'::regnamespace AND c.relkind = 'v' AND obj_description(c.oid, 'pg_class') IS NULL;

-- The extension goes without a trace, and comes back.
DROP EXTENSION forge_backup;
SELECT count(*) AS left_behind FROM pg_proc WHERE probin LIKE '%forge_backup%';
CREATE EXTENSION forge_backup;
