# WAL goes to a directory store: names, encryption, what the server and the views say, and what happens to duplicates.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary');
my $bucket = bucket_of($node);
my $env = env_dir_of($node);

$node->safe_psql('postgres', "CREATE TABLE secret_text AS SELECT 'FORGE_PLAIN_MARK' || i AS v FROM generate_series(1, 1000) i");
my $segment = wait_archived($node);
ok(-f "$bucket/wal_005/$segment.zst", 'a finished segment lies in the store under its name with the extension of the method');

my $object = read_text("$bucket/wal_005/$segment.zst");
unlike($object, qr/FORGE_PLAIN_MARK/, 'the stored segment does not show plain text');
cmp_ok(length $object, '<', 1048576, 'the stored segment is compressed');

my $copy = new_directory('fetched') . '/segment';
cli_ok({ cwd => dirname_of($copy) }, 'wal-fetch', '--env-dir', $env, $segment, $copy, 'wal-fetch brings the segment back');
is(-s $copy, 1048576, 'the segment has its size again');
like(read_text($copy), qr/FORGE_PLAIN_MARK/, 'the segment has its content again');
SKIP:
{
	my $original = $node->data_dir . "/pg_wal/$segment";
	skip 'the server has recycled the segment', 1 unless -f $original && archive_state($node, $segment) eq 'done';
	is(system('cmp', '-s', $copy, $original), 0, 'the segment is the same byte for byte');
}

my $backup = (backup_names($bucket))[0];
ok((grep { /^\Q@{[ substr($backup, 5) ]}\E\.[0-9A-F]{8}\.backup$/ } wal_names($bucket)),
	'P19: the backup history file is archived under its own name');

is($node->safe_psql('postgres', 'SELECT failed_count FROM pg_stat_archiver'), '0', 'no attempt to archive has failed');
like($node->safe_psql('postgres', 'SELECT a FROM forge_backup.archive_status a'), qr/$segment/,
	'archive_status shows the last archived segment');

is(status_value($node, 'store_conditional_put'), 'yes', 'a directory refuses to replace objects, and status() says so');

# The same file again.
my $inode = (stat "$bucket/wal_005/$segment.zst")[1];
offer_again($segment);
is((stat "$bucket/wal_005/$segment.zst")[1], $inode, 'C3 C4 C5: a file archived twice is accepted and the object stays as it is');
is($node->safe_psql('postgres', 'SELECT failed_count FROM pg_stat_archiver'), '0', 'C3: the second time does not count as a failure');

# A helper that has forgotten everything must come to the same answer.
kill('KILL', helper_pid($node));
offer_again($segment);
is((stat "$bucket/wal_005/$segment.zst")[1], $inode, 'C3: the same holds after the helper has lost its memory');

# Other content under the name that comes next.
my $next = name_after(switch_wal($node), 1);
my $foreign = new_directory('foreign') . "/$next";
write_text($foreign, segment_as(read_text($copy), $next));
cli_ok('wal-push', '--env-dir', $env, $foreign, 'wal-push stores a file');
my $before = read_text("$bucket/wal_005/$next.zst");
my $offset = log_size($node);
is(switch_wal($node), $next, 'the server finishes the segment of that name');
ok( wait_until('the conflict is reported', sub {
		$node->safe_psql('postgres', "SELECT failed_count > 0 AND last_failed_wal = '$next' FROM pg_stat_archiver") eq 't';
	}),
	'H1 P21: other content under the same name is a failure');
is(archive_state($node, $next), 'ready', 'H1: the segment stays in the queue');
is(read_text("$bucket/wal_005/$next.zst"), $before, 'H1: the object of the other content is untouched');
like(log_since($node, $offset), qr/\Q$next\E.*(differ|other|different|conflict)/i, 'H1: the log says that the content differs');
unlink("$bucket/wal_005/$next.zst") or die $!;
wait_archived($node, $next);
pass('archiving goes on by itself when the foreign object is gone');

# A new timeline.
$node->stop;
$node->append_conf('postgresql.conf', "recovery_target_timeline = 'latest'\nrestore_command = '/bin/false'");
write_text($node->data_dir . '/standby.signal', '');
$node->start;
$node->promote;
wait_until('the history file is archived', sub { -f "$bucket/wal_005/00000002.history.zst" });
pass('P3: a timeline history file is archived');

done_testing();

sub dirname_of { return $_[0] =~ s{/[^/]+$}{}r; }

# Puts an archived segment back into the queue and waits until it has left it again.
sub offer_again
{
	my ($name) = @_;
	my $status = $node->data_dir . "/pg_wal/archive_status/$name";
	write_text($node->data_dir . "/pg_wal/$name", read_text($copy)) unless -f $node->data_dir . "/pg_wal/$name";
	unlink("$status.done");
	write_text("$status.ready", '');
	wait_archived($node);
	wait_archived($node, $name);
	return;
}
