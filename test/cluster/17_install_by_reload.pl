# A running cluster that knows nothing of forge_backup gets it by one change of the shared configuration: nothing is restarted.
# scenarios: 17
# ways: reload
use strict;
use warnings;

use ForgeLab;
use ForgeTest;
use Test::More;
use Time::HiRes qw(time);

my $lab = lab(forge => 0);
my @members = $lab->members;
my %started = map { $_->{name} => $lab->sql($_, 'SELECT pg_postmaster_start_time()') } @members;
$lab->switch_segments(1);

my $begin = time();
$lab->patch_config({ postgresql => {
		parameters => { archive_library => 'forge_backup', 'forge_backup.env_dir' => $lab->{env_dir}, restore_command => $lab->restore_command },
		$lab->replica_methods } });
my ($replica) = $lab->replicas;
for ([ 'archive_library', @members ], [ 'forge_backup.env_dir', @members ], [ 'restore_command', $lab->replicas ])
{
	my ($name, @where) = @$_;
	$lab->within(30, "$name is set",
		sub { !grep { $lab->sql($_, "SELECT current_setting('$name', true)") !~ /forge|\Q$lab->{env_dir}\E/ } @where }, $begin);
}
my $segment;
$lab->within(60, 'WAL is stored', sub {
		($segment) = $lab->switch_segments(1);
		$lab->is_stored($segment);
	}, $begin);
for my $member (@members)
{
	is($lab->sql($member, 'SELECT pg_postmaster_start_time()'), $started{ $member->{name} }, "$member->{name} was not restarted");
	ok(!$lab->seen($member)->{pending_restart}, "$member->{name} needs no restart");
}
$lab->sql('CREATE EXTENSION forge_backup');
like($lab->status_of($lab->leader, 'preloaded'), qr/^off/, 'the SQL functions are there without a restart');

# A standby that reads from the archive with the command it got.
$lab->stop_members(members => [$replica]);
$lab->switch_segments(2);
my $offset = -s $replica->{log};
$lab->start_member($replica);
$lab->within(60, 'a replica that was away runs again', sub { $lab->all_running });
like(substr($lab->log_of($replica), $offset), qr/restored log file "[0-9A-F]{24}" from archive/, 'it took WAL from the archive');

# A replica is made anew by the methods it got. Without the library preloaded base backups are made by whoever wants one.
my $leader = $lab->leader;
my $pod = new_directory('pod') . '/env';
$lab->write_env({ %{ spilo_env(%{ $lab->{pod} }) }, PGPORT => $leader->{port}, PGHOST => $lab->{directory}, PGUSER => 'postgres' }, $pod);
my ($code, undef, $stderr) = $lab->cli({ env_dir => $pod }, 'forge-backup', 'backup-push', $leader->{data});
is($code, 0, 'a base backup is made') or diag($stderr);
$offset = -s $replica->{log};
$lab->remake(90, 'a replica is made anew', $replica);
like(substr($lab->log_of($replica), $offset), qr/replica has been created using forge/, 'from the base backup');
$lab->stop;
done_testing();
