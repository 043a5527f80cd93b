# Every command of docs/runbook.md, in its order, on a cluster to which what each section speaks of is done. What kubectl is told is
# played: the same is done to the cluster as the operator would do.
# scenarios: 21
# ways: preload
use strict;
use warnings;

use File::Path qw(remove_tree);
use ForgeDocs;
use ForgeFaults;
use ForgeLab;
use ForgeTest;
use Test::More;

my $scope = 'forge-pg-cluster';
my $store = start_fake();
my $source = new_directory('source') . '/env';
my $lab = cluster();
$lab->within(60, 'a base backup', sub { $lab->backups });
$lab->sql('CREATE TABLE lines (n int)');
$lab->sql('INSERT INTO lines VALUES (1)');
my $moment = $lab->sql("SELECT pg_sleep(0.2), clock_timestamp()") =~ s/^\|//r;
$lab->sql('SELECT pg_sleep(0.2)');
$lab->sql('INSERT INTO lines VALUES (2)');
my $clone;

my %kubectl = (
	"delete postgresql $scope" => sub { $lab->stop; },
	'apply -k deploy/kustomize/sites/reno-dev4-in-place' => sub {
		$lab = cluster(bootstrap => clone_of($moment));
		is($lab->sql('SELECT count(*) FROM lines'), 1, 'the cluster is as it was at that moment');
	},
	'apply -k deploy/kustomize/sites/reno-dev4-clone' => sub {
		my %before = $lab->contents;
		$clone = lab(scope => "$scope-clone", members => 1, store => $store, etcd => $lab, start => 0,
			pod => { WAL_BUCKET_SCOPE_PREFIX => 'reno-dev4-' }, bootstrap => clone_of($moment));
		$clone->start_members;
		$clone->within(90, 'the clone runs', sub { $clone->all_running });
		$clone->within(60, 'and archives under its own name', sub { $clone->switch_segments(1); $clone->stored(qr/^wal_005/) });
		$clone->stop;
		my %now = $lab->contents;
		is(join(' ', grep { ($now{$_} // '') ne $before{$_} } sort keys %before), '', 'the source keeps what it had');
	});

my %before = (
	'The store is down' => sub { $store->script({ do => { status => 503, code => 'ServiceUnavailable' } }); $lab->switch_segments(4); },
	'The store is down 4' => sub { $store->script(); },
	'Credentials were changed' => sub {
		$store->script({ match => { header => { authorization => 'Credential=wrong/' } }, do => { status => 403, code => 'InvalidAccessKeyId' } });
		$lab->write_env({ AWS_ACCESS_KEY_ID => 'wrong' }, "$lab->{directory}/secret");
		# The helper looks at the files once a second: one segment may still go out with the old ones.
		$lab->within(60, 'the store refuses', sub { $lab->switch_segments(1); $lab->status_of($lab->leader, 'archive_problem') });
	},
	'Credentials were changed 3' => sub { $lab->write_env({ AWS_ACCESS_KEY_ID => 'key' }, "$lab->{directory}/secret"); },
	'Backups were deleted' => sub { $lab->remove_stored($lab->stored(qr/^basebackups_005/)); },
	'Restore in place' => sub {
		$lab->sql('DELETE FROM lines WHERE n = 2');
		$moment = $lab->sql("SELECT pg_sleep(0.2), clock_timestamp()") =~ s/^\|//r;
		$lab->sql('SELECT pg_sleep(0.2)');
		$lab->sql('INSERT INTO lines VALUES (3), (4)');
		my ($segment) = $lab->switch_segments(1);
		$lab->within(60, 'what came after it is stored', sub { $lab->is_stored($segment) });
	});

run_sections('docs/runbook.md',
	before => \%before,
	names => sub {
		return (
			'/run/etc/wal-e.d/env' => $lab->{env_dir}, '/etc/forge-backup' => "$lab->{directory}/secret",
			'http://localhost:8008' => "http://127.0.0.1:$lab->{members}[0]{rest}", '2026-11-22 09:30:00+01' => $moment,
			's3://forge-pg-other/spilo/reno-dev4-forge-pg-cluster' => 's3://forge-pg-other/' . $lab->place =~ s{/wal/15$}{}r);
	},
	run => sub {
		my ($text) = @_;
		return $lab->shell($text) unless $text =~ /^kubectl /m;
		for ($text =~ /^kubectl (.*)/mg)
		{
			my $play = $kubectl{$_} or return (1, "this test does not know \"kubectl $_\"");
			$play->();
		}
		return (0, '');
	});
$lab->stop;
done_testing();

sub cluster
{
	my (%option) = @_;
	my $new = lab(scope => $scope, members => 2, store => $store, start => 0, pod => { WAL_BUCKET_SCOPE_PREFIX => 'reno-dev4-' },
		parameters => { 'forge_backup.check_interval' => '5s' }, %option);
	$new->start_members;
	$new->within(120, 'the cluster runs', sub { $new->all_running });
	$new->sql('CREATE EXTENSION IF NOT EXISTS forge_backup');
	$new->patch_config({ postgresql => { parameters => { 'forge_backup.secret_dir' => "$new->{directory}/secret" } } });
	return $new;
}

# How Patroni is told to make a cluster from what this one stored.
sub clone_of
{
	my ($target) = @_;
	$lab->write_env(spilo_env(%{ $lab->{pod} }), $source);
	return {
		method => 'forge',
		forge => { command => "forge-backup clone --env-dir $source --recovery-target-time='$target'", keep_existing_recovery_conf => JSON::PP::true } };
}
