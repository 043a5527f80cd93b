# In a container the postmaster is PID 1 and inherits every orphan. An orphaned helper must not look like a crashed server process.
use strict;
use warnings;

use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my @unshare = ('unshare', '--user', '--map-current-user', '--pid', '--fork', '--mount-proc');
plan skip_all => 'this system does not let users have PID namespaces' unless IPC::Run::run([ @unshare, 'true' ], '>', \my $o, '2>', \my $e);

my $node = forge_node('primary', start => 0);
$node->append_conf('postgresql.conf', "restart_after_crash = on\n");
my $server = IPC::Run::start([ @unshare, 'postgres', '-D', $node->data_dir ], '<', \'', '>>', $node->logfile, '2>>', $node->logfile);

# Seen from outside: the postmaster is the only child of unshare. pg_ctl must not be used, postmaster.pid says 1.
my $postmaster;
wait_until('the server answers', sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 });
($postmaster) = children_of(($server->pids)[0]);
is((split /\n/, read_text($node->data_dir . '/postmaster.pid'))[0], '1', 'the postmaster is PID 1 of its namespace');
$node->safe_psql('postgres', 'CREATE EXTENSION forge_backup');
my $segment = wait_archived($node);
ok(-f bucket_of($node) . "/wal_005/$segment.zst", 'it archives');
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

# All processes of the server are children of the postmaster; helpers are children of those.
for my $round (1 .. 2)
{
	my ($archiver) = grep { cmdline($_) =~ /archiver/ } children_of($postmaster);
	ok($archiver, 'the archiver runs');
	my $helper = wait_until('the archiver has a helper', sub { child_of($archiver) });
	my $offset = log_size($node);
	kill('STOP', $helper);
	# FATAL in the archiver orphans the helper: SIGTERM makes the archiver exit with code 0 or 1.
	kill('TERM', $archiver);
	$node->safe_psql('postgres', "SELECT pg_switch_wal() FROM pg_logical_emit_message(false, 'a', 'b')");
	wait_until('the archiver has ended', sub { !-d "/proc/$archiver" || cmdline($archiver) eq '' }, 90);
	kill('CONT', $helper) if -d "/proc/$helper";
	wait_until('the old helper has ended', sub { !-d "/proc/$helper" || cmdline($helper) eq '' });
	log_lacks($node, $offset, qr/terminated by signal|terminating any other active server processes|exited with exit code [2-9]/,
		"round $round: an orphaned helper does not restart the server");
	wait_until('another archiver runs', sub { grep { cmdline($_) =~ /archiver/ } children_of($postmaster) }, 90);
	wait_archived($node);
}
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'the server is still the same');

kill('INT', $postmaster);
ok(wait_until('the server stops', sub { $server->pump_nb; !-f $node->data_dir . '/postmaster.pid' }, 30), 'a fast stop works');
$server->finish;

done_testing();

sub cmdline
{
	my ($pid) = @_;
	open(my $file, '<', "/proc/$pid/cmdline") or return '';
	my $text = <$file> // '';
	return $text =~ s/\0/ /gr;
}
