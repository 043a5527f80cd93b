# A new cluster is made from the backups of another, to a moment: Patroni bootstraps it with "forge-backup restore".
# scenarios: 9 10 11 20
# ways: preload patroni4
use strict;
use warnings;

use ForgeLab;
use ForgeTest;
use Test::More;
use Time::HiRes qw(time);

my $source = lab(scope => 'source');
my $store = $source->{store};
$source->within(60, 'a base backup', sub { $source->backups });
$source->sql('CREATE TABLE lines (n int)');
$source->sql('INSERT INTO lines VALUES (1)');
# Moments that a target of whole seconds tells apart.
$source->sql('SELECT pg_sleep(2)');
$source->sql('INSERT INTO lines VALUES (2)');
my $between = $source->sql("SELECT pg_sleep(1), to_char(clock_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.MSOF:00')") =~ s/^\|//r;
$source->sql('SELECT pg_sleep(1)');
$source->sql('INSERT INTO lines VALUES (3)');
my @segments = $source->switch_segments(3);
$source->within(60, 'its WAL', sub { $source->is_stored(@segments) });

{
	my $clone = clone('moment', "--target-time=$between");
	write_text("$clone->{restore}/go", '');
	$clone->within(60, 'a moment between two rows: the clone runs', sub { $clone->all_running });
	is(rows($clone), '1 2', "a moment between two rows ($between): what was there at that time");
	$clone->stop;
}
{
	my $clone = clone('future', '--target-time=' . ($between =~ s/^(\d+)/$1 + 1/er), '--nearest');
	write_text("$clone->{restore}/go", '');
	$clone->within(60, 'a moment in the future: the clone runs', sub { $clone->all_running });
	is(rows($clone), '1 2 3', 'a moment in the future: all there is');
	like($clone->log_of($clone->members), qr/cannot be reached.*\n.*last transaction that will be there: \d{4}/, 'a moment in the future: it says which time was used');
	$clone->stop;
}
{
	# The backup is fetched, then the store goes after one more segment.
	my $clone = clone('outage', '--nearest');
	my $place = $clone->{restore};
	$clone->within(60, 'store gone during recovery: the files are there', sub { -e "$place/restored" });
	$store->request('DELETE', '/__log');
	$store->script({ match => { method => 'GET', key => 'wal_005/[0-9A-F]{24}' }, skip => 1, do => { status => 503, code => 'ServiceUnavailable' } });
	write_text("$place/go", '');
	my $refused = sub { scalar grep { $_->{status} == 503 && $_->{key} =~ m{wal_005/[0-9A-F]{24}} } $store->requests };
	$clone->within(60, 'store gone during recovery: WAL is asked for again and again', sub { $refused->() > 6 });
	ok(!$clone->leader, 'store gone during recovery: the clone does not open its database');
	my $begin = time();
	$store->script();
	$clone->within(90, 'store back: the clone runs', sub { $clone->all_running }, $begin);
	is(rows($clone), '1 2 3', 'store back: and nothing is missing');
	$clone->stop;
}
$source->stop;
done_testing();

sub rows { return $_[0]->sql("SELECT string_agg(n::text, ' ' ORDER BY n) FROM lines"); }

# A cluster of one member, with an env directory for its source as Spilo makes one.
sub clone
{
	my ($scope, @target) = @_;
	my $directory = new_directory('clone');
	$source->write_env(spilo_env(%{ $source->{pod} }), "$directory/env");
	my $command = write_text("$directory/restore", <<"END", 0755);
#!/bin/bash
# Patroni appends --scope=... --datadir=...
envdir $directory/env forge-backup --env-dir $directory/env restore --target-dir "\${2#--datadir=}" @target || exit
touch $directory/restored
until [ -e $directory/go ]; do sleep 0.1; done
END
	my $clone = lab(scope => $scope, members => 1, store => $store, etcd => $source, start => 0, bootstrap => {
			method => 'forge', forge => { command => $command, keep_existing_recovery_conf => JSON::PP::true } });
	$clone->{restore} = $directory;
	$clone->start_members;
	return $clone;
}
