# A restore that is killed at any moment leaves a directory that cannot be started, and the same command, given again, goes
# on there and ends in the exact state.
use strict;
use warnings;

use Digest::SHA;
use File::Find;
use ForgeTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $kills = 20;
my $seed = $ENV{FORGE_TEST_SEED} // int(rand(1_000_000));
srand($seed);
note("seed: $seed (FORGE_TEST_SEED repeats it)");

my $server_env = new_directory('server_env');
write_text("$server_env/$_->[0]", "$_->[1]\n") for [ WALG_TAR_SIZE_THRESHOLD => 4_000_000 ], [ WALG_DELTA_MAX_STEPS => 2 ];
my $space = new_directory('space');
my $node = forge_node('primary', conf => "forge_backup.env_dir = '$server_env'\n");
$node->safe_psql('postgres', "CREATE TABLESPACE ts LOCATION '$space'");
$node->safe_psql('postgres', <<'END');
CREATE TABLE t AS SELECT i AS id, repeat(md5(i::text), 20) AS v FROM generate_series(1, 60000) i;
CREATE INDEX ON t (id);
CREATE TABLE u TABLESPACE ts AS SELECT i AS id, md5(i::text) AS v FROM generate_series(1, 50000) i;
END
my @backups = ($node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)'));
for my $step (1, 2)
{
	$node->safe_psql('postgres', "UPDATE t SET v = md5(v || '$step') WHERE id % 97 = $step; UPDATE u SET v = '$step' WHERE id % 301 = $step; CREATE TABLE new_$step AS SELECT 1");
	push @backups, $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	like($backups[-1], qr/_D_/, "backup $step is a delta");
}
my $env = env_dir_of($node);
my $name = $backups[2];
my ($oid) = $node->safe_psql('postgres', "SELECT oid FROM pg_tablespace WHERE spcname = 'ts'");

# Everything below a directory: names, modes, contents, targets of links; the tablespace lies below it as well.
sub state_of
{
	my ($directory) = @_;
	my %state;
	find({ no_chdir => 1, wanted => sub {
		my $path = $_;
		my $mode = (lstat $path)[2];
		my $relative = substr($path, length $directory);
		$state{$relative} =
		    -l $path ? 'link to ' . (readlink($path) =~ s/^\Q$directory\E//r)
		  : -d $path ? sprintf('directory %o', $mode)
		  : sprintf('file %o %s', $mode, $relative =~ m{/(tablespace_map|backup_manifest)$} ? '' : Digest::SHA->new(256)->addfile($path, 'b')->hexdigest);
	} }, $directory);
	return join("\n", map { "$_: $state{$_}" } sort keys %state) . "\n";
}

sub fetch_command
{
	my ($directory) = @_;
	return ('backup-fetch', '--env-dir', $env, '--tablespace-mapping', "$oid=$directory/space", "$directory/data", $name);
}

my $reference = new_directory('reference');
my $begin = time;
cli_ok(fetch_command($reference), 'C15: the backup is fetched without interruption');
my $duration = time - $begin;
my $expected = state_of($reference);

my ($killed, $taken_up, $wrong, $startable) = (0, 0, 0, 0);
# Parts are done late in a restore: on a busy machine all kills may come too early for one to be.
while ($killed < $kills || (!$taken_up && $killed < 5 * $kills))
{
	my $directory = new_directory('killed');
	my ($stdout, $stderr) = ('', '');
	# Up to three attempts are killed, each at a moment of its own.
	for (1 .. 1 + int(rand(3)))
	{
		my $fetch = IPC::Run::start([ 'forge-backup', fetch_command($directory) ], '<', \'', '>', \$stdout, '2>', \$stderr);
		usleep(1e6 * rand($duration));
		$fetch->signal('KILL');
		$fetch->finish;
		last if ($fetch->full_results)[0] == 0;    # it was faster
		++$killed;
		# With the control file everything else is there, too.
		++$startable if -e "$directory/data/global/pg_control" && state_of($directory) =~ s/^.*forge_restore\.journal.*\n//mr ne $expected;
	}
	my ($code, $out, $err);
	if (-e "$directory/data/forge_restore.journal" || !-e "$directory/data/global/pg_control")
	{
		($code, $out, $err) = forge_cli(fetch_command($directory));
		++$taken_up if $err =~ /is taken up, [1-9]/;
		++$wrong, diag($err) if $code != 0;
	}
	my $state = state_of($directory);
	if ($state ne $expected)
	{
		++$wrong;
		my %seen = map { $_ => 1 } split /\n/, $expected;
		diag("differs: $_") for grep { !$seen{$_} } split /\n/, $state;
	}
	system_or_bail('rm', '-rf', $directory);
}
is($startable, 0, "C15: after $killed kills no directory could be started that was not complete");
is($wrong, 0, "C15: after $killed kills each restore ended in the exact state");
cmp_ok($taken_up, '>', 0, "C15: what was there was kept, in $taken_up of the restores that were taken up");

# Another backup does not go on there.
my $directory = new_directory('other');
my $fetch = IPC::Run::start([ 'forge-backup', fetch_command($directory) ], '<', \'', '>', \my $ignored, '2>', \my $also);
wait_until('the journal is there', sub { -s "$directory/data/forge_restore.journal" });
$fetch->signal('KILL');
$fetch->finish;
SKIP:
{
	skip 'the fetch was faster than the signal', 2 unless -e "$directory/data/forge_restore.journal";
	cli_fails('backup-fetch', '--env-dir', $env, '--tablespace-mapping', "$oid=$directory/space", "$directory/data", $backups[1],
		1, qr/unfinished restore of backup "\Q$name\E"(?s:.*)hint: /, 'C15: another backup is refused there, and the unfinished one is named');
	cli_ok(fetch_command($directory), 'C15: the unfinished one is completed');
}

# Killed as a whole restore: taken up it chooses the same backup, though there is a newer one now.
my $restored = new_directory('restored');
my @restore = ('restore', '--env-dir', $env, '--target-dir', "$restored/data", '--tablespace-mapping', "$oid=$restored/space", '--target', 'immediate');
my $restore = IPC::Run::start([ 'forge-backup', @restore ], '<', \'', '>', \$ignored, '2>', \$also);
wait_until('the journal is there', sub { -s "$restored/data/forge_restore.journal" });
$restore->signal('KILL');
$restore->finish;
$node->safe_psql('postgres', 'CREATE TABLE later AS SELECT 1');
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
SKIP:
{
	skip 'the restore was faster than the signal', 2 unless -e "$restored/data/forge_restore.journal";
	ok(!-e "$restored/data/global/pg_control", 'C15: a killed restore cannot be started');
	my ($code, $out, $err) = forge_cli(@restore);
	like($err, qr/backup: \Q$name\E/, 'C15: taken up, it goes on with its backup');
	ok(-e "$restored/data/recovery.signal" && -e "$restored/data/global/pg_control", 'C15: and is ready to recover');
}

$node->stop;
done_testing();
