# A new cluster is made from another's backups and archives, by mistake, to where these are: it writes nothing there, and the
# other one comes up again afterwards.
# scenarios: 12 20
# ways: preload patroni4
use strict;
use warnings;

use ForgeLab;
use ForgeTest;
use Test::More;

my $source = lab(scope => 'source');
$source->within(60, 'a base backup', sub { $source->backups });
$source->sql('CREATE TABLE lines AS SELECT 1 AS n');
my ($segment) = $source->switch_segments(1);
$source->within(60, 'its WAL', sub { $source->is_stored($segment) });
my %before = $source->contents;

my $directory = new_directory('clone');
$source->write_env(spilo_env(%{ $source->{pod} }), "$directory/env");
my $clone = lab(
	scope => 'copy', members => 1, store => $source->{store}, etcd => $source, start => 0,
	pod => { WALG_S3_PREFIX => 's3://forge/' . $source->place },
	bootstrap => {
		method => 'forge',
		forge => { command => "forge-backup clone --env-dir $directory/env", keep_existing_recovery_conf => JSON::PP::true } });
is($clone->place, $source->place, 'the new cluster is told to write into the prefix of the other');
$clone->start_members;
$clone->within(60, 'the new cluster runs', sub { $clone->all_running });
$clone->sql('INSERT INTO lines VALUES (2)');
$clone->switch_segments(2);
$clone->within(60, 'it sees that the prefix is not its own', sub { $clone->status_of($clone->leader, 'owner') =~ /^foreign/ });
like($clone->status_of($clone->leader, 'owner_problem'), qr/cluster name "source".*cluster name "copy"/s, 'and says whose it is');
my ($code, undef, $stderr) = $clone->psql($clone->leader, 'SELECT forge_backup.trigger_basebackup()');
isnt($code, 0, 'it makes no base backup');
like($stderr, qr/cluster name "source"/, 'for that reason') or diag($stderr);
$clone->switch_segments(1);
is_deeply({ $source->contents }, \%before, 'nothing was written under the source, and nothing replaced');
$clone->stop;
is_deeply({ $source->contents }, \%before, 'nor when it was stopped');

ok($source->stop_members(limit => 60), 'all members of the source stop');
$source->start_members;
$source->within(60, 'all members of the source run again', sub { $source->all_running });
is($source->sql('SELECT string_agg(n::text, $$ $$ ORDER BY n) FROM lines'), '1', 'with their own rows');
$source->stop;
done_testing();
