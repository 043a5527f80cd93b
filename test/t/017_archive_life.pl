# What a member goes through: a crash with WAL that waits, a demotion and a new promotion, slots that would hold WAL for ever.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;
use Time::Local;

# --- a crash with WAL that waits ---------------------------------------------------------------------------------------

my $node = forge_node('member', conf => "log_timezone = UTC\nwal_level = logical\n");
my $bucket = bucket_of($node);
$node->safe_psql('postgres', 'CREATE TABLE lines (n int)');
wait_archived($node);
close_store($bucket);
my @waiting = map { switch_wal($node) } 1 .. 3;
$node->safe_psql('postgres', 'INSERT INTO lines SELECT generate_series(1, 50000)');
$node->stop('immediate');
open_store($bucket);
my $offset = log_size($node);
$node->start;
wait_archived($node, $_) for @waiting;
my ($ready) = log_since($node, $offset) =~ /^(\S+ \S+) UTC .*database system is ready to accept connections/m;
my $early = grep { (Time::HiRes::stat("$bucket/wal_005/$_.zst"))[9] < moment($ready) } @waiting;
is($early, 0, 'P2: what waited for a crash is archived, but not before recovery has ended');
unlike(log_since($node, $offset), qr/FATAL|PANIC|forge_backup scheduler.*exited/, 'P2: no process of ours got in its way');
is($node->safe_psql('postgres', 'SELECT count(*) FROM lines'), '50000', 'P2: nothing is lost');

# --- slots against the archive -----------------------------------------------------------------------------------------

$node->append_conf('postgresql.conf', "max_slot_wal_keep_size = '1MB'\nmax_wal_size = '2MB'\n");
$node->reload;
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('held', 'pgoutput')});
close_store($bucket);
@waiting = map { switch_wal($node) } 1 .. 6;
wait_until('the slot is given up by the server', sub {
	$node->safe_psql('postgres', 'CHECKPOINT');
	$node->safe_psql('postgres', q{SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'held'}) eq 'lost';
});
is(scalar(grep { -e $node->data_dir . "/pg_wal/$_" } @waiting), 6, 'P24: WAL that a slot may not hold any more is kept for the archive');
open_store($bucket);
wait_archived($node, $_) for @waiting;
is(scalar(grep { -e "$bucket/wal_005/$_.zst" } @waiting), 6, 'P24: until it is there');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('held')});
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('kept', 'pgoutput')});
wait_archived($node) for 1 .. 2;
is(status_value($node, 'gaps'), '0', 'P24: a slot that holds WAL after it was archived is none of our business');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('kept')});

# --- demoted, and promoted again -------------------------------------------------------------------------------------

# As Patroni does when its store of configuration is gone: the primary is started as a standby of nobody.
$node->stop;
write_text($node->data_dir . '/standby.signal', '');
$node->start;
is($node->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', 'H9: a primary that lost its lock runs as a standby');
my @before = tree($bucket);
wait_until('the scheduler has looked at the store', sub { status_value($node, 'backups_in_storage') =~ /^some/ });
is(archiver_pid($node), '', 'H9: no archiver runs there');
is(status_value($node, 'next_backup'), '', 'H9: and no base backup is due');
is(join("\n", tree($bucket)), join("\n", @before), 'H9: nothing is written');
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
$node->promote;
wait_until('the new timeline is archived', sub { -e "$bucket/wal_005/00000002.history.zst" });
my $segment = wait_archived($node);
ok(-e "$bucket/wal_005/$segment.zst", 'H9: promoted again, it archives');
wait_until('the schedule goes on', sub { status_value($node, 'next_backup') ne '' });
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'H9: without a restart');
$node->stop;
done_testing();

# --- helpers -------------------------------------------------------------------------------------------------------------

# A directory that is a file: nothing can be written there, not even by root.
sub close_store { my ($bucket) = @_; rename("$bucket/wal_005", "$bucket/aside") or die $!; write_text("$bucket/wal_005", ''); return; }
sub open_store { my ($bucket) = @_; unlink("$bucket/wal_005") or die $!; rename("$bucket/aside", "$bucket/wal_005") or die $!; return; }

sub moment
{
	my ($text) = @_;
	my ($year, $month, $day, $hour, $minute, $second, $fraction) = $text =~ /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)(\.\d+)/ or die $text;
	return Time::Local::timegm($second, $minute, $hour, $day, $month - 1, $year) + $fraction;
}
