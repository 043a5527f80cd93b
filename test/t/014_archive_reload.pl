# Settings change while uploads run: the next file goes where the settings say, and what was uploaded ahead counts for nothing.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary');
my $old = bucket_of($node);
my $env = env_dir_of($node);

# A foreign object blocks segment N; its successors go ahead into the old store.
my $last = wait_archived($node);
my ($n0, $n1, $n2) = map { name_after($last, $_) } 1 .. 3;
my $foreign = new_directory('foreign') . "/$n0";
write_text($foreign, segment_as(read_text($node->data_dir . "/pg_wal/$last"), $n0));
cli_ok('wal-push', '--env-dir', $env, $foreign, 'a foreign object stands in the way');
is(join(' ', map { switch_wal($node) } 1 .. 3), "$n0 $n1 $n2", 'three segments are finished');
wait_until('a successor is uploaded ahead', sub { -f "$old/wal_005/$n1.zst" });
is(archive_state($node, $n1), 'ready', 'a segment that was uploaded ahead is not yet archived');

my $new = new_directory('bucket');
$node->append_conf('postgresql.conf', "forge_backup.storage = 'file://$new'");
$node->reload;
$node->safe_psql('postgres', 'SELECT pg_switch_wal() FROM pg_logical_emit_message(false, $$a$$, $$b$$)');
wait_archived($node, $_) for $n0, $n1, $n2;
for my $name ($n0, $n1, $n2)
{
	ok(-f "$new/wal_005/$name.zst", "P10: $name is in the store that the settings name when it is archived");
}

# Compression by reload.
$node->append_conf('postgresql.conf', "forge_backup.compression = 'lz4'");
$node->reload;
wait_until('a segment is compressed by the new method', sub { my $name = wait_archived($node); -f "$new/wal_005/$name.lz4" });
pass('P10: a reload changes the compression');

# The library is switched while files are on their way to a store that never answers.
my $offset = log_size($node);
my $port = black_hole();
my $secrets = new_directory('secrets');
write_text("$secrets/AWS_ACCESS_KEY_ID", "key\n", 0600);
write_text("$secrets/AWS_SECRET_ACCESS_KEY", "words\n", 0600);
$node->append_conf('postgresql.conf', <<"END");
forge_backup.storage = 's3://bucket/prefix'
forge_backup.s3_endpoint = 'http://127.0.0.1:$port'
forge_backup.s3_region = 'us-east-1'
forge_backup.s3_path_style = on
forge_backup.secret_dir = '$secrets'
END
$node->reload;
switch_wal($node) for 1 .. 4;
my $archiver = archiver_pid($node);
$node->append_conf('postgresql.conf', "archive_library = ''\narchive_command = '/bin/true'");
$node->reload;
wait_until('another archiver has started', sub {
	my $pid = archiver_pid($node);
	$pid ne '' && $pid != $archiver;
});
is(scalar(grep { -r "/proc/$_/cmdline" && slurp_file("/proc/$_/cmdline") =~ /forge-backup/ } children_of($archiver)),
	0, 'the helper of the old archiver is gone');
wait_archived($node);
$node->append_conf('postgresql.conf', "forge_backup.storage = 'file://$new'\narchive_library = 'forge_backup'\narchive_command = ''");
$node->reload;
wait_until('the library is in use again', sub { my $name = wait_archived($node); -f "$new/wal_005/$name.lz4" });
log_lacks($node, $offset, qr/PANIC|FATAL|terminated by signal|exit code [^1]|crash|corrupt|TRAP/,
	'P9: archive_library switched while uploads run leaves a clean log');

done_testing();
