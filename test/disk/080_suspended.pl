# Processes that stand still for longer than their deadlines, as in a machine that was suspended, and then go on.
use strict;
use warnings;

use ForgeDisk;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = forge_node('primary', conf => "forge_backup.archive_timeout = '1s'\n");
wait_archived($node);
my $offset = log_size($node);

my $helper = helper_pid($node);
kill 'STOP', $helper;
my $segment = switch_wal($node);
ok(wait_archived($node, $segment), 'D9: a helper that stands still is replaced');
ok(!-e "/proc/$helper", 'D9: and does not go on later');
like(log_since($node, $offset), qr/the helper process does not answer and is replaced/, 'D9: which the log says');

for my $what ('archiver', 'forge_backup scheduler')
{
	my $pid = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = '$what'");
	kill 'STOP', $pid;
	my @segments = map { switch_wal($node) } 1 .. 2;
	my $end = time + 3;    # beyond every deadline of the call that may run
	wait_until('deadlines pass', sub { time > $end });
	kill 'CONT', $pid;
	ok(wait_archived($node, $_), "D9: after the $what stood still $_ is archived") for @segments;
	is($node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = '$what'"), $pid, "D9: the $what goes on");
}

# Everything at once, in the middle of a base backup.
$node->append_conf('postgresql.conf', "forge_backup.disk_rate_limit = '8MB'\n");
$node->reload;
my $request = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup("wait" => false)');
wait_until('it copies', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM pg_stat_progress_basebackup WHERE backup_streamed > 0') });
my $before = backup_names(bucket_of($node));
my ($postmaster) = read_text($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
my @all = ($postmaster, children_of($postmaster));
push @all, map { children_of($_) } @all[ 1 .. $#all ];
kill 'STOP', @all;
my $end = time + 3;
wait_until('time passes', sub { time > $end });
kill 'CONT', @all;
ok(wait_until('the backup is there', sub { backup_names(bucket_of($node)) > $before }), 'D9: a backup that stood still is completed');
ok(wait_archived($node), 'D9: and WAL is archived');
cli_ok('verify', '--all', '--env-dir', env_dir_of($node), 'D9: everything verifies');
$node->stop;

done_testing();
