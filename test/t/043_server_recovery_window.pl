# How far back and how far up to now a restore can go: what the server says from memory, against restores to both ends and
# just outside of them, and against holes, deletions and restarts.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary', conf => "forge_backup.check_interval = '1s'\nforge_backup.schedule = ''\n");
my $env = env_dir_of($node);
my $bucket = bucket_of($node);
wait_first_backup($node);

sub rows { return $node->safe_psql('postgres', $_[0]); }
sub window { return rows("SELECT $_[0] FROM forge_backup.recovery_window"); }
sub restored_rows
{
	my ($name, @target) = @_;
	my $restored = restore_node($name, $node, cli => [ @target, '--target-action', 'promote' ]);
	ok(start_restored($restored), "$name: the restore");
	wait_until('the end of recovery', sub { $restored->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 'f' });
	my $found = $restored->safe_psql('postgres', q{SELECT string_agg(x::text, ' ' ORDER BY x) FROM kept});
	$restored->stop;
	return $found;
}

# --- against restores ----------------------------------------------------------------------------------------------------

wait_until('the window is known', sub { window('state') eq 'known' });
my $first = window('earliest_backup');
rows('CREATE TABLE kept (x int)');
rows('INSERT INTO kept VALUES (1)');
my $second = rows('SELECT forge_backup.trigger_basebackup()');
rows("DO \$\$BEGIN FOR i IN 2..5 LOOP INSERT INTO kept VALUES (i); COMMIT; END LOOP; END\$\$");
my $committed = rows('SELECT clock_timestamp()');
rows('SELECT forge_backup.wait_archived()');
is(window("state || ' ' || earliest_backup"), "known $first", 'the window begins with the first base backup');
compare('at first');
rows('INSERT INTO kept VALUES (6)');    # not archived
is(window("latest_time < '$committed'"), 't', 'what is not archived is not in it');

rows("SELECT forge_backup.delete_backup('$first')");
wait_until('the window begins later when its backup is deleted', sub { window('earliest_backup') eq $second });
compare('after a deletion');

my ($earliest, $latest) = (window('earliest_time'), window('latest_time'));
is(restored_rows('to_the_latest'), '1 2 3 4 5', 'the latest end has all that is archived, and no more');
is(restored_rows('to_the_earliest', '--target-time', $earliest), '1', 'the earliest end has nothing of what came later');
my $before = rows("SELECT '$earliest'::timestamptz - interval '1 microsecond'");
my $after = rows("SELECT '$latest'::timestamptz + interval '1 microsecond'");
my $outside = $node->basedir . '/outside';
cli_fails('restore', '--env-dir', $env, '--target-dir', $outside, '--target-time', $before, 1,
	qr/is before the first backup ended \(the archive can restore "\Q$earliest\E" to "\Q$latest\E"\)/, 'R1: just before the window');
cli_fails('restore', '--env-dir', $env, '--target-dir', $outside, '--target-time', $after, 1,
	qr/is after the last archived transaction \(the archive can restore "\Q$earliest\E" to "\Q$latest\E"\)/, 'R1: just after it');

# --- a restart, and a hole -------------------------------------------------------------------------------------------------

$node->restart;
wait_until('the window is known after a start', sub { window('state') eq 'known' });
wait_until('with what the end of the server archived', sub { window("latest_time > '$latest'") eq 't' });
is(window('earliest_time, earliest_backup'), "$earliest|$second", 'it begins where it began');
compare('after a restart');

my $lost = rows('SELECT pg_walfile_name(pg_switch_wal())');
rows('INSERT INTO kept VALUES (7)');
rows('SELECT forge_backup.wait_archived()');
unlink($node->data_dir . "/pg_wal/$lost") or die $!;
unlink(glob("$bucket/wal_005/$lost.*")) or die $!;
wait_until('R2: the window begins behind a hole', sub { window("state = 'known' AND earliest_time > '$latest'") eq 't' });
isnt(window('earliest_backup'), $second, 'with the base backup that was made for it');
rows('INSERT INTO kept VALUES (8)');
rows('SELECT forge_backup.wait_archived()');
compare('after a hole');
is(restored_rows('behind_the_hole'), '1 2 3 4 5 6 7 8', 'and leads to now');

# --- a promotion -----------------------------------------------------------------------------------------------------------

my $standby = forge_standby($node, 'standby');
is($standby->safe_psql('postgres', 'SELECT state, earliest_time, latest_time FROM forge_backup.recovery_window'), 'standby||', 'a standby has no window of its own');
$earliest = window('earliest_time');
rows('INSERT INTO kept VALUES (9)');
$node->wait_for_catchup($standby);
$node->stop('immediate');
$standby->promote;
$node = $standby;
rows('INSERT INTO kept VALUES (10)');
my $promoted = rows('SELECT clock_timestamp()');
rows('INSERT INTO kept VALUES (11)');
rows('SELECT forge_backup.wait_archived(timeout => NULL)');
wait_until('after a promotion the window is known', sub { window("state = 'known' AND latest_time > '$promoted'") eq 't' });
is(window('earliest_time'), $earliest, 'it begins where it began');
compare('after a promotion');
is(restored_rows('on_the_new_timeline'), '1 2 3 4 5 6 7 8 9 10 11', 'the latest end is that of the new timeline');
is(restored_rows('before_the_promotion', '--target-time', $promoted), '1 2 3 4 5 6 7 8 9 10', 'and what is between is reached');

# --- who has none ----------------------------------------------------------------------------------------------------------

rows("ALTER SYSTEM SET forge_backup.storage = ''");
rows('SELECT pg_reload_conf()');
wait_until('off', sub { window('state') eq 'off' });
is(window('earliest_time, latest_time'), '|', 'without a storage there is no window');
$node->stop;

done_testing();

# The server and the command line, which lists and reads the archive, say the same.
sub compare
{
	my ($when) = @_;
	my $asked = decode_json(cli_ok('plan', '--env-dir', $env, '--window', '--json', "$when: plan --window"));
	is(window("$_"), rows("SELECT '$asked->{$_}'::timestamptz"), "$when: $_") for qw(earliest_time latest_time);
	is(window("$_"), $asked->{$_}, "$when: $_") for qw(earliest_backup earliest_lsn latest_lsn);
	is(rows("SELECT value FROM forge_backup.status() WHERE name = 'earliest_restore'"), window('earliest_time'), "$when: status() has the beginning");
	is(rows("SELECT value FROM forge_backup.status() WHERE name = 'latest_restore'"), window('latest_time'), "$when: and the end");
	return;
}
