-- What wrong arguments get: an error that names them and says what to do, before the storage is asked.
SELECT * FROM forge_backup.restore_config(target_time => '2026-11-22 09:00:00+00', target_lsn => '0/3000028');
SELECT * FROM forge_backup.restore_config(target_xid => '740', target_name => 'before the change');
SELECT * FROM forge_backup.restore_config(target_time => 'infinity');
SELECT * FROM forge_backup.restore_config(target_time => '-infinity');

-- Settings take any text: the server must start whatever it says. What is wrong is shown by check() and status().
SELECT name, boot_val, unit, context, vartype FROM pg_settings
WHERE name LIKE 'forge\_backup.%' AND name NOT IN ('forge_backup.helper_path', 'forge_backup.storage', 'forge_backup.env_dir')
ORDER BY name COLLATE "C";

-- Nothing can be set in a session, and unknown names are refused.
SET forge_backup.storage = 's3://elsewhere/prefix';
SET forge_backup.no_such_setting = 1;
