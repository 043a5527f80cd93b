-- Signatures, types and grants of the SQL surface. Run by pg_prove in a database that has pgtap and the right to
-- create the extension.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off

BEGIN;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
CREATE EXTENSION IF NOT EXISTS forge_backup;
CREATE ROLE tap_forge_reader IN ROLE pg_monitor;
CREATE ROLE tap_forge_nobody;

SELECT no_plan();

SELECT has_schema('forge_backup');
SELECT has_extension('forge_backup', 'forge_backup', 'the extension lives in its own schema');
SELECT functions_are('forge_backup', ARRAY['backup_list', 'trigger_basebackup', 'restore_config', 'check', 'status',
    'get_archive_errors', 'get_archive_status', 'get_data_at_risk', 'get_data_at_risk_history', 'get_recovery_window', 'get_restore_points', 'wait_archived', 'get_events', 'get_gaps', 'get_progress', 'get_statistics', 'get_transfers', 'reset_stats', 'verify_backup', 'mark_backup', 'delete_backup', 'retention_plan',
    'adopt_prefix', 'report_facts', 'report_html']);
SELECT views_are('forge_backup', ARRAY['archive_errors', 'archive_status', 'backups', 'data_at_risk', 'data_at_risk_history', 'events', 'gaps', 'progress', 'recovery_window', 'restore_points', 'statistics', 'transfers']);
SELECT tables_are('forge_backup', ARRAY[]::name[]);

-- Signatures.
SELECT has_function('forge_backup', 'backup_list', ARRAY[]::name[]);
SELECT has_function('forge_backup', 'trigger_basebackup', ARRAY['boolean', 'boolean', 'jsonb', 'boolean']);
SELECT has_function('forge_backup', 'restore_config',
    ARRAY['timestamp with time zone', 'pg_lsn', 'text', 'text', 'text']);
SELECT has_function('forge_backup', 'check', ARRAY['boolean']);
SELECT has_function('forge_backup', 'status', ARRAY[]::name[]);
SELECT has_function('forge_backup', 'verify_backup', ARRAY['text']);
SELECT has_function('forge_backup', 'mark_backup', ARRAY['text', 'boolean']);
SELECT has_function('forge_backup', 'delete_backup', ARRAY['text', 'boolean']);
SELECT has_function('forge_backup', 'retention_plan', ARRAY[]::name[]);
SELECT has_function('forge_backup', 'adopt_prefix', ARRAY[]::name[]);
SELECT has_function('forge_backup', 'report_facts', ARRAY[]::name[]);
SELECT has_function('forge_backup', 'report_html', ARRAY['jsonb']);
SELECT function_returns('forge_backup', 'report_html', ARRAY['jsonb'], 'text', 'report_html() returns a page');
SELECT function_returns('forge_backup', 'trigger_basebackup', ARRAY['boolean', 'boolean', 'jsonb', 'boolean'], 'text',
    'trigger_basebackup() returns the name or the number as text');
SELECT function_returns('forge_backup', 'backup_list', ARRAY[]::name[], 'setof record', 'backup_list() returns rows');
SELECT function_returns('forge_backup', 'restore_config',
    ARRAY['timestamp with time zone', 'pg_lsn', 'text', 'text', 'text'], 'setof record', 'restore_config() returns rows');
SELECT function_returns('forge_backup', 'status', ARRAY[]::name[], 'setof record', 'status() returns rows');
SELECT function_returns('forge_backup', 'check', ARRAY['boolean'], 'setof record', 'check() returns rows');

-- Nothing runs with its owner's rights.
SELECT isnt_definer('forge_backup', name::name)
FROM unnest(ARRAY['backup_list', 'trigger_basebackup', 'restore_config', 'check', 'status', 'get_archive_errors',
    'get_archive_status', 'get_data_at_risk', 'get_data_at_risk_history', 'get_recovery_window', 'get_restore_points', 'wait_archived', 'get_events', 'get_gaps', 'get_progress', 'get_statistics', 'get_transfers', 'reset_stats', 'verify_backup', 'mark_backup', 'delete_backup', 'retention_plan',
    'adopt_prefix', 'report_facts', 'report_html']) AS name;

