-- With shared_preload_libraries (preload_1.out) or without (preload.out): status() says which.
SELECT value AS preloaded, detail FROM forge_backup.status() WHERE name = 'preloaded' \gx
SELECT state, remark FROM forge_backup.archive_status WHERE remark IS NOT NULL;
SELECT count(*) AS running FROM forge_backup.progress;

SELECT value = 'off' AS not_preloaded FROM forge_backup.status() WHERE name = 'preloaded' \gset
\if :not_preloaded
-- Each of the others: empty, or says that it cannot know, or what to do.
SELECT state FROM forge_backup.data_at_risk;
SELECT state FROM forge_backup.recovery_window;
SELECT count(*) FROM forge_backup.data_at_risk_history;
SELECT count(*) FROM forge_backup.archive_errors;
SELECT count(*) FROM forge_backup.events;
SELECT count(*) FROM forge_backup.gaps;
SELECT count(*), sum(count) FROM forge_backup.statistics;
SELECT count(*), sum(objects) FROM forge_backup.transfers;
SELECT level, detail, hint FROM forge_backup.check(quick => true) WHERE "check" = 'preload';
SELECT forge_backup.report_facts() IS NOT NULL AS facts;
SELECT forge_backup.trigger_basebackup();
SELECT forge_backup.wait_archived(timeout => '1 s');
SELECT forge_backup.reset_stats();
SELECT count(*) FROM forge_backup.backups;
SELECT count(*) FROM forge_backup.restore_points;
SELECT count(*) FROM forge_backup.restore_config();
SELECT count(*) FROM forge_backup.verify_backup();
SELECT count(*) FROM forge_backup.mark_backup('LATEST');
SELECT count(*) FROM forge_backup.delete_backup('LATEST');
SELECT count(*) FROM forge_backup.retention_plan();
SELECT forge_backup.adopt_prefix();
\endif
