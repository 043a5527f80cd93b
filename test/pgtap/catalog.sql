-- What holds for everything in the schema, asked of the catalog so that it covers whatever is added: the manual, rights, and
-- the search path. Run by pg_prove in the directory above docs/, in a database that has pgtap.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
\set manual `cat docs/sql.md`

BEGIN;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS forge_backup;
CREATE ROLE tap_forge_reader IN ROLE pg_monitor;
CREATE ROLE tap_forge_nobody;
CREATE ROLE tap_forge_operator;

CREATE TEMP VIEW routines AS
    SELECT oid, proname, prosecdef, proconfig, pg_get_function_identity_arguments(oid) AS arguments
    FROM pg_proc WHERE pronamespace = 'forge_backup'::regnamespace;
CREATE TEMP VIEW relations AS
    SELECT oid, relname FROM pg_class
    WHERE relnamespace = 'forge_backup'::regnamespace AND relkind IN ('v', 'm', 'r', 'p', 'f', 'S');
CREATE TEMP VIEW columns AS
    SELECT r.oid, r.relname, a.attnum, a.attname
    FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped;

SELECT no_plan();
SELECT cmp_ok((SELECT count(*) FROM columns), '>', 0::bigint, 'there are columns to look at');

-- The manual: where psql shows it, and in docs/sql.md.
SELECT is_empty($$SELECT proname FROM routines WHERE obj_description(oid, 'pg_proc') IS NULL$$,
    'each function has a comment');
SELECT is_empty($$SELECT relname FROM relations WHERE obj_description(oid, 'pg_class') IS NULL$$,
    'each view has a comment');
SELECT is_empty($$SELECT relname, attname FROM columns WHERE col_description(oid, attnum) IS NULL$$,
    'each column of a view has a comment');

-- A view stands in the manual under a heading of its own; its functions named get_... are its rows, nothing to call.
CREATE TEMP TABLE manual AS SELECT :'manual'::text AS text;
CREATE TEMP VIEW chapters AS
    SELECT substring(chapter FROM '^(\w+)') AS name, chapter
    FROM manual, regexp_split_to_table(text, '\n## ') AS chapter;
SELECT is_empty($$SELECT proname FROM routines
    WHERE NOT (proname LIKE 'get\_%' AND substr(proname, 5) IN (SELECT relname FROM relations))
      AND proname NOT IN (SELECT name FROM chapters WHERE name IS NOT NULL)
      AND NOT EXISTS (SELECT FROM manual WHERE strpos(text, '`' || proname || '()`') > 0)$$,
    'docs/sql.md says what each function does');
SELECT is_empty($$SELECT relname, attname FROM columns c
    WHERE NOT EXISTS (SELECT FROM chapters
        WHERE name = CASE relname WHEN 'backups' THEN 'backup_list' ELSE relname END
          AND strpos(chapter, '`' || attname || '`') > 0)$$,
    'docs/sql.md names each column in the chapter on its view');

-- Rights. (K3)
SELECT is_empty($$SELECT proname FROM routines WHERE has_function_privilege('tap_forge_nobody', oid, 'EXECUTE')$$,
    'K3: a plain role executes nothing');