-- Columns.
SELECT columns_are('forge_backup', 'backups', ARRAY['name', 'modified', 'wal_segment_backup_start', 'start_time',
    'finish_time', 'start_lsn', 'finish_lsn', 'timeline', 'kind', 'parent', 'uncompressed_size', 'compressed_size',
    'permanent', 'restorable', 'problem']);
SELECT columns_are('forge_backup', 'archive_status', ARRAY['state', 'storage', 'archiver_pid', 'helper_pid', 'epoch',
    'archived_count', 'last_archived_wal', 'last_archived_lsn', 'last_archived_time', 'failed_count', 'last_failed_wal', 'last_failed_time',
    'dropped_count', 'problem_kind', 'problem', 'hint', 'breaker', 'next_try', 'backlog_files', 'backlog_bytes',
    'backlog_growth', 'disk_free', 'disk_full_in', 'remark', 'errors']);
SELECT columns_are('forge_backup', 'archive_errors', ARRAY['class', 'failed_count', 'last_failed_wal', 'last_failed_time',
    'message', 'hint']);
SELECT columns_are('forge_backup', 'data_at_risk', ARRAY['state', 'durable_lsn', 'current_lsn', 'bytes', 'seconds', 'since']);
SELECT columns_are('forge_backup', 'data_at_risk_history', ARRAY['time', 'seconds', 'bytes']);
SELECT columns_are('forge_backup', 'recovery_window', ARRAY['state', 'earliest_time', 'earliest_lsn', 'earliest_backup', 'latest_time', 'latest_lsn', 'looked_at']);
SELECT columns_are('forge_backup', 'restore_points', ARRAY['name', 'time', 'lsn', 'timeline', 'backup']);
SELECT columns_are('forge_backup', 'events', ARRAY['time', 'kind', 'subject', 'outcome', 'detail']);
SELECT columns_are('forge_backup', 'gaps', ARRAY['first_wal', 'last_wal', 'files', 'reason', 'since', 'until', 'state']);
SELECT columns_are('forge_backup', 'progress', ARRAY['operation', 'name', 'phase', 'reason', 'pid', 'started_at', 'bytes_total',
    'bytes_done', 'bytes_stored', 'percent', 'files_total', 'files_done', 'rate', 'remaining']);
SELECT columns_are('forge_backup', 'statistics', ARRAY['kind', 'stage', 'count', 'total_ms', 'mean_ms', 'min_ms', 'p50_ms',
    'p95_ms', 'p99_ms', 'max_ms', 'buckets']);
SELECT columns_are('forge_backup', 'transfers', ARRAY['kind', 'objects', 'bytes_plain', 'bytes_stored', 'retries',
    'retries_by_class', 'since']);
SELECT col_type_is('forge_backup', 'backups', 'name', 'text', 'backups.name is text');
SELECT col_type_is('forge_backup', 'backups', 'modified', 'timestamp with time zone', 'backups.modified is timestamp with time zone');
SELECT col_type_is('forge_backup', 'backups', 'start_lsn', 'pg_lsn', 'backups.start_lsn is pg_lsn');
SELECT col_type_is('forge_backup', 'backups', 'uncompressed_size', 'bigint', 'backups.uncompressed_size is bigint');
SELECT col_type_is('forge_backup', 'backups', 'restorable', 'boolean', 'backups.restorable is boolean');

-- Grants: members of pg_monitor read, nobody else does anything, acting is for superusers.
SELECT function_privs_are('forge_backup', 'backup_list', ARRAY[]::text[], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'status', ARRAY[]::text[], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'check', ARRAY['boolean'], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'retention_plan', ARRAY[]::text[], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'report_facts', ARRAY[]::text[], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'report_html', ARRAY['jsonb'], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'get_archive_status', ARRAY[]::text[], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'get_data_at_risk', ARRAY[]::text[], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'get_recovery_window', ARRAY[]::text[], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'get_restore_points', ARRAY[]::text[], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'get_archive_errors', ARRAY[]::text[], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'get_events', ARRAY[]::text[], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'get_gaps', ARRAY[]::text[], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'get_progress', ARRAY[]::text[], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'restore_config',
    ARRAY['timestamp with time zone', 'pg_lsn', 'text', 'text', 'text'], 'pg_monitor', ARRAY['EXECUTE']);
