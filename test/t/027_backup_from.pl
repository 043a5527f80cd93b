# Which member makes the scheduled base backups: one of them, whoever may.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = "archive_timeout = '5s'\nforge_backup.schedule_jitter = 0\nforge_backup.check_interval = '2s'\n";
my $primary = forge_node('primary', conf => "${conf}forge_backup.schedule = ''\n");
my $bucket = bucket_of($primary);
my $first = (backup_names($bucket))[0];
my $standby = forge_standby($primary, 'standby');
$primary->safe_psql('postgres', 'CREATE TABLE tick (at timestamptz)');

sub maker { my ($name) = @_; return sentinel_of($bucket, $name)->{DataDir} eq $standby->data_dir ? 'standby' : 'primary'; }
sub set_on { my ($node, @lines) = @_; $node->append_conf('postgresql.conf', join('', map { "$_\n" } @lines)); $node->reload; return; }
# The next backup, while the primary writes.
sub next_backup
{
	my ($what) = @_;
	my $known = () = backup_names($bucket);
	wait_until($what, sub {
		$primary->safe_psql('postgres', 'INSERT INTO tick VALUES (now())');
		return backup_names($bucket) > $known;
	}, 150) or return '';
	return (backup_names($bucket))[-1];
}

is(maker($first), 'primary', 'the first base backup is the primary\'s');
is(status_value($standby, 'next_backup'), '', 'a standby makes none by itself');

# --- standby -----------------------------------------------------------------------------------------------------------

set_on($_, "forge_backup.backup_from = 'standby'", "forge_backup.schedule = '* * * * *'") for $primary, $standby;
wait_until('the standby knows when the next one is due', sub { status_value($standby, 'next_backup') =~ /^\d{4}-/ });
is(status_value($primary, 'next_backup'), '', 'the primary leaves the schedule to it');
my $name = next_backup('a scheduled base backup is made');
is(maker($name), 'standby', 'by the standby');
like($standby->safe_psql('postgres', q{SELECT string_agg(outcome || ' ' || coalesce(detail, ''), ', ' ORDER BY time) FROM forge_backup.events WHERE kind = 'backup'}),
	qr/started .*schedule.*, finished/, 'which has it among its events');

# --- any ---------------------------------------------------------------------------------------------------------------

# Both are due at the same moment: one makes it, the other sees that and leaves it.
set_on($_, "forge_backup.backup_from = 'any'") for $primary, $standby;
wait_until('both know when the next one is due', sub { 2 == grep { status_value($_, 'next_backup') =~ /^\d{4}-/ } $primary, $standby });
my @offset = map { log_size($_) } $primary, $standby;
my $before = () = backup_names($bucket);
next_backup('a base backup is made by one of them');
wait_until('H8: the other says that it has been made', sub {
	$primary->safe_psql('postgres', 'INSERT INTO tick VALUES (now())');
	return grep { /another member has made the scheduled base backup|base backup skipped: / } log_since($primary, $offset[0]), log_since($standby, $offset[1]);
}, 150);
set_on($_, "forge_backup.schedule = ''") for $primary, $standby;
for my $node ($primary, $standby)
{
	wait_until('H8: and that is no problem of ' . $node->name, sub { status_value($node, 'backup_problem') eq '' }, 90);
}

$standby->stop;
$primary->stop;

done_testing();