SELECT is_empty($$SELECT relname FROM relations
    WHERE has_table_privilege('tap_forge_nobody', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')$$,
    'K3: and reads nothing');
SELECT is_empty($$SELECT relname FROM relations
    WHERE NOT has_table_privilege('tap_forge_reader', oid, 'SELECT')
       OR has_table_privilege('tap_forge_reader', oid, 'INSERT, UPDATE, DELETE, TRUNCATE')$$,
    'K3: a monitor reads all views and changes none');
SELECT is_empty($$SELECT proname FROM routines WHERE prosecdef$$, 'K3: nothing runs with its owner''s rights');

-- What acts can be granted: the error is then no longer one of permission.
SELECT throws_ok($$SET LOCAL ROLE tap_forge_operator; SELECT * FROM forge_backup.mark_backup('no backup')$$, '42501', NULL,
    'an operator may not mark a backup');
GRANT USAGE ON SCHEMA forge_backup TO tap_forge_operator;
GRANT EXECUTE ON FUNCTION forge_backup.mark_backup(text, bool) TO tap_forge_operator;
SELECT throws_ok($$SET LOCAL ROLE tap_forge_operator; SELECT * FROM forge_backup.mark_backup('no backup')$$, '22023', NULL,
    'granted, he gets as far as the missing storage');

-- A hostile schema in front of pg_catalog: nothing of it is called, by whatever is in the schema. (K3)
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.trap() RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN PERFORM hostile.trap(); RETURN null; END$$;
DO $$
DECLARE thing text;
BEGIN
    FOR thing IN SELECT proname FROM routines WHERE proname LIKE 'get%' LOOP
        EXECUTE format('CREATE FUNCTION hostile.%I() RETURNS bool LANGUAGE plpgsql AS %L', thing, 'BEGIN RETURN hostile.trap(); END');
    END LOOP;
    FOREACH thing IN ARRAY ARRAY['pg_class', 'pg_extension', 'pg_settings', 'pg_authid', 'pg_database'] LOOP
        EXECUTE format('CREATE VIEW hostile.%I AS SELECT hostile.trap()', thing);
    END LOOP;
    FOREACH thing IN ARRAY ARRAY['text', 'name', '"char"', 'int4', 'int8', 'oid', 'pg_lsn', 'timestamptz'] LOOP
        EXECUTE format('CREATE FUNCTION hostile.trapped(%s, %1$s) RETURNS bool LANGUAGE plpgsql AS %L', thing, 'BEGIN RETURN hostile.trap(); END');
        EXECUTE format('CREATE OPERATOR hostile.= (LEFTARG = %s, RIGHTARG = %1$s, FUNCTION = hostile.trapped)', thing);
        EXECUTE format('CREATE OPERATOR hostile.< (LEFTARG = %s, RIGHTARG = %1$s, FUNCTION = hostile.trapped)', thing);
    END LOOP;
END$$;
SELECT throws_ok(format('SET LOCAL search_path = hostile, pg_catalog; %s', query), 'P0001', 'trapped', 'the trap works: ' || query)
FROM unnest(ARRAY[$$SELECT 'a'::text = 'a'::text$$, 'SELECT 1::int8 < 2::int8', 'SELECT now()', 'SELECT get_gaps()',
    'SELECT count(*) FROM pg_class']) AS query;

CREATE TEMP TABLE calls AS
    SELECT relname AS name, format('SELECT count(*) FROM forge_backup.%I', relname) AS call FROM relations
    UNION ALL SELECT * FROM (VALUES
        ('backup_list', 'SELECT count(*) FROM forge_backup.backup_list()'),
        ('status', 'SELECT count(*) FROM forge_backup.status()'),
        ('check', 'SELECT count(*) FROM forge_backup."check"(quick => true)'),
        ('check', 'SELECT count(*) FROM forge_backup."check"()'),
        ('wait_archived', 'SELECT forge_backup.wait_archived()'),
        ('trigger_basebackup', 'SELECT forge_backup.trigger_basebackup()'),
        ('restore_config', 'SELECT count(*) FROM forge_backup.restore_config()'),
        ('verify_backup', 'SELECT count(*) FROM forge_backup.verify_backup()'),
        ('retention_plan', 'SELECT count(*) FROM forge_backup.retention_plan()'),
        ('adopt_prefix', 'SELECT forge_backup.adopt_prefix()'),
        ('report_facts', 'SELECT forge_backup.report_facts() IS NULL'),
        ('report_html', 'SELECT pg_catalog.length(forge_backup.report_html())'),
        ('reset_stats', 'SELECT forge_backup.reset_stats()'),
        ('mark_backup', $$SELECT forge_backup.mark_backup('no backup')$$),
        ('delete_backup', $$SELECT forge_backup.delete_backup('no backup')$$)) AS more;
SELECT is_empty($$SELECT proname FROM routines
    WHERE proname NOT IN (SELECT name FROM calls)
      AND NOT (proname LIKE 'get\_%' AND substr(proname, 5) IN (SELECT name FROM calls))$$,
    'each function is called');
CREATE FUNCTION pg_temp.outcome(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE call;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END$$;
CREATE TEMP TABLE outcomes AS SELECT call, pg_temp.outcome(call) AS plain, NULL::text AS attacked FROM calls;
SET LOCAL search_path = hostile, pg_catalog;
UPDATE pg_temp.outcomes SET attacked = pg_temp.outcome(call);
RESET search_path;
SELECT is(attacked, plain, 'K3: a hostile search path changes nothing: ' || call) FROM outcomes;

-- Where the suite runs with a storage ("storage" is set) everything gets to its end.
\if :{?storage}
SELECT is_empty($$SELECT call, plain FROM outcomes WHERE plain <> 'done' AND call NOT LIKE '%no backup%'$$,
    'with a storage every call is answered');
\endif

SELECT * FROM finish();
ROLLBACK;
