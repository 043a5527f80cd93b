# A base backup: it makes itself when there is none, on demand otherwise; its objects, its sentinel, its progress, its end.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary');
my $bucket = bucket_of($node);

my @first = backup_names($bucket);
is(scalar @first, 1, 'a prefix without a base backup gets one by itself');
like($first[0], qr/^base_[0-9A-F]{24}$/, 'its name is that of its first segment');

my $name = $node->safe_psql('postgres', q{SELECT forge_backup.trigger_basebackup(user_data => '{"by":"test"}')});
like($name, qr/^base_[0-9A-F]{24}$/, 'trigger_basebackup() waits and returns the name');
isnt($name, $first[0], 'it is another backup');

is($node->safe_psql('postgres', "SELECT string_agg(outcome || coalesce(' ' || detail, ''), ', ' ORDER BY time) FROM forge_backup.events WHERE subject = '$name'"),
	'started reason: request, finished', 'the events tell when it was made and why');

my @tree = tree($bucket);
my $folder = "basebackups_005/$name";
for my $object (
	"$folder/files_metadata.json", "$folder/metadata.json", "$folder/tar_partitions/part_001.tar.zst",
	"$folder/tar_partitions/pg_control.tar.zst", "$folder/tar_partitions/backup_label.tar.zst",
	"${folder}_backup_stop_sentinel.json")
{
	ok((grep { $_ eq $object } @tree), "the store has $object");
}
is(scalar(grep { m{^\Q$folder/tar_partitions/\E} && !/\/(part_\d{3,}|pg_control|backup_label)\.tar\.zst$/ } @tree),
	0, 'nothing foreign lies in tar_partitions');

my $sentinel = sentinel_of($bucket, $name);
my $text = read_text("$bucket/${folder}_backup_stop_sentinel.json");
is_deeply(
	[ $text =~ /"(\w+)":/g ],
	[
		qw(LSN PgVersion FinishLSN SystemIdentifier UncompressedSize CompressedSize DataCatalogSize UserData by ChkpNum Version
		  StartTime FinishTime DateFmt Hostname DataDir IsPermanent ForgeManifest)
	],
	'the sentinel has every field in the order of the format');
is($sentinel->{SystemIdentifier}, $node->safe_psql('postgres', 'SELECT system_identifier FROM pg_control_system()'),
	'the sentinel has the system identifier with all its digits');
is($sentinel->{PgVersion}, $node->safe_psql('postgres', 'SHOW server_version_num'), 'and the version of the server');
is($sentinel->{DataDir}, $node->data_dir, 'and the data directory');
is($sentinel->{UserData}{by}, 'test', 'and the user data');
is($sentinel->{Version}, 2, 'and the version of the format');
cmp_ok($sentinel->{LSN}, '<', $sentinel->{FinishLSN}, 'and its start lies before its finish');
is($node->safe_psql('postgres', "SELECT pg_walfile_name('0/0'::pg_lsn + $sentinel->{LSN} + 1)"), substr($name, 5),
	'and its start lies in the segment of its name');
