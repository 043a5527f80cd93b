# The helper may be taken at any moment at the price of one retry; nobody who is connected notices.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::BackgroundPsql;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary', conf => "restart_after_crash = on\n");
my $bucket = bucket_of($node);
my $session = $node->background_psql('postgres');
my $session_pid = $session->query('SELECT pg_backend_pid()');

# Stopped, so that the file is on its way; then killed.
wait_archived($node);
my $offset = log_size($node);
for my $round (1 .. 3)
{
	my $helper = helper_pid($node);
	kill('STOP', $helper);
	my $name = switch_wal($node);
	wait_until('the segment waits', sub { archive_state($node, $name) eq 'ready' });
	kill('KILL', $helper);
	kill('CONT', $helper);
	wait_archived($node, $name);
	ok(-f "$bucket/wal_005/$name.zst", "C2 D10: round $round: a file whose helper was killed is archived later");
}
is($session->query('SELECT pg_backend_pid()'), $session_pid, 'D10: no session was lost');
log_lacks($node, $offset, qr/terminating any other active server processes|was terminated by signal|crash/,
	'D10: the server did not restart');
is( $node->safe_psql('postgres', 'SELECT archived_count > 0 AND last_archived_time IS NOT NULL AND failed_count <= 6 FROM pg_stat_archiver'),
	't', 'pg_stat_archiver is sane');

# SIGTERM, as sent to the process group at a stop of a worker, is no reason for noise either.
kill('TERM', helper_pid($node));
wait_archived($node);
pass('a helper ended by SIGTERM is replaced');

# The archiver killed: the server restarts, which is its own rule; nothing is lost. (C6)
$session->quit;
my $name = switch_wal($node);
my $helper = helper_pid($node);
kill('KILL', archiver_pid($node));
wait_until('the server is back', sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 });
wait_archived($node, $name);
ok(-f "$bucket/wal_005/$name.zst", 'C6: the segment is archived after the archiver was killed');
is(scalar(grep { /\.tmp\./ } glob("$bucket/wal_005/*")), 0, 'C6: no partial object is left');
ok(wait_until('the helper ends', sub { !alive($helper) }), 'C16: no helper outlives its archiver');

done_testing();
