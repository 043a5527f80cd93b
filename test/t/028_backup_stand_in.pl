# Where standbys make the scheduled base backups: one that has nothing newer than the newest skips its run, and when none is
# there the primary makes them.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

# Nothing but the test makes checkpoints.
my $conf = <<'END';
archive_timeout = '1s'
wal_keep_size = '1GB'
checkpoint_timeout = '1h'
max_wal_size = '10GB'
forge_backup.backup_from = 'standby'
forge_backup.schedule = ''
forge_backup.schedule_jitter = 0
forge_backup.check_interval = '2s'
END
my $primary = forge_node('primary', conf => $conf);
my $bucket = bucket_of($primary);
$primary->safe_psql('postgres', 'CREATE TABLE tick (at timestamptz)');
my $standby = forge_standby($primary, 'standby');

sub set_on { my ($node, @lines) = @_; $node->append_conf('postgresql.conf', join('', map { "$_\n" } @lines)); $node->reload; return; }
# The next backup, while the primary writes, so that the last WAL of it is archived.
sub next_backup
{
	my ($what, $seconds) = @_;
	my %known = map { $_ => 1 } backup_names($bucket);
	my $new = '';
	wait_until($what, sub {
		$primary->safe_psql('postgres', 'INSERT INTO tick VALUES (now())');
		($new) = grep { !$known{$_} } backup_names($bucket);
		return $new;
	}, $seconds);
	return $new;
}
sub started { my ($name) = @_; return $primary->safe_psql('postgres', "SELECT extract(epoch FROM start_time) FROM forge_backup.backup_list() WHERE name = '$name'"); }
sub maker { my ($name) = @_; return sentinel_of($bucket, $name)->{DataDir} eq $standby->data_dir ? 'standby' : 'primary'; }
sub outcomes
{
	my ($node) = @_;
	return $node->safe_psql('postgres', q{SELECT string_agg(outcome || ' ' || coalesce(detail, ''), E'\n' ORDER BY time) FROM forge_backup.events WHERE kind = 'backup'});
}

# --- nothing newer -------------------------------------------------------------------------------------------------------

$standby->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(wait => false)');
my $newest = next_backup('the standby makes a base backup', 120);
is(maker($newest), 'standby', 'a standby has a newer checkpoint at first');
my $offset = log_size($standby);
my ($code, $out, $err) = $standby->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
like($err, qr/replayed no checkpoint in a later WAL segment than that of backup "$newest", which is there already/, 'without another one, whoever asks for a base backup is told');
like($err, qr/Call pg_switch_wal\(\) and CHECKPOINT on the primary/, 'with what to do');

# Its own line, not the ERROR of whoever asked.
wait_until('and so is the log', sub { log_since($standby, $offset) =~ /WARNING:  forge_backup: base backup failed/ });
$offset = log_size($standby);
set_on($_, "forge_backup.schedule = '* * * * *'") for $primary, $standby;
wait_until('a run of the schedule is skipped', sub { log_since($standby, $offset) =~ /LOG:  forge_backup: base backup skipped: the standby has replayed no checkpoint/ }, 150);
log_lacks($standby, $offset, qr/base backup failed/, 'which is no failure');
wait_until('nor a problem that status() shows', sub { status_value($standby, 'backup_problem') eq '' });
like(outcomes($standby), qr/^skipped the standby has replayed no checkpoint/m, 'the events have it, with the reason');
is(status_value($standby, 'next_attempt'), '', 'it is not tried again before the next run');
like(status_value($standby, 'next_backup'), qr/^20/, 'which is due as always');
is((backup_names($bucket))[-1], $newest, 'no backup was made');

# --- nobody there --------------------------------------------------------------------------------------------------------

$standby->stop;
is(status_value($primary, 'next_backup'), '', 'a primary leaves the schedule to standbys');
set_on($primary, "forge_backup.stand_in_after = '1min'");
my $made = next_backup('without a standby the primary steps in', 360);
is(maker($made), 'primary', 'and makes the backup');
# Due in the minute after the newest one began, and missed 2 min later: 1 min more is what the setting asks for.
cmp_ok(started($made) - started($newest), '>=', 3 * 60, 'not before the time that a standby has') if $made;
like(outcomes($primary), qr/^started .*missed/m, 'since a run was missed');

# --- something newer -----------------------------------------------------------------------------------------------------

$standby->start;
$primary->safe_psql('postgres', 'SELECT pg_switch_wal(); CHECKPOINT');
$primary->wait_for_catchup($standby);
is(maker(next_backup('after a checkpoint the schedule goes on', 150)), 'standby', 'on the standby');

$standby->stop;
$primary->stop;
done_testing();
