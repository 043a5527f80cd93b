# A machine that runs out of descriptors, memory, threads or processes: fewer of ours, later, but never the server's harm.
use strict;
use warnings;

use ForgeDisk;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

no_faults();
my $node = forge_node('primary');
wait_archived($node);
my $postmaster = read_text($node->data_dir . '/postmaster.pid');
my $offset = log_size($node);

sub has_problem
{
	my ($pattern) = @_;
	return wait_until("the problem $pattern", sub { archive_value($node, 'problem') =~ $pattern });
}

# Soft limits, so that they can be raised again.
sub limit { return system_or_bail('prlimit', '--pid', @_); }

faults('open */pg_wal/0* EMFILE -');
my $segment = switch_wal($node);
ok(has_problem(qr/Too many open files/), 'D6: without descriptors nothing is archived');
no_faults();
ok(wait_archived($node, $segment), 'D6: with descriptors it is');

my $helper = helper_pid($node);
faults('thread - EAGAIN 2+1');
kill 'KILL', $helper;
ok(wait_archived($node), 'D6: fewer threads than wanted are enough');
is(used(0), 3, 'D6: the third was refused');
like(log_since($node, $offset), qr/WARNING: .*only 1 of \d+ threads for uploads could be started/, 'D6: which the log says');
like($node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)'), qr/^base_/, 'D6: backups are made');

faults('thread - EAGAIN 1');
kill 'KILL', helper_pid($node);
ok(wait_archived($node), 'D6: a helper without any thread is replaced');
no_faults();

my $archiver = archiver_pid($node);
my ($processes) = read_text("/proc/$archiver/limits") =~ /^Max processes\s+(\d+|unlimited)/m;
limit($archiver, '--nproc=1:');
kill 'KILL', helper_pid($node);
$segment = switch_wal($node);
ok(has_problem(qr/could not start helper .*Resource temporarily unavailable/), 'D6: a helper that cannot be started is a problem');
is(archiver_pid($node), $archiver, 'D6: and no reason for the archiver to end');
limit($archiver, "--nproc=$processes:");
ok(wait_archived($node, $segment), 'D6: it is started later');

# What it has is all that it gets.
$helper = helper_pid($node);
my ($size) = read_text("/proc/$helper/status") =~ /^VmSize:\s+(\d+) kB/m;
limit($helper, '--as=' . $size * 1024 . ':');
my @segments = map { switch_wal($node) } 1 .. 3;
ok(wait_archived($node, $_), 'D6: a helper without memory loses nothing') for @segments;

is(read_text($node->data_dir . '/postmaster.pid'), $postmaster, 'D6: the server runs all the time');
log_lacks($node, $offset, qr/PANIC|FATAL|terminating any other active/, 'D6: and none of its processes ended');
$node->stop;

done_testing();
