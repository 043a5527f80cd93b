/* sql/forge_backup--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION forge_backup" to load this file. \quit

-- The schema is made by CREATE EXTENSION (see the control file). New functions may be executed by everybody, hence the
-- REVOKEs. What reads goes to pg_monitor; what acts stays with superusers, who may grant it on.

CREATE FUNCTION backup_list(
    OUT name text,
    OUT modified timestamptz,
    OUT wal_segment_backup_start text,
    OUT start_time timestamptz,
    OUT finish_time timestamptz,
    OUT start_lsn pg_lsn,
    OUT finish_lsn pg_lsn,
    OUT timeline int,
    OUT kind text,
    OUT parent text,
    OUT uncompressed_size bigint,
    OUT compressed_size bigint,
    OUT permanent bool,
    OUT restorable bool,
    OUT problem text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_backup_list'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION backup_list() IS
    'base backups in the storage, oldest first; asks the storage through a helper process';

CREATE FUNCTION trigger_basebackup(
    wait bool DEFAULT true,
    permanent bool DEFAULT false,
    user_data jsonb DEFAULT NULL,
    "full" bool DEFAULT false)
RETURNS text
AS 'MODULE_PATHNAME', 'forge_trigger_basebackup'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION trigger_basebackup(bool, bool, jsonb, bool) IS
    'makes a base backup and returns its name, or without waiting the number of the request; not undone by a rollback';

CREATE FUNCTION restore_config(
    target_time timestamptz DEFAULT NULL,
    target_lsn pg_lsn DEFAULT NULL,
    target_xid text DEFAULT NULL,
    target_name text DEFAULT NULL,
    target_timeline text DEFAULT NULL,
    OUT name text,
    OUT value text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_restore_config'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION restore_config(timestamptz, pg_lsn, text, text, text) IS
    'what a restore to a target needs: backup, WAL, what will be reached, settings, the ready command';

CREATE FUNCTION verify_backup(
    name text DEFAULT 'LATEST',
    OUT object text,
    OUT level text,
    OUT size bigint,
    OUT detail text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_verify_backup'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION verify_backup(text) IS
    'reads every object of a base backup and its WAL and checks all of it; one row an object';

CREATE FUNCTION mark_backup(
    name text,
    permanent bool DEFAULT true,
    OUT backup text,
    OUT is_permanent bool)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_mark_backup'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION mark_backup(text, bool) IS
    'keeps a base backup and what it builds on from being deleted; one row a backup whose mark changed; not undone by a rollback';

CREATE FUNCTION delete_backup(
    name text,
    force bool DEFAULT false,
    OUT backup text,
    OUT objects bigint,
    OUT bytes bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_delete_backup'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION delete_backup(text, bool) IS
    'deletes a base backup and those that build on it; one row each; not undone by a rollback';

CREATE FUNCTION retention_plan(
    OUT backup text,
    OUT keep bool,
    OUT reason text,
    OUT objects bigint,
    OUT bytes bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_retention_plan'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION retention_plan() IS
    'what the setting forge_backup.retain keeps and deletes now, one row a backup and one for WAL; deletes nothing';

CREATE FUNCTION adopt_prefix(
    OUT "when" text,
    OUT system_identifier text,
    OUT cluster_name text,
    OUT namespace text,
    OUT id text,
    OUT created_by text,
    OUT created_at timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_adopt_prefix'
LANGUAGE C VOLATILE ROWS 2 PARALLEL RESTRICTED;
COMMENT ON FUNCTION adopt_prefix() IS
    'makes this cluster the owner of the storage, whoever had it; one row for the owner before, one for after; not undone by a rollback';

CREATE FUNCTION "check"(
    quick bool DEFAULT false,
    OUT "check" text,
    OUT level text,
    OUT detail text,
    OUT hint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_check'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION "check"(bool) IS
    'findings about the server, the configuration, the storage and access to it, one row each; with quick => true without asking the storage';

CREATE FUNCTION status(
    OUT name text,
    OUT value text,
    OUT detail text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_status'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION status() IS
    'what is going on: archiver, scheduler, last results, and every effective setting with its source';

CREATE FUNCTION get_archive_status(
    OUT state text,
    OUT storage text,
    OUT archiver_pid int,
    OUT helper_pid int,
    OUT epoch bigint,
    OUT archived_count bigint,
    OUT last_archived_wal text,
    OUT last_archived_lsn pg_lsn,
    OUT last_archived_time timestamptz,
    OUT failed_count bigint,
    OUT last_failed_wal text,
    OUT last_failed_time timestamptz,
    OUT dropped_count bigint,
    OUT problem_kind text,
    OUT problem text,
    OUT hint text,
    OUT breaker text,
    OUT next_try timestamptz,
    OUT backlog_files bigint,
    OUT backlog_bytes bigint,
    OUT backlog_growth bigint,
    OUT disk_free bigint,
    OUT disk_full_in interval,
    OUT remark text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_archive_status'
LANGUAGE C VOLATILE ROWS 1 PARALLEL RESTRICTED;
COMMENT ON FUNCTION get_archive_status() IS
    'the row of the view archive_status';

CREATE FUNCTION get_data_at_risk(
    OUT state text,
    OUT durable_lsn pg_lsn,
    OUT current_lsn pg_lsn,
    OUT bytes bigint,
    OUT seconds bigint,
    OUT since timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_data_at_risk'
LANGUAGE C VOLATILE ROWS 1 PARALLEL RESTRICTED;
COMMENT ON FUNCTION get_data_at_risk() IS
    'the row of the view data_at_risk';

CREATE FUNCTION get_data_at_risk_history(
    OUT "time" timestamptz,
    OUT seconds bigint,
    OUT bytes bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_data_at_risk_history'
LANGUAGE C VOLATILE ROWS 288 PARALLEL RESTRICTED;
COMMENT ON FUNCTION get_data_at_risk_history() IS
    'the rows of the view data_at_risk_history';

CREATE FUNCTION get_recovery_window(
    OUT state text,
    OUT earliest_time timestamptz,
    OUT earliest_lsn pg_lsn,
    OUT earliest_backup text,
    OUT latest_time timestamptz,
    OUT latest_lsn pg_lsn,
    OUT looked_at timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_recovery_window'
LANGUAGE C VOLATILE ROWS 1 PARALLEL RESTRICTED;
COMMENT ON FUNCTION get_recovery_window() IS
    'the row of the view recovery_window';

CREATE FUNCTION wait_archived(
    lsn pg_lsn DEFAULT NULL,
    timeout interval DEFAULT '1 minute')
RETURNS pg_lsn
AS 'MODULE_PATHNAME', 'forge_wait_archived'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION wait_archived(pg_lsn, interval) IS
    'waits until all WAL up to a position, or all there is now, is durable in the storage; returns how far it goes; ends the WAL segment where needed';

CREATE FUNCTION get_restore_points(
    OUT name text,
    OUT "time" timestamptz,
    OUT lsn pg_lsn,
    OUT timeline int,
    OUT backup text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_restore_points'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION get_restore_points() IS
    'the rows of the view restore_points; asks the storage through a helper process';

CREATE FUNCTION get_archive_errors(
    OUT class text,
    OUT failed_count bigint,
    OUT last_failed_wal text,
    OUT last_failed_time timestamptz,
    OUT message text,
    OUT hint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_archive_errors'
LANGUAGE C VOLATILE ROWS 5 PARALLEL RESTRICTED;
COMMENT ON FUNCTION get_archive_errors() IS
    'the rows of the view archive_errors';

CREATE FUNCTION get_events(
    OUT "time" timestamptz,
    OUT kind text,
    OUT subject text,
    OUT outcome text,
    OUT detail text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_events'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION get_events() IS
    'the rows of the view events';

CREATE FUNCTION get_gaps(
    OUT first_wal text,
    OUT last_wal text,
    OUT files bigint,
    OUT reason text,
    OUT since timestamptz,
    OUT until timestamptz,
    OUT state text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_gaps'
LANGUAGE C VOLATILE ROWS 10 PARALLEL RESTRICTED;
COMMENT ON FUNCTION get_gaps() IS
    'the rows of the view gaps';

CREATE FUNCTION get_progress(
    OUT operation text,
    OUT name text,
    OUT phase text,
    OUT reason text,
    OUT pid int,
    OUT started_at timestamptz,
    OUT bytes_total bigint,
    OUT bytes_done bigint,
    OUT bytes_stored bigint,
    OUT percent numeric,
    OUT files_total bigint,
    OUT files_done bigint,
    OUT rate bigint,
    OUT remaining interval)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_progress'
LANGUAGE C VOLATILE ROWS 1 PARALLEL RESTRICTED;
COMMENT ON FUNCTION get_progress() IS
    'the rows of the view progress';

CREATE FUNCTION get_statistics(
    OUT kind text,
    OUT stage text,
    OUT count bigint,
    OUT total_ms float8,
    OUT mean_ms float8,
    OUT min_ms float8,
    OUT p50_ms float8,
    OUT p95_ms float8,
    OUT p99_ms float8,
    OUT max_ms float8,
    OUT buckets bigint[])
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_statistics'
LANGUAGE C VOLATILE ROWS 18 PARALLEL RESTRICTED;
COMMENT ON FUNCTION get_statistics() IS
    'the rows of the view statistics';

CREATE FUNCTION get_transfers(
    OUT kind text,
    OUT objects bigint,
    OUT bytes_plain bigint,
    OUT bytes_stored bigint,
    OUT retries bigint,
    OUT retries_by_class jsonb,
    OUT since timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'forge_transfers'
LANGUAGE C VOLATILE ROWS 3 PARALLEL RESTRICTED;
COMMENT ON FUNCTION get_transfers() IS
    'the rows of the view transfers';

CREATE FUNCTION reset_stats()
RETURNS void
AS 'MODULE_PATHNAME', 'forge_reset_statistics'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION reset_stats() IS
    'forgets what the views statistics and transfers show; not undone by a rollback';

CREATE VIEW backups AS
    SELECT * FROM @extschema@.backup_list();
COMMENT ON VIEW backups IS
    'base backups in the storage, oldest first';
COMMENT ON COLUMN backups.name IS 'what restore and backup-fetch take';
COMMENT ON COLUMN backups.modified IS 'when the backup was completed in the storage';
COMMENT ON COLUMN backups.wal_segment_backup_start IS 'first WAL segment the backup needs';
COMMENT ON COLUMN backups.start_time IS 'when the backup was begun';
COMMENT ON COLUMN backups.finish_time IS 'when it was finished: a restore can reach any moment from here on';
COMMENT ON COLUMN backups.start_lsn IS 'WAL position at which recovery from it begins';
COMMENT ON COLUMN backups.finish_lsn IS 'WAL position from which on it is consistent';
COMMENT ON COLUMN backups.timeline IS 'timeline on which it was made';
COMMENT ON COLUMN backups.kind IS 'full or delta';
COMMENT ON COLUMN backups.parent IS 'of a delta: the backup it builds on';
COMMENT ON COLUMN backups.uncompressed_size IS 'bytes of its files';
COMMENT ON COLUMN backups.compressed_size IS 'bytes in the storage';
COMMENT ON COLUMN backups.permanent IS 'whether every deletion keeps it';
COMMENT ON COLUMN backups.restorable IS 'whether its objects and all its own WAL are in the storage';
COMMENT ON COLUMN backups.problem IS 'why it is not restorable';

CREATE VIEW archive_errors AS
    SELECT * FROM @extschema@.get_archive_errors();
COMMENT ON VIEW archive_errors IS
    'failed attempts to archive WAL since the server started, one row a class, with the last of each; from memory';
COMMENT ON COLUMN archive_errors.class IS 'kind of failure: unavailable, timeout, throttled, denied, invalid, exhausted, conflict or corrupt';
COMMENT ON COLUMN archive_errors.failed_count IS 'failed attempts of this class';
COMMENT ON COLUMN archive_errors.last_failed_wal IS 'file of the last one';
COMMENT ON COLUMN archive_errors.last_failed_time IS 'when the last one failed';
COMMENT ON COLUMN archive_errors.message IS 'its error';
COMMENT ON COLUMN archive_errors.hint IS 'what to do';

CREATE VIEW archive_status AS
    SELECT s.*,
           (SELECT jsonb_object_agg(e.class, jsonb_build_object('count', e.failed_count, 'wal', e.last_failed_wal,
                                                                'time', e.last_failed_time, 'message', e.message))
              FROM @extschema@.get_archive_errors() e) AS errors
      FROM @extschema@.get_archive_status() s;
COMMENT ON VIEW archive_status IS
    'state of WAL archiving, one row, from memory';
COMMENT ON COLUMN archive_status.state IS 'on, off (no storage is configured), error (the configuration is wrong) or unknown (nobody has looked yet)';
COMMENT ON COLUMN archive_status.storage IS 'where WAL is archived to';
COMMENT ON COLUMN archive_status.archiver_pid IS 'process of the archiver; null while there is none';
COMMENT ON COLUMN archive_status.helper_pid IS 'process of its helper; null while there is none';
COMMENT ON COLUMN archive_status.epoch IS 'changes of the settings since the archiver started';
COMMENT ON COLUMN archive_status.archived_count IS 'files archived since the server started';
COMMENT ON COLUMN archive_status.last_archived_wal IS 'last file that was archived';
COMMENT ON COLUMN archive_status.last_archived_lsn IS 'where that segment ends; null where it was another file';
COMMENT ON COLUMN archive_status.last_archived_time IS 'when it was archived';
COMMENT ON COLUMN archive_status.failed_count IS 'failed attempts since the server started';
COMMENT ON COLUMN archive_status.last_failed_wal IS 'file of the last failed attempt';
COMMENT ON COLUMN archive_status.last_failed_time IS 'when the last attempt failed';
COMMENT ON COLUMN archive_status.dropped_count IS 'files that were accepted but not archived';
COMMENT ON COLUMN archive_status.problem_kind IS 'class of the problem, as in archive_errors; null when all is well';
COMMENT ON COLUMN archive_status.problem IS 'error of the last failed attempt, or of the configuration; null when all is well';
COMMENT ON COLUMN archive_status.hint IS 'what to do about the problem';
COMMENT ON COLUMN archive_status.breaker IS 'closed; open: the store is left alone until next_try; half-open: one attempt is being made';
COMMENT ON COLUMN archive_status.next_try IS 'when an open breaker lets the next attempt through';
COMMENT ON COLUMN archive_status.backlog_files IS 'files in pg_wal that wait for the archiver, counted when asked';
COMMENT ON COLUMN archive_status.backlog_bytes IS 'bytes of these files';
COMMENT ON COLUMN archive_status.backlog_growth IS 'bytes a second over the last minutes, negative while the backlog shrinks';
COMMENT ON COLUMN archive_status.disk_free IS 'bytes free where pg_wal is';
COMMENT ON COLUMN archive_status.disk_full_in IS 'time until that disk is full at this growth; null when the backlog does not grow';
COMMENT ON COLUMN archive_status.remark IS 'why the rest cannot be known';
COMMENT ON COLUMN archive_status.errors IS 'failed attempts by class with the last of each, as JSON';

CREATE VIEW data_at_risk AS
    SELECT * FROM @extschema@.get_data_at_risk();
COMMENT ON VIEW data_at_risk IS
    'WAL that would be lost with this server now, one row, from memory';
COMMENT ON COLUMN data_at_risk.state IS
    'durable, at risk, unknown (not looked yet, or no base backup leads to now), off, not archived, standby, not preloaded';
COMMENT ON COLUMN data_at_risk.durable_lsn IS 'all WAL up to here, from the newest base backup on, is in the storage';
COMMENT ON COLUMN data_at_risk.current_lsn IS 'what has been written';
COMMENT ON COLUMN data_at_risk.bytes IS 'between the two; 0 if no commit can need what is there; null if not known';
COMMENT ON COLUMN data_at_risk.seconds IS 'for how long something has been at risk; null if not known';
COMMENT ON COLUMN data_at_risk.since IS 'when it began; null if nothing is at risk';

CREATE VIEW data_at_risk_history AS
    SELECT * FROM @extschema@.get_data_at_risk_history();
COMMENT ON VIEW data_at_risk_history IS
    'data at risk over the last day, oldest first: the worst of each five minutes, measured every 15 seconds, from memory';
COMMENT ON COLUMN data_at_risk_history.time IS
    'when the five minutes began; there is no row where nothing was known, as in data_at_risk';
COMMENT ON COLUMN data_at_risk_history.seconds IS 'for how long, at most, something had been at risk';
COMMENT ON COLUMN data_at_risk_history.bytes IS 'bytes of WAL that were at risk at most';

CREATE VIEW events AS
    SELECT * FROM @extschema@.get_events();
COMMENT ON VIEW events IS
    'the last 1000 things that happened, oldest first, from memory';
COMMENT ON COLUMN events.time IS 'when it happened';
COMMENT ON COLUMN events.kind IS 'what it is about, for example archiving or backup';
COMMENT ON COLUMN events.subject IS 'the file or backup it happened to';
COMMENT ON COLUMN events.outcome IS 'what happened';
COMMENT ON COLUMN events.detail IS 'why, or what was found';

CREATE VIEW gaps AS
    SELECT * FROM @extschema@.get_gaps();
COMMENT ON VIEW gaps IS
    'WAL that will never be in the storage, oldest first; no recovery leads through an open gap';
COMMENT ON COLUMN gaps.first_wal IS 'first file that is missing';
COMMENT ON COLUMN gaps.last_wal IS 'last file that is missing';
COMMENT ON COLUMN gaps.files IS 'number of missing files';
COMMENT ON COLUMN gaps.reason IS 'backlog_limit (given up so that the disk does not fill) or lost (neither the storage nor pg_wal has it)';
COMMENT ON COLUMN gaps.since IS 'when the gap began';
COMMENT ON COLUMN gaps.until IS 'when it ended';
COMMENT ON COLUMN gaps.state IS 'open, bridged (a newer base backup exists) or healed (archived again from pg_wal)';

CREATE VIEW progress AS
    SELECT * FROM @extschema@.get_progress();
COMMENT ON VIEW progress IS
    'base backups, verifications and deletions that are going on, from memory; no row if there is none';
COMMENT ON COLUMN progress.operation IS 'backup, verify, delete or retention';
COMMENT ON COLUMN progress.name IS 'name of the backup';
COMMENT ON COLUMN progress.phase IS 'of a backup starting, waiting for checkpoint, copying, waiting for WAL or finishing; else starting, reading or removing';
COMMENT ON COLUMN progress.reason IS 'why a backup is made, for example request or schedule';
COMMENT ON COLUMN progress.pid IS 'process that does it; pg_cancel_backend(pid) cancels a backup, a verification or a deletion';
COMMENT ON COLUMN progress.started_at IS 'when it was begun';
COMMENT ON COLUMN progress.bytes_total IS 'estimated bytes to read, or bytes in the storage to read or remove';
COMMENT ON COLUMN progress.bytes_done IS 'bytes read or removed';
COMMENT ON COLUMN progress.bytes_stored IS 'bytes a backup has written to the storage';
COMMENT ON COLUMN progress.percent IS 'bytes_done of bytes_total';
COMMENT ON COLUMN progress.files_total IS 'files, or objects in the storage, to read or remove';
COMMENT ON COLUMN progress.files_done IS 'files or objects read or removed';
COMMENT ON COLUMN progress.rate IS 'bytes a second since it began';
COMMENT ON COLUMN progress.remaining IS 'estimated time until everything is read or removed';

CREATE VIEW recovery_window AS
    SELECT * FROM @extschema@.get_recovery_window();
COMMENT ON VIEW recovery_window IS
    'the span of time that a restore can reach, one row, from memory';
COMMENT ON COLUMN recovery_window.state IS
    'known, no backup, unknown (not looked yet), off, not archived, standby, not preloaded';
COMMENT ON COLUMN recovery_window.earliest_time IS 'when the oldest base backup ended from which no WAL is missing';
COMMENT ON COLUMN recovery_window.earliest_lsn IS 'where it ended';
COMMENT ON COLUMN recovery_window.earliest_backup IS 'its name';
COMMENT ON COLUMN recovery_window.latest_time IS
    'of the last commit or abort in the WAL that the storage has; null if there is none';
COMMENT ON COLUMN recovery_window.latest_lsn IS 'just after its record';
COMMENT ON COLUMN recovery_window.looked_at IS 'when the storage was looked into for it; archived WAL carries the end on from there';

CREATE VIEW restore_points AS
    SELECT * FROM @extschema@.get_restore_points();
COMMENT ON VIEW restore_points IS
    'named restore points in the WAL that this version or a later one archived, by time; asks the storage';
COMMENT ON COLUMN restore_points.name IS 'as given to pg_create_restore_point(); need not be unique';
COMMENT ON COLUMN restore_points.time IS 'when it was made';
COMMENT ON COLUMN restore_points.lsn IS 'what pg_create_restore_point() returned: just after its record';
COMMENT ON COLUMN restore_points.timeline IS 'timeline to recover to';
COMMENT ON COLUMN restore_points.backup IS
    'newest base backup that ended before it with all WAL in between; null if it cannot be reached any more';

CREATE VIEW statistics AS
    SELECT * FROM @extschema@.get_statistics();
COMMENT ON VIEW statistics IS
    'how long archiving, base backups and restore commands take by stage, as histograms, from memory';
COMMENT ON COLUMN statistics.kind IS 'wal (archiving), backup (parts of base backups) or restore (restore_command)';
COMMENT ON COLUMN statistics.stage IS
    'wait, read, compress, encrypt, send and total; of a restore wait, receive, decrypt, decompress, write and total';
COMMENT ON COLUMN statistics.count IS 'times that were measured, one an object';
COMMENT ON COLUMN statistics.total_ms IS 'sum of them, in milliseconds';
COMMENT ON COLUMN statistics.mean_ms IS 'total_ms divided by count';
COMMENT ON COLUMN statistics.min_ms IS 'the shortest';
COMMENT ON COLUMN statistics.p50_ms IS 'half of them were not longer, rounded up to the end of a bucket';
COMMENT ON COLUMN statistics.p95_ms IS '95 of 100 were not longer, rounded up in the same way';
COMMENT ON COLUMN statistics.p99_ms IS '99 of 100 were not longer, rounded up in the same way';
COMMENT ON COLUMN statistics.max_ms IS 'the longest';
COMMENT ON COLUMN statistics.buckets IS
    'counts: the first below 1 microsecond, number n from 2^(n-2) on and below 2^(n-1) microseconds, the last without end';

CREATE VIEW transfers AS
    SELECT * FROM @extschema@.get_transfers();
COMMENT ON VIEW transfers IS
    'what archiving, base backups and restore commands have moved, from memory';
COMMENT ON COLUMN transfers.kind IS 'as in statistics';
COMMENT ON COLUMN transfers.objects IS 'objects stored or fetched';
COMMENT ON COLUMN transfers.bytes_plain IS 'bytes before compression and encryption';
COMMENT ON COLUMN transfers.bytes_stored IS 'bytes in the storage';
COMMENT ON COLUMN transfers.retries IS 'requests that were made again after a failure';
COMMENT ON COLUMN transfers.retries_by_class IS 'the same by the class of the failure, as in archive_errors';
COMMENT ON COLUMN transfers.since IS 'when reset_stats() was called last, or measuring began';

-- Parsed now, so that no search_path has a say later.
CREATE FUNCTION report_facts()
RETURNS jsonb
LANGUAGE SQL VOLATILE PARALLEL RESTRICTED
RETURN jsonb_build_object(
    'archive_status', (SELECT to_jsonb(a) FROM @extschema@.get_archive_status() a),
    'status', (SELECT jsonb_agg(to_jsonb(s)) FROM @extschema@.status() s WHERE s.name NOT LIKE 'setting.%'),
    'data_at_risk', (SELECT to_jsonb(r) FROM @extschema@.get_data_at_risk() r),
    'data_at_risk_history', (SELECT jsonb_agg(to_jsonb(h) ORDER BY h."time")
                               FROM @extschema@.get_data_at_risk_history() h),
    'gaps', (SELECT jsonb_agg(to_jsonb(g)) FROM @extschema@.get_gaps() g),
    'events', (SELECT jsonb_agg(to_jsonb(e) ORDER BY e."time")
                 FROM (SELECT * FROM @extschema@.get_events() ORDER BY "time" DESC LIMIT 200) e));
COMMENT ON FUNCTION report_facts() IS
    'what the page of report_html() shows of the server itself, from memory';

CREATE FUNCTION report_html(facts jsonb DEFAULT @extschema@.report_facts())
RETURNS text
AS 'MODULE_PATHNAME', 'forge_report_html'
LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION report_html(jsonb) IS
    'a self-contained page for a browser: state of the backups, timeline, holes, sizes, events; asks the storage through a helper process';

REVOKE ALL ON FUNCTION backup_list() FROM PUBLIC;
REVOKE ALL ON FUNCTION trigger_basebackup(bool, bool, jsonb, bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION restore_config(timestamptz, pg_lsn, text, text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION verify_backup(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION mark_backup(text, bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION delete_backup(text, bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION retention_plan() FROM PUBLIC;
REVOKE ALL ON FUNCTION adopt_prefix() FROM PUBLIC;
REVOKE ALL ON FUNCTION "check"(bool) FROM PUBLIC;
REVOKE ALL ON FUNCTION status() FROM PUBLIC;
REVOKE ALL ON FUNCTION get_archive_status() FROM PUBLIC;
REVOKE ALL ON FUNCTION get_data_at_risk() FROM PUBLIC;
REVOKE ALL ON FUNCTION get_data_at_risk_history() FROM PUBLIC;
REVOKE ALL ON FUNCTION get_recovery_window() FROM PUBLIC;
REVOKE ALL ON FUNCTION wait_archived(pg_lsn, interval) FROM PUBLIC;
REVOKE ALL ON FUNCTION get_restore_points() FROM PUBLIC;
REVOKE ALL ON FUNCTION get_archive_errors() FROM PUBLIC;
REVOKE ALL ON FUNCTION get_events() FROM PUBLIC;
REVOKE ALL ON FUNCTION get_gaps() FROM PUBLIC;
REVOKE ALL ON FUNCTION get_progress() FROM PUBLIC;
REVOKE ALL ON FUNCTION get_statistics() FROM PUBLIC;
REVOKE ALL ON FUNCTION get_transfers() FROM PUBLIC;
REVOKE ALL ON FUNCTION reset_stats() FROM PUBLIC;
REVOKE ALL ON FUNCTION report_facts() FROM PUBLIC;
REVOKE ALL ON FUNCTION report_html(jsonb) FROM PUBLIC;
REVOKE ALL ON archive_errors, archive_status, backups, data_at_risk, data_at_risk_history, events, gaps, progress, recovery_window, restore_points, statistics, transfers FROM PUBLIC;

GRANT USAGE ON SCHEMA @extschema@ TO pg_monitor;
GRANT EXECUTE ON FUNCTION backup_list() TO pg_monitor;
GRANT EXECUTE ON FUNCTION restore_config(timestamptz, pg_lsn, text, text, text) TO pg_monitor;
GRANT EXECUTE ON FUNCTION retention_plan() TO pg_monitor;
GRANT EXECUTE ON FUNCTION "check"(bool) TO pg_monitor;
GRANT EXECUTE ON FUNCTION status() TO pg_monitor;
GRANT EXECUTE ON FUNCTION get_archive_status() TO pg_monitor;
GRANT EXECUTE ON FUNCTION get_data_at_risk() TO pg_monitor;
GRANT EXECUTE ON FUNCTION get_data_at_risk_history() TO pg_monitor;
GRANT EXECUTE ON FUNCTION get_recovery_window() TO pg_monitor;
GRANT EXECUTE ON FUNCTION get_restore_points() TO pg_monitor;
GRANT EXECUTE ON FUNCTION get_archive_errors() TO pg_monitor;
GRANT EXECUTE ON FUNCTION get_events() TO pg_monitor;
GRANT EXECUTE ON FUNCTION get_gaps() TO pg_monitor;
GRANT EXECUTE ON FUNCTION get_progress() TO pg_monitor;
GRANT EXECUTE ON FUNCTION get_statistics() TO pg_monitor;
GRANT EXECUTE ON FUNCTION get_transfers() TO pg_monitor;
GRANT EXECUTE ON FUNCTION report_facts() TO pg_monitor;
GRANT EXECUTE ON FUNCTION report_html(jsonb) TO pg_monitor;
GRANT SELECT ON archive_errors, archive_status, backups, data_at_risk, data_at_risk_history, events, gaps, progress, recovery_window, restore_points, statistics, transfers TO pg_monitor;
