# Point-in-time recovery: by time, LSN, transaction, name, to the end of the backup, to the end of the WAL.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary');
my $count = 0;
$node->safe_psql('postgres', 'CREATE TABLE t (i int)');
my $backup = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');

# Ten commits; what is known about each.
my (@xid, @time, @lsn);
for my $i (1 .. 10)
{
	$xid[$i] = $node->safe_psql('postgres', "INSERT INTO t VALUES ($i) RETURNING pg_current_xact_id()::xid");
	$lsn[$i] = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	$time[$i] = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
	$node->safe_psql('postgres', "SELECT pg_create_restore_point('after_$i')") if $i == 6;
	switch_wal($node) if $i % 3 == 0;
}
wait_archived($node);

# A second backup, which must not be chosen for targets before it.
my $later = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
$node->safe_psql('postgres', 'INSERT INTO t VALUES (11)');
wait_archived($node);

reaches('time', 4, 4, '--target-time', $time[4]);
reaches('RFC 3339 time', 4, 4, '--target-time', $time[4] =~ s/ /T/r =~ s/\+00$/Z/r);
reaches('LSN', 5, 5, '--target-lsn', $lsn[5]);
reaches('transaction', 7, 7, '--target-xid', $xid[7]);
reaches('restore point', 6, 6, '--target-name', 'after_6');
reaches('end of the backup', 0, 0, '--backup', $backup, '--target', 'immediate');
reaches('end of the WAL', 11, 11, '--target-action', 'promote');

# The plan says what a restore does, and SQL says the same.
my $env = env_dir_of($node);
my $plan = cli_ok('plan', '--env-dir', $env, '--target-time', $time[4], 'plan explains a restore');
like($plan, qr/\Q$backup\E/, 'it names the backup that finished before the target');
unlike($plan, qr/\Q$later\E/, 'and not a later one');
my $config = $node->safe_psql('postgres',
	"SELECT string_agg(name || ' = ' || coalesce(value, ''), E'\\n') FROM forge_backup.restore_config(target_time => '$time[4]')");
like($config, qr/\Q$backup\E/, 'restore_config() chooses the same backup');
like($config, qr/recovery_target_time = /, 'restore_config() gives the recovery target');
like($config, qr/restore_command = .*wal-fetch/, 'and the restore_command');
like($config, qr/forge-backup .*restore .*--target-time/, 'and the ready command');
unlike($config, qr/$key_hex/, 'and no key');
for my $target ("target_lsn => '$lsn[5]'", "target_xid => '$xid[7]'", "target_name => 'after_6'")
{
	like(
		$node->safe_psql('postgres', "SELECT string_agg(name || ' ' || value, ' ') FROM forge_backup.restore_config($target)"),
		qr/\Q$backup\E/, "restore_config($target) plans, too");
}

# R1: outside the window.
my $early = $node->safe_psql('postgres', "SELECT now() - interval '1 day'");
my $future = $node->safe_psql('postgres', "SELECT now() + interval '1 day'");
my $directory = new_directory('target') . '/data';
cli_fails('restore', '--env-dir', $env, '--target-dir', $directory, '--target-time', $early,
	1, qr/before the first backup ended/, 'R1: a target before the first backup is refused');
cli_fails('restore', '--env-dir', $env, '--target-dir', $directory, '--target-time', $future,
	1, qr/after the last archived transaction/, 'R1: a target after the last WAL is refused');
cli_fails('restore', '--env-dir', $env, '--target-dir', $directory, '--target-name', 'nowhere',
	1, qr/nowhere/, 'R1: an unknown restore point is refused by name');
cli_fails('restore', '--env-dir', $env, '--target-dir', $directory, '--target-xid', '4000000000',
	1, qr/4000000000/, 'R1: an unknown transaction is refused by number');
ok(!-e $directory, 'R1: none of them touches the target directory');
my ($code, $stdout, $stderr) =
  $node->psql('postgres', "SELECT * FROM forge_backup.restore_config(target_time => '$early')");
isnt($code, 0, 'R1: restore_config() refuses a target before the first backup');
like($stderr, qr/before the first backup ended/, 'R1: and says the window');

# R2: a hole is found while planning, not at three in the morning.
my ($hole) = grep { /^[0-9A-F]{24}$/ && $_ gt substr($backup, 5) } wal_names(bucket_of($node));
rename(bucket_of($node) . "/wal_005/$hole.zst", bucket_of($node) . "/hole") or die $!;
cli_fails('restore', '--env-dir', $env, '--target-dir', $directory, '--target-lsn', $lsn[9],
	1, qr/\Q$hole\E/, 'R2: a missing segment is named before anything is restored');
ok(!-e $directory, 'R2: and the target directory is not touched');
rename(bucket_of($node) . "/hole", bucket_of($node) . "/wal_005/$hole.zst") or die $!;

done_testing();

# Restores to a target and compares the rows that are there.
sub reaches
{
	my ($what, $rows, $last, @cli) = @_;
	my $restored = restore_node('by_' . ++$count, $node, cli => \@cli);
	if (start_restored($restored))
	{
		is( $restored->safe_psql('postgres', "SELECT count(*) || ' ' || coalesce(max(i), 0) FROM t"),
			"$rows $last", "R5: restore to a target given as $what has exactly what was there");
		$restored->stop;
	}
	else
	{
		fail("R5: restore to a target given as $what starts");
		diag(slurp_file($restored->logfile) =~ s/.*\n(?=(?:.*\n){15}\z)//sr) if -f $restored->logfile;
	}
	$restored->clean_node;
	return;
}
