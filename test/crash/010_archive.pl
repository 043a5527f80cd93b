# A process that is killed anywhere on the way of a WAL file: the file is offered again and stored, what was stored is
# accepted, and nothing half-written is ever visible under its name.
use strict;
use warnings;

use ForgeCrash;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = crash_node('primary', conf => "forge_backup.upload_concurrency = 2\n");
my $bucket = bucket_of($node);
my $env = env_dir_of($node);
$node->safe_psql('postgres', 'CREATE TABLE t (i int, v text)');
my $rows = 0;

# A segment with something in it.
sub finish_segment
{
	++$rows;
	$node->safe_psql('postgres', "INSERT INTO t SELECT $rows, md5(i::text) FROM generate_series(1, 1000) i");
	return switch_wal($node);
}
sub object { return "$bucket/wal_005/$_[0].zst"; }
sub identity { return join ' ', (stat object($_[0]))[ 1, 7, 9 ]; }    # inode, size, time
sub temporary { return grep { /\.tmp\./ } glob("$bucket/wal_005/$_[0]*"); }

wait_archived($node);
my $session = $node->background_psql('postgres');
my $backend = $session->query('SELECT pg_backend_pid()');

# The helper.
{
	arm('wal-before-put');
	my $name = finish_segment();
	fired('wal-before-put');
	wait_archived($node, $name);
	stored_as($node, $env, $name, 'C1: killed before the PUT, the segment is offered again and stored');
}
{
	arm('file-written');
	my $name = finish_segment();
	fired('file-written');
	is(scalar(temporary($name)), 1, 'C2: killed in the PUT, what was written has a temporary name');
	whole_or_absent($node, $env, $name, 'C2: nothing half-written under the final name');
	wait_archived($node, $name);
	stored_as($node, $env, $name, 'C2: the segment is offered again and stored');
}
for my $point ('file-renamed', 'wal-after-put')
{
	arm($point);
	my $name = finish_segment();
	fired($point);
	my $before = identity($name);
	wait_archived($node, $name);
	ok($before && identity($name) eq $before, "C3: killed after the durable PUT ($point), the identical object is accepted");
	stored_as($node, $env, $name, "C3: and it is the segment ($point)");
}
{
	my $helper = helper_pid($node);
	kill('STOP', $helper);
	my @names = map { finish_segment() } 1 .. 6;
	arm('wal-ahead', 3);
	kill('CONT', $helper);
	fired('wal-ahead');
	wait_archived($node, $_) for @names;
	stored_as($node, $env, $_, "C6: killed while it ran ahead, $_ is stored") for @names;
}
is($session->query('SELECT pg_backend_pid()'), $backend, 'C1 C2 C3 C6: no session noticed');
$session->quit;

# The archiver itself, when it had decided: the server starts again, since it had a hand in shared memory.
{
	arm('archive-decided');
	my $name = finish_segment();
	fired('archive-decided');
	wait_back($node);
	my $before = identity($name);
	wait_archived($node, $name);
	ok($before && identity($name) eq $before, 'C4: killed before ".done", the identical object is accepted');
	stored_as($node, $env, $name, 'C4: and it is the segment');
}

# A power cut that loses the rename of .ready to .done, which the server does not force to the disk.
{
	my $name = wait_archived($node, finish_segment());
	my $before = identity($name);
	$node->stop('immediate');
	my $status = $node->data_dir . "/pg_wal/archive_status/$name";
	ok(rename("$status.done", "$status.ready"), 'C5: ".ready" is back after a power cut');
	$node->start;
	wait_archived($node, $name);
	is(identity($name), $before, 'C5: the identical object is accepted');
	is($node->safe_psql('postgres', 'SELECT last_failed_wal IS NULL FROM pg_stat_archiver'), 't', 'C5: without a failed attempt');
}

same_restored('restored', $node, 't', 'C1 C2 C3 C4 C5 C6: a restore has every row');
$node->stop;
done_testing();
