# The whole way on a real S3 server: OpenStack Swift.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $swift = start_swift();
my $node = forge_node('primary', storage => "s3://$swift->{BUCKET}/site/shop", conf => swift_conf($swift));
my $env = env_dir_of($node, swift_env($swift));
$node->safe_psql('postgres', "CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 20000) i");
my $segment = wait_archived($node);
my $backup = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
$node->safe_psql('postgres', "INSERT INTO t SELECT i, 'late' FROM generate_series(1, 100) i");
my $checksum = table_checksum($node, 't');
my $moment = $node->safe_psql('postgres', 'SELECT now()');
my $point = $node->safe_psql('postgres', "SELECT pg_create_restore_point('before_drop')");
$node->safe_psql('postgres', 'DROP TABLE t');
my $dropped = wait_archived($node);

like(status_value($node, 'store_conditional_put'), qr/^no \| the store is looked into/,
	'S8: status() says that this store does not refuse to replace objects');
my $listing = s3cmd($swift, 'ls', '-r', "s3://$swift->{BUCKET}/site/shop/");
for my $key (
	"basebackups_005/$backup/files_metadata.json", "basebackups_005/$backup/metadata.json",
	"basebackups_005/$backup/tar_partitions/part_001.tar.zst", "basebackups_005/$backup/tar_partitions/pg_control.tar.zst",
	"basebackups_005/$backup/tar_partitions/backup_label.tar.zst", "basebackups_005/${backup}_backup_stop_sentinel.json",
	"wal_005/$segment.zst", "forge_restore_points/$dropped.json")
{
	like($listing, qr{/site/shop/\Q$key\E$}m, "s3cmd ls shows $key");
}
like($listing, qr{/site/shop/wal_005/\Q@{[ substr($backup, 5) ]}\E\.[0-9A-F]{8}\.backup\.zst$}m, 's3cmd ls shows the backup history file');

is($node->safe_psql('postgres', 'SELECT count(*) FROM forge_backup.backup_list()'), '2', 'backup_list() lists the bucket');
like(cli_ok('backup-list', '--env-dir', $env, 'backup-list does, too'), qr/^\Q$backup\E /m, 'with the same name');
cli_ok('check', '--env-dir', $env, 'check finds everything in order');

is($node->safe_psql('postgres', 'SELECT name, lsn, backup FROM forge_backup.restore_points'), "before_drop|$point|$backup",
	'the restore point that was archived into S3 is listed');
like(cli_ok('plan', '--env-dir', $env, '--restore-points', 'and on the command line'), qr/^\| before_drop .*\Q$point\E.*\Q$backup\E/m, 'there as well');
my $named = restore_node('named', $node, env_dir => $env, cli => [ '--target-name', 'before_drop' ]);
if (start_restored($named))
{
	is(table_checksum($named, 't'), $checksum, 'and restored to from there');
	$named->stop;
}

my $restored = restore_node('restored', $node, env_dir => $env, cli => [ '--target-time', $moment ]);
if (start_restored($restored))
{
	is(table_checksum($restored, 't'), $checksum, 'a table dropped later is back after a restore from S3');
	$restored->stop;
}

# Bad input: the server starts, says so, and keeps its WAL.
my $wrong = new_directory('secrets');
write_text("$wrong/AWS_ACCESS_KEY_ID", "$swift->{ACCESS_KEY}\n", 0600);
write_text("$wrong/AWS_SECRET_ACCESS_KEY", "not-the-words\n", 0600);
my @table = (
	[ 'S2: wrong credentials', "secret_dir = '$wrong'", qr/SignatureDoesNotMatch|credential|denied|403/i ],
	[ 'S5: missing bucket', "storage = 's3://no-such-bucket/x'", qr/no-such-bucket/ ]);
for my $row (@table)
{
	my ($what, $line, $pattern) = @$row;
	$node->append_conf('postgresql.conf', "forge_backup.$line");
	$node->restart;
	my $name = switch_wal($node);
	wait_until('an attempt fails', sub { $node->safe_psql('postgres', 'SELECT failed_count > 0 FROM pg_stat_archiver') eq 't' });
	ok( wait_until("$what: status() says so",
			sub { $node->safe_psql('postgres', 'SELECT string_agg(s::text, chr(10)) FROM forge_backup.status() s') =~ $pattern }, 20),
		"$what: status() says so");
	is(archive_state($node, $name), 'ready', "$what: WAL stays in the queue");
	my ($code, $stdout, $stderr) = $node->psql('postgres', 'SELECT * FROM forge_backup.backup_list()');
	isnt($code, 0, "$what: a listing fails instead of being empty");
	like($stderr, $pattern, "$what: and says why");
	$node->append_conf('postgresql.conf',
		"forge_backup.secret_dir = '$swift->{secret_dir}'\nforge_backup.storage = 's3://$swift->{BUCKET}/site/shop'");
	$node->reload;
	$node->safe_psql('postgres', "SELECT pg_switch_wal() FROM pg_logical_emit_message(false, 'a', 'b')");
	wait_archived($node, $name);
	pass("$what: mended by a reload, everything is archived");
	$node->safe_psql('postgres', "SELECT pg_stat_reset_shared('archiver')");
}
cli_fails('backup-list', '--env-dir', env_dir_of($node, swift_env($swift), AWS_SECRET_ACCESS_KEY => 'not-the-words'),
	1, qr/SignatureDoesNotMatch|credential|denied/i, 'S2: wrong credentials on the command line');
cli_fails('backup-list', '--env-dir', env_dir_of($node, swift_env($swift), WALG_S3_PREFIX => 's3://no-such-bucket/x'),
	1, qr/no-such-bucket/, 'S5: a missing bucket on the command line is not an empty one');
my $dir = new_directory('fetch');
is((forge_cli({ cwd => $dir }, 'wal-fetch', '--retry-timeout', 2, '--env-dir', env_dir_of($node, swift_env($swift), WALG_S3_PREFIX => 's3://no-such-bucket/x'),
		$segment, "$dir/x"))[0],
	200, 'S5: a missing bucket is not a missing segment');

done_testing();
