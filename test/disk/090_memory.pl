# The helper is what memory is taken from: bounded by forge_backup.memory_limit, the first that the kernel kills, and no
# loss but a retry.
use strict;
use warnings;

use ForgeDisk;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $limit = 64;    # MB
my $node = forge_node('primary', initdb => ['--wal-segsize=16'],
	conf => "forge_backup.memory_limit = '${limit}MB'\nforge_backup.upload_concurrency = 10\nmax_wal_size = 1GB\nautovacuum = off\n");
$node->safe_psql('postgres', "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 8) AS v FROM generate_series(1, 20000) i");
my $postmaster = read_text($node->data_dir . '/postmaster.pid');
my ($server) = $postmaster =~ /^(\d+)/;

# Peak in kB of the children of this server's processes, by pid.
my %peak;
sub look
{
	for my $pid (map { children_of($_) } children_of($server))
	{
		my $status = eval { read_text("/proc/$pid/status") } // next;
		$peak{$pid} = $1 if $status =~ /^Name:\s+forge-backup$/m && $status =~ /^VmHWM:\s+(\d+) kB/m;
	}
	return;
}

sub largest { return (sort { $b <=> $a } values %peak)[0] // 0; }

my $helper = helper_pid($node);
is(read_text("/proc/$helper/oom_score_adj"), "500\n", 'D10: the helper volunteers for the out-of-memory killer');
my @segments;
for (1 .. 12)
{
	$node->safe_psql('postgres', 'UPDATE t SET v = reverse(v) WHERE i % 4 = 0');
	push @segments, switch_wal($node);
	look();
}
ok(wait_until("$segments[-1] is archived", sub { look(); my $state = archive_state($node, $segments[-1]); return $state ne 'ready' }),
	'D10: many segments are archived at once');
cmp_ok(largest(), '>', 0, 'D10: its memory is looked at');
cmp_ok(largest(), '<', $limit * 1024, "D10: and stays below $limit MB");
%peak = ();
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true, "wait" => false)');
my $count = backup_names(bucket_of($node));
ok(wait_until('the backup is there', sub { look(); backup_names(bucket_of($node)) > $count }), 'D10: a backup is made');
cmp_ok(largest(), '<', $limit * 1024, "D10: its helper stays below $limit MB as well");

# As the kernel does it.
$node->append_conf('postgresql.conf', "forge_backup.disk_rate_limit = '8MB'\n");
$node->reload;
my $offset = log_size($node);
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true, "wait" => false)');
wait_until('it copies', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM pg_stat_progress_basebackup WHERE backup_streamed > 0') });
kill 'KILL', map { children_of($_) } children_of($server);
ok(wait_until('the failure is logged', sub { log_since($node, $offset) =~ /WARNING: .*base backup failed: the helper process ended unexpectedly \(killed by signal 9\)/ }),
	'D10: a backup whose helper is killed fails');
ok(wait_archived($node), 'D10: archiving goes on');
is(read_text($node->data_dir . '/postmaster.pid'), $postmaster, 'D10: the server does not notice');
log_lacks($node, $offset, qr/PANIC|terminating any other active|reinitializing/, 'D10: and nothing is restarted');
$node->append_conf('postgresql.conf', "forge_backup.disk_rate_limit = 0\n");
$node->reload;
like($node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)'), qr/^base_/, 'D10: the next backup is made');
$node->stop;

done_testing();
