# A failover storm: while rows are written, the leader changes or is killed every minute. Afterwards a restore to each moment that
# was noted has exactly the rows that were committed by then, and no WAL is missing.
# Run by ./dev storm; FORGE_STORM_MINUTES, FORGE_STORM_SEED.
use strict;
use warnings;

use ForgeLab;
use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $minutes = $ENV{FORGE_STORM_MINUTES} // 30;
my $seed = $ENV{FORGE_STORM_SEED} // int(rand(1_000_000));
my $moments = 20;
srand($seed);
note("seed $seed, $minutes minutes");

my $lab = lab(parameters => {
	archive_timeout => '10s', max_wal_size => '256MB',
	'forge_backup.schedule' => '*/3 * * * *', 'forge_backup.check_interval' => '10s', 'forge_backup.retain' => '0' });
$lab->patch_config({ synchronous_mode => JSON::PP::true() });
$lab->within(60, 'a standby is synchronous', sub {
	$lab->sql(q{SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'}) >= 1;
});
$lab->sql('CREATE TABLE numbered (n bigint PRIMARY KEY, filler text)');
$lab->within(120, 'a base backup', sub { $lab->backups });

# --- rows and moments --------------------------------------------------------------------------------------------------

my $noted = "$lab->{directory}/moments";
my $connection = "host=$lab->{directory},$lab->{directory},$lab->{directory} port=" . join(',', map { $_->{port} } $lab->members)
  . ' user=postgres dbname=postgres target_session_attrs=read-write';
my ($input, $output) = ('', '');
my $writer = IPC::Run::start([ '/usr/bin/python3', '-B', source_dir() . '/test/cluster/long/writer.py', $connection, $noted, $minutes * 60 / ($moments + 1) ],
	'<pipe', my $to_writer = IO::Handle->new, '>', \$output, '2>&1');

# --- the storm ---------------------------------------------------------------------------------------------------------

my %count = (switchover => 0, kill => 0);

# A switchover that Patroni refuses, because a standby is not there yet, is tried again a minute later.
sub strike
{
	my $leader = $lab->leader or return;
	my @others = grep { $lab->is_running($_) } $lab->replicas;
	return unless @others;
	if (rand() < 0.5)
	{
		$count{switchover}++ if eval { $lab->switchover($leader, $others[ rand @others ]); 1 };
		return;
	}
	$lab->kill_member($leader);
	$count{kill}++;
	wait_until('another member leads', sub { my $new = $lab->leader; $new && $new->{name} ne $leader->{name} }, 90);
	$lab->start_member($leader);
	return;
}

my $end = time() + $minutes * 60;
while (time() < $end)
{
	my $next = time() + 60;
	strike();
	wait_until('all members run again', sub { eval { $lab->all_running } }, 150) or $lab->describe;
	usleep(100_000) while time() < $next && time() < $end;
}
note("$count{switchover} switchovers, $count{kill} kills");
cmp_ok($count{switchover} + $count{kill}, '>=', $minutes / 3, 'the leader changed often');

close($to_writer);
$writer->finish;
is($output, '', 'the writer has nothing to complain about');

# --- what is in the store ----------------------------------------------------------------------------------------------

my $truth = $lab->sql('SELECT count(*) FROM numbered');
cmp_ok($truth, '>', $minutes * 60, 'rows were written');
my ($last) = $lab->switch_segments(1);
$lab->within(120, 'the last WAL is stored', sub { $lab->is_stored($last) });
is($lab->sql(q{SELECT count(*) FROM forge_backup.gaps WHERE state = 'open'}), 0, 'the server knows of no gap');
my $leader = $lab->leader;
my $position = $lab->sql($leader, 'SELECT pg_current_wal_lsn()');
my $timeline = hex(substr($last, 0, 8));
my ($code, $said, $complaint) = $lab->cli('forge-backup', 'wal-verify', 'integrity', 'timeline', '--timeline', $timeline, '--lsn', $position);
is($code, 0, "no WAL is missing on the way to timeline $timeline") or diag("$said$complaint");

# --- back to each moment -----------------------------------------------------------------------------------------------

my @moments = map { [ split /\t/ ] } split /\n/, read_text($noted);
cmp_ok(scalar @moments, '>=', $moments * 0.8, 'moments were noted');
for my $one (@moments)
{
	my ($moment, $number) = @$one;
	my $expected = $lab->sql("SELECT count(*) || ' ' || coalesce(sum(n), 0) FROM numbered WHERE n <= $number");
	is(rows_at($moment), $expected, "at $moment there are the rows up to $number");
}
$lab->stop;
done_testing();

# Count and sum of the rows in a restore to a moment.
sub rows_at
{
	my ($moment) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir_short();
	my $data = "$directory/data";
	my ($exit, $out, $err) = $lab->cli({ limit => 300 }, 'forge-backup', 'restore', '--env-dir', $lab->{env_dir}, '--target-dir', $data, '--target-time', $moment, '--target-action', 'pause');
	return "restore failed: $out$err" if $exit != 0;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my @start = ('pg_ctl', '-D', $data, '-l', "$directory/log", '-w', '-t', 120, '-o',
		"-c port=$port -c listen_addresses= -c unix_socket_directories=$directory -c hot_standby=on -c archive_mode=off", 'start');
	return 'does not start: ' . read_text("$directory/log") if system_log(@start) != 0;
	my $state = sub { scalar qx{psql -XAtq -h $directory -p $port -U postgres -d postgres -c "SELECT pg_get_wal_replay_pause_state()"} };
	wait_until('the moment is reached', sub { $state->() =~ /^paused$/ }, 120);
	my $rows = qx{psql -XAtq -h $directory -p $port -U postgres -d postgres -c "SELECT count(*) || ' ' || coalesce(sum(n), 0) FROM numbered"};
	system_log('pg_ctl', '-D', $data, '-m', 'immediate', '-w', 'stop');
	File::Path::remove_tree($data);
	chomp $rows;
	return $rows;
}
