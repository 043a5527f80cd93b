-- With shared_preload_libraries (preload_1.out) or without (preload.out): status() says which.
SELECT value AS preloaded, detail FROM forge_backup.status() WHERE name = 'preloaded' \gx
SELECT state, remark FROM forge_backup.archive_status WHERE remark IS NOT NULL;
SELECT count(*) AS running FROM forge_backup.progress;

SELECT value = 'off' AS not_preloaded FROM forge_backup.status() WHERE name = 'preloaded' \gset
\if :not_preloaded
SELECT forge_backup.trigger_basebackup();
\endif
