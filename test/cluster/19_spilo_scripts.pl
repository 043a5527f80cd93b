# Spilo's scripts as they are: everything goes through envdir and a program called wal-g, and the servers know nothing of forge_backup.
# scenarios: 19
# ways: reload patroni4
use strict;
use warnings;

use ForgeLab;
use ForgeTest;
use Test::More;

# The name by which the scripts find it.
my $links = new_directory('links');
my ($program) = grep { -x } map { "$_/forge-backup" } split /:/, $ENV{PATH};
symlink($program, "$links/wal-g") or die "could not link: $!";
$ENV{PATH} = "$links:$ENV{PATH}";

# The calls of clone_with_wale.py, which picks the newest backup whose time is before the target; Patroni recovers.
my $clone_script = write_text("$links/clone_with_wale", <<'END', 0755);
#!/bin/bash
for argument in "${@:3}"; do
    case $argument in --datadir=*) data=${argument#*=} ;; esac
done
name=$(envdir "$1" wal-g backup-list | awk -v target="$2" '
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i
              name = column["name"] ? column["name"] : column["backup_name"]
              time = column["modified"] ? column["modified"] : column["last_modified"]; next }
    $time < target { if ($time >= best) { best = $time; chosen = $name } }
    END { print chosen }')
[[ $name = base_* ]] || exit 1
mkdir -p "$data"
exec envdir "$1" wal-g backup-fetch "$data" "$name"
END

# The calls of wale_restore.sh, which Patroni runs to make a replica; the env directory comes first.
my $restore = write_text("$links/wale_restore", <<'END', 0755);
#!/bin/bash
for argument in "${@:2}"; do
    case $argument in --datadir=*) data=${argument#*=} ;; esac
done
newest=$(envdir "$1" wal-g backup-list 2>/dev/null | sed -n '1s/^\(backup_\)\{0,1\}name.*/&/p; 1!p' | tail -n 1)
[[ $newest = base_* ]] || exit 1
exec envdir "$1" wal-g backup-fetch "$data" LATEST
END
my $env = new_directory('spilo') . '/env';
my $lab = lab(
	forge => 0,
	local => { archive_command => qq{envdir "$env" wal-g wal-push "%p"} },
	postgresql => {
		recovery_conf => { restore_command => qq{envdir "$env" timeout "0" wal-g wal-fetch "%f" "%p"} },
		create_replica_method => [ 'wal_e', 'basebackup' ],
		wal_e => { command => "$restore $env", threshold_megabytes => 102400, threshold_backup_size_percentage => 30, retries => 2, no_leader => 1 } });
$lab->write_env(spilo_env(%{ $lab->{pod} }), $env);
my ($segment) = $lab->switch_segments(1);
$lab->within(60, 'archive_command: WAL is stored', sub { $lab->is_stored($segment) });

# Patroni's own archiving before pg_rewind: an absolute path, from another directory, and what is stored already.
{
	my $files = new_directory('files');
	my $push = sub { return ($lab->cli({ env_dir => $env }, 'wal-g', 'wal-push', "$files/$_[0]"))[0]; };
	my $own = $lab->leader->{data} . "/pg_wal/$segment";
	is(($lab->cli({ env_dir => $env }, 'wal-g', 'wal-push', $own))[0], 0, 'wal-push: what is stored already is no error');
	my %before = $lab->contents;
	my $other = read_text($own);
	substr($other, 100_000, 5) = 'other';
	write_text("$files/$segment", $other);
	isnt($push->($segment), 0, 'wal-push: another content under the same name is one');
	write_text("$files/00000002.history", "1\t0/3000000\tno recovery target specified\n");
	write_text("$files/$segment.partial", read_text($own));
	is($push->($_), 0, "wal-push: $_") for '00000002.history', "$segment.partial";
	my %after = $lab->contents;
	is_deeply([ grep { ($after{$_} // '') ne $before{$_} } sort keys %before ], [], 'nothing is replaced');
	$lab->remove_stored($lab->stored(qr/\.history|\.partial/));
}

# postgres_backup.sh on the leader, twice, and what it deletes.
my $leader = $lab->leader;
my $pod = new_directory('spilo') . '/env';
$lab->write_env({ %{ spilo_env(%{ $lab->{pod} }) }, PGPORT => $leader->{port}, PGHOST => $lab->{directory}, PGUSER => 'postgres' }, $pod);
for my $number (1, 2)
{
	$lab->sql("SELECT pg_logical_emit_message(true, 'lab', 'between backups')");
	my ($code, $stdout, $stderr) = $lab->cli({ env_dir => $pod }, 'wal-g', 'backup-push', $leader->{data}, $number == 2 ? '--full' : ());
	is($code, 0, "backup $number is made") or diag($stderr);
}
my ($code, $list) = $lab->cli({ env_dir => $pod }, 'wal-g', 'backup-list');
my ($header, @backups) = map { (split ' ')[0] } split /\n/, $list;
like($header, qr/^(backup_)?name$/, 'the listing has a header');
is(scalar @backups, 2, 'and both backups');
like((split /\n/, $list)[1], qr/^base_[0-9A-F]{24}\s+\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\s+[0-9A-F]{24}\b/, 'with a time and a segment');
{
	my $fetched = new_directory('fetched');
	my ($code, undef, $stderr) = $lab->cli({ env_dir => $pod }, 'wal-g', 'backup-fetch', $fetched, 'LATEST');
	is($code, 0, 'LATEST is fetched into a directory that is there') or diag($stderr);
	ok(-d "$fetched/pg_wal" && !-l "$fetched/pg_wal" && -s "$fetched/backup_label", 'with a directory for WAL, and the label');
	ok(!-e "$fetched/recovery.signal" && !-e "$fetched/standby.signal", 'without recovery settings');
}
my ($deleted, undef, $stderr) = $lab->cli({ env_dir => $pod }, 'wal-g', 'delete', 'before', 'FIND_FULL', $backups[1], '--confirm');
is($deleted, 0, 'the script deletes what is older') or diag($stderr);
is(join(' ', $lab->backups), $backups[1], 'and the newer one stays');

my ($replica) = $lab->replicas;
$lab->sql('CREATE TABLE kept AS SELECT i FROM generate_series(1, 1000) i');
$lab->switch_segments(2);
my $offset = -s $replica->{log};
$lab->remake(90, 'a replica is made from the archive', $replica);
my $log = substr($lab->log_of($replica), $offset);
like($log, qr/replica has been created using wal_e/, 'by the script');
like($log, qr/restored log file "[0-9A-F]{24}" from archive/, 'restore_command: WAL comes from the archive');
is($lab->sql($replica, 'SELECT count(*) FROM kept'), 1000, 'it has the rows');

# A clone to a moment: the backup is fetched by its name, and WAL comes through the clone's env directory.
my $moment = $lab->sql("SELECT pg_sleep(1), to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')") =~ s/^\|//r;
$lab->sql('SELECT pg_sleep(0.2)');
$lab->sql('DELETE FROM kept');
my @segments = $lab->switch_segments(2);
$lab->within(60, 'WAL behind the moment is stored', sub { $lab->is_stored(@segments) });
my %before = $lab->contents;
my $clone_env = new_directory('spilo') . '/env-clone';
$lab->write_env(spilo_env(%{ $lab->{pod} }), $clone_env);
my $clone = lab(
	scope => 'clone', members => 1, store => $lab->{store}, etcd => $lab, start => 0, forge => 0,
	bootstrap => {
		method => 'clone_with_wale',
		clone_with_wale => {
			command => "$clone_script $clone_env $moment",
			recovery_conf => {
				restore_command => qq{envdir "$clone_env" timeout "0" wal-g wal-fetch "%f" "%p"}, recovery_target_timeline => 'latest',
				recovery_target_action => 'promote', recovery_target_time => "$moment+00" } } });
$clone->start_members;
$clone->within(90, 'a clone is made from the archive', sub { $clone->all_running });
is($clone->sql('SELECT count(*) FROM kept'), 1000, 'as it was at that moment');
$clone->stop;
is_deeply({ $lab->contents }, \%before, 'and its source is as before');
$lab->stop;
done_testing();
