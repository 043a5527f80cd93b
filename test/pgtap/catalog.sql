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

-- A hostile schema in front of pg_catalog: nothing of it is called.
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.trap() RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN PERFORM hostile.trap(); RETURN null; END$$;
CREATE FUNCTION hostile.get_archive_errors(OUT class text) RETURNS SETOF text LANGUAGE plpgsql
    AS $$BEGIN PERFORM hostile.trap(); END$$;
CREATE FUNCTION hostile.same(text, text) RETURNS bool LANGUAGE plpgsql
    AS $$BEGIN PERFORM hostile.trap(); RETURN true; END$$;
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.same);
SELECT throws_ok($$SET LOCAL search_path = hostile, pg_catalog; SELECT 'a'::text = 'a'::text$$, 'P0001', 'trapped',
    'the trap works');
SET LOCAL search_path = hostile, pg_catalog;
SELECT count(*) AS n FROM forge_backup.archive_status \gset
SELECT count(*) AS n FROM forge_backup.archive_errors \gset
SELECT count(*) AS n FROM forge_backup.data_at_risk \gset
SELECT count(*) AS n FROM forge_backup.events \gset
SELECT count(*) AS n FROM forge_backup.gaps \gset
SELECT count(*) AS n FROM forge_backup.progress \gset
SELECT count(*) AS n FROM forge_backup.recovery_window \gset
SELECT count(*) AS n FROM forge_backup.status() \gset
SELECT forge_backup.report_facts() IS NULL AS n \gset
SELECT count(*) AS n FROM forge_backup."check"(quick => true) \gset
RESET search_path;
SELECT pass('a hostile search path changes nothing of the views, status(), report_facts() and check()');

SELECT * FROM finish();
ROLLBACK;