like($text, qr/"FinishTime":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z"/, 'and its times are in UTC');

my $metadata = read_text("$bucket/$folder/metadata.json");
is_deeply(
	[ $metadata =~ /"(\w+)":/g ],
	[
		qw(start_time finish_time date_fmt hostname data_dir pg_version start_lsn finish_lsn is_permanent system_identifier
		  uncompressed_size compressed_size user_data by)
	],
	'metadata.json has every field in the order of the format');
my $files = decode_json(read_text("$bucket/$folder/files_metadata.json"));
ok($files->{Files}{'/PG_VERSION'}, 'files_metadata.json names the files as they stand in the parts');
ok(!exists $files->{Files}{'/global/pg_control'}, 'but not pg_control');
ok($files->{TarFileSets}{'part_001.tar.zst'}, 'and says which part holds what');

# The listing.
is($node->safe_psql('postgres', 'SELECT string_agg(name, $$ $$ ORDER BY modified) FROM forge_backup.backup_list()'),
	"$first[0] $name", 'backup_list() shows both');
is( $node->safe_psql('postgres', <<'END'), 'name,modified,wal_segment_backup_start',
SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_proc p, unnest(proargnames) WITH ORDINALITY a(attname, attnum)
WHERE p.oid = 'forge_backup.backup_list'::regproc AND attnum <= 3
END
	'its first three columns are those of the listing on the command line');
my $list = cli_ok('backup-list', '--env-dir', env_dir_of($node), 'backup-list on the command line');
like($list, qr/^\Q$first[0]\E .*\n\Q$name\E /m, 'shows both, oldest first');
my $json = decode_json(cli_ok('backup-list', '--json', '--env-dir', env_dir_of($node), 'backup-list --json'));
is($json->[1]{backup_name}, $name, 'and as JSON');

# Permanent, and not waiting.
my $permanent = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(permanent => true)');
ok(sentinel_of($bucket, $permanent)->{IsPermanent}, 'a permanent backup is marked so');
my $number = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(wait => false)');
like($number, qr/^\d+$/, 'without waiting, trigger_basebackup() returns the number of the request');
wait_until('the fourth backup is there', sub { backup_names($bucket) == 4 });
is(scalar(grep { $_ eq '' } map { archive_state($node, $_) } ()), 0, 'nothing is left in the queue');

# Progress and cancel: slowed down, so that it can be seen.
$node->safe_psql('postgres', 'CREATE TABLE big AS SELECT i, repeat(md5(i::text), 20) AS t FROM generate_series(1, 40000) i');
$node->append_conf('postgresql.conf', "forge_backup.disk_rate_limit = 2000000");
$node->reload;
my $offset = log_size($node);
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(wait => false)');
ok( $node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_progress_basebackup WHERE phase = 'streaming database files' AND backup_streamed > 0"),
	'the backup is seen in pg_stat_progress_basebackup');
like($node->safe_psql('postgres', 'SELECT p FROM forge_backup.progress p'), qr/\d/, 'and in forge_backup.progress');
is( $node->safe_psql('postgres', <<'END'), 't', 'pg_cancel_backend() reaches the worker of the backup');
SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'forge_backup backup'
END
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'forge_backup backup'");
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_stat_progress_basebackup'), '0', 'a cancelled backup ends');
is(scalar(backup_names($bucket)), 4, 'it leaves no sentinel');
wait_until('the parts of the cancelled backup are removed', sub {
	my %with_sentinel = map { $_ => 1 } backup_names($bucket);
	return !(grep { m{^basebackups_005/(base_[^/]+)/} && !$with_sentinel{$1} } tree($bucket));
});
pass('and no parts');

# The helper of a backup is killed: no backup, no harm; the next one works. (C7)
$offset = log_size($node);
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(wait => false)');
$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_stat_progress_basebackup WHERE backup_streamed > 0');
my $runner = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'forge_backup backup'");
cmp_ok(getpriority(0, child_of($runner)), '>=', 10, 'the helper of a backup leaves the processors to others');
is(getpriority(0, helper_pid($node)), getpriority(0, $$), 'that of the archiver does not');
kill('KILL', child_of($runner));
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $runner");
is(scalar(backup_names($bucket)), 4, 'C7: a backup whose helper was killed leaves no sentinel');
log_lacks($node, $offset, qr/terminated by signal|terminating any other active/, 'D10: and the server lives on');
$node->append_conf('postgresql.conf', "forge_backup.disk_rate_limit = 0");
$node->reload;
like($node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()'), qr/^base_/, 'C7: the next backup works');

# Stopping does not wait for a backup.
$node->append_conf('postgresql.conf', "forge_backup.disk_rate_limit = 500000");
$node->reload;
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(wait => false)');
$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_stat_progress_basebackup WHERE backup_streamed > 0');
my $count = backup_names($bucket);
cmp_ok(seconds(sub { $node->stop('fast') }), '<', 10, 'P1: a fast stop during a base backup takes under 10 s');
is(scalar(backup_names($bucket)), $count, 'C8: it leaves no sentinel');

done_testing();
