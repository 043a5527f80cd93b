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

# postgres_backup.sh on the leader, twice, and what it deletes.
my $leader = $lab->leader;
my $pod = new_directory('spilo') . '/env';
$lab->write_env({ %{ spilo_env(%{ $lab->{pod} }) }, PGPORT => $leader->{port}, PGHOST => $lab->{directory}, PGUSER => 'postgres' }, $pod);
for my $number (1, 2)
{
	$lab->sql("SELECT pg_logical_emit_message(true, 'lab', 'between backups')");
	my ($code, $stdout, $stderr) = $lab->cli({ env_dir => $pod }, 'wal-g', 'backup-push', $leader->{data});
	is($code, 0, "backup $number is made") or diag($stderr);
}
my ($code, $list) = $lab->cli({ env_dir => $pod }, 'wal-g', 'backup-list');
my ($header, @backups) = map { (split ' ')[0] } split /\n/, $list;
like($header, qr/^(backup_)?name$/, 'the listing has a header');
is(scalar @backups, 2, 'and both backups');
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
$lab->stop;
done_testing();