SELECT function_privs_are('forge_backup', 'trigger_basebackup', ARRAY['boolean', 'boolean', 'jsonb', 'boolean'], 'pg_monitor',
    ARRAY[]::text[]);
SELECT function_privs_are('forge_backup', 'verify_backup', ARRAY['text'], 'pg_monitor', ARRAY[]::text[]);
SELECT function_privs_are('forge_backup', 'mark_backup', ARRAY['text', 'boolean'], 'pg_monitor', ARRAY[]::text[]);
SELECT function_privs_are('forge_backup', 'delete_backup', ARRAY['text', 'boolean'], 'pg_monitor', ARRAY[]::text[]);
SELECT function_privs_are('forge_backup', 'wait_archived', ARRAY['pg_lsn', 'interval'], 'pg_monitor', ARRAY[]::text[]);
SELECT function_privs_are('forge_backup', 'adopt_prefix', ARRAY[]::text[], 'pg_monitor', ARRAY[]::text[]);
SELECT function_privs_are('forge_backup', p.proname, string_to_array(oidvectortypes(p.proargtypes), ', '),
    'tap_forge_nobody', ARRAY[]::text[])
FROM pg_proc p
WHERE p.pronamespace = 'forge_backup'::regnamespace
ORDER BY p.proname;
SELECT schema_privs_are('forge_backup', 'pg_monitor', ARRAY['USAGE']);
SELECT schema_privs_are('forge_backup', 'tap_forge_nobody', ARRAY[]::text[]);
SELECT table_privs_are('forge_backup', view::name, 'pg_monitor', ARRAY['SELECT'])
FROM unnest(ARRAY['archive_errors', 'archive_status', 'backups', 'data_at_risk', 'data_at_risk_history', 'events', 'gaps', 'progress', 'recovery_window', 'restore_points', 'statistics', 'transfers']) AS view;
SELECT table_privs_are('forge_backup', view::name, 'tap_forge_nobody', ARRAY[]::text[])
FROM unnest(ARRAY['archive_errors', 'archive_status', 'backups', 'data_at_risk', 'data_at_risk_history', 'events', 'gaps', 'progress', 'recovery_window', 'restore_points', 'statistics', 'transfers']) AS view;

-- As those roles. (K3)
SET ROLE tap_forge_nobody;
SELECT throws_ok('SELECT * FROM forge_backup.status()', '42501', NULL, 'K3: nobody cannot read the status');
SELECT throws_ok('SELECT forge_backup.trigger_basebackup()', '42501', NULL, 'K3: nor start a base backup');
SET ROLE tap_forge_reader;
SELECT lives_ok('SELECT * FROM forge_backup.status()', 'K3: a monitor reads the status');
SELECT lives_ok('SELECT * FROM forge_backup.archive_status', 'K3: and the state of archiving');
SELECT throws_ok('SELECT forge_backup.trigger_basebackup()', '42501', NULL, 'K3: but cannot start a base backup');
SELECT throws_ok($$SELECT * FROM forge_backup.delete_backup('x')$$, '42501', NULL, 'K3: nor delete one');
RESET ROLE;

-- What needs no storage.
SELECT isnt_empty('SELECT * FROM forge_backup.status()', 'status() always has rows');
SELECT results_eq('SELECT count(*) FROM forge_backup.archive_status', ARRAY[1::bigint], 'archive_status has one row');
SELECT throws_ok($$SELECT * FROM forge_backup.restore_config(target_lsn => '0/1', target_name => 'x')$$, '22023',
    'more than one recovery target given', 'restore_config() takes one target');

SELECT * FROM finish();
ROLLBACK;
