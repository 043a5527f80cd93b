-- K3: who may call what. Readers are members of pg_monitor; what acts stays with superusers until they grant it on.
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_forge_reader, regress_forge_nobody, regress_forge_operator;
CREATE ROLE regress_forge_reader IN ROLE pg_monitor;
CREATE ROLE regress_forge_nobody;
CREATE ROLE regress_forge_operator;
RESET client_min_messages;

SELECT r.rolname AS role, p.oid::regprocedure AS function,
       has_schema_privilege(r.oid, 'forge_backup', 'USAGE') AND has_function_privilege(r.oid, p.oid, 'EXECUTE') AS may_call
FROM pg_roles r, pg_proc p
WHERE r.rolname IN ('regress_forge_reader', 'regress_forge_nobody') AND p.pronamespace = 'forge_backup'::regnamespace
ORDER BY 1, p.proname COLLATE "C";

SELECT r.rolname AS role, c.oid::regclass AS view, has_table_privilege(r.oid, c.oid, 'SELECT') AS may_read
FROM pg_roles r, pg_class c
WHERE r.rolname IN ('regress_forge_reader', 'regress_forge_nobody')
  AND c.relnamespace = 'forge_backup'::regnamespace AND c.relkind = 'v'
ORDER BY 1, c.relname COLLATE "C";

SET ROLE regress_forge_nobody;
SELECT count(*) FROM forge_backup.status();
SELECT count(*) FROM forge_backup.archive_status;
SELECT forge_backup.trigger_basebackup(wait => false);
RESET ROLE;

SET ROLE regress_forge_reader;
SELECT count(*) > 0 AS has_rows FROM forge_backup.status();
SELECT count(*) AS rows FROM forge_backup.archive_status;
SELECT count(*) <= 1 AS at_most_one_row FROM forge_backup.progress;
SELECT forge_backup.trigger_basebackup(wait => false);
-- The path of the executable is for superusers and those who may read all settings; pg_monitor may.
SELECT current_setting('forge_backup.helper_path') ~ '/forge-backup$' AS shown;
RESET ROLE;

SET ROLE regress_forge_nobody;
-- In words of its own in each server version.
\set VERBOSITY sqlstate
SHOW forge_backup.helper_path;
\set VERBOSITY default
RESET ROLE;

-- Granted on.
GRANT USAGE ON SCHEMA forge_backup TO regress_forge_operator;
GRANT EXECUTE ON FUNCTION forge_backup.trigger_basebackup(bool, bool, jsonb, bool) TO regress_forge_operator;
SELECT has_function_privilege('regress_forge_operator', 'forge_backup.trigger_basebackup(bool, bool, jsonb, bool)', 'EXECUTE');

-- A search path full of traps changes nothing: the views name their functions with the schema.
CREATE SCHEMA regress_forge_trap;
CREATE FUNCTION regress_forge_trap.get_archive_status() RETURNS text LANGUAGE sql AS $$ SELECT 'trapped' $$;
SET search_path = regress_forge_trap, forge_backup, pg_catalog;
SELECT count(*) FROM archive_status WHERE archive_status::text LIKE '%trapped%';
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA regress_forge_trap CASCADE;
RESET client_min_messages;

REVOKE ALL ON FUNCTION forge_backup.trigger_basebackup(bool, bool, jsonb, bool) FROM regress_forge_operator;
REVOKE ALL ON SCHEMA forge_backup FROM regress_forge_operator;
DROP ROLE regress_forge_reader, regress_forge_nobody, regress_forge_operator;
