# The view progress, and the lines of the commands: what verification, deletion and retention have done and have to do.
use strict;
use warnings;

use ForgeFaults;
use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $store = start_fake();
my $bucket = $store->bucket;
my $node = forge_node('primary', storage => undef, key => 0, conf => $bucket->conf);
wait_first_backup($node);
my $first = $node->safe_psql('postgres', 'SELECT name FROM forge_backup.backups');
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()') for 1 .. 2;

sub stored_bytes { my ($pattern) = @_; my $objects = decode_json($store->request('GET', '/__objects'))->{ $bucket->{name} }; my $sum = 0; /$pattern/ and $sum += $objects->{$_}{size} for keys %$objects; return $sum; }

# Runs a statement in the background and collects the rows of the view meanwhile, as hashes.
sub watch
{
	my ($statement) = @_;
	my ($out, $err) = ('', '');
	my $job = IPC::Run::start([ 'psql', '-XAt', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c', $statement ], '<', \'', '>', \$out, '2>', \$err);
	my @seen;
	while ($job->pumpable)
	{
		push @seen, @{ decode_json($node->safe_psql('postgres', 'SELECT coalesce(json_agg(p), \'[]\') FROM forge_backup.progress p')) };
		$job->pump_nb;
	}
	$job->finish;
	is($err, '', "$statement succeeds");
	return @seen;
}

sub goes_on
{
	my ($operation, $name, $rows, $total, $objects) = @_;
	my @told = grep { $_->{operation} eq $operation && $_->{bytes_total} } @$rows;
	cmp_ok(scalar @told, '>', 1, "$operation is seen while it goes on") or return;
	is_deeply([ sort keys %{ { map { ($_->{name} // '') => 1 } @told } } ], [ $name ], '… with its name');
	is_deeply([ sort keys %{ { map { $_->{bytes_total} => 1 } @told } } ], [ $total ], '… and how much there is to do');
	is($told[-1]{files_total}, $objects, '… in so many objects');
	my @done = map { $_->{bytes_done} } @told;
	is_deeply(\@done, [ sort { $a <=> $b } @done ], '… what is done grows');
	my ($later) = grep { $_->{bytes_done} > 0 && $_->{bytes_done} < $total } @told;
	ok($later, '… and is some of all') or return;
	is(sprintf('%.1f', $later->{percent}), sprintf('%.1f', 100 * $later->{bytes_done} / $total), '… as a percentage');
	cmp_ok($later->{rate}, '>', 0, '… with a rate');
	like($later->{remaining}, qr/^\d\d:\d\d:\d\d$/, '… and an estimate');
	return;
}

# --- verify ----------------------------------------------------------------------------------------------------------

my $stored = stored_bytes(qr/tar_partitions/);
cmp_ok($stored, '>', 20_000_000, 'there is something to read');
$node->append_conf('postgresql.conf', "forge_backup.network_rate_limit = '8MB'\n");
$node->reload;
my @rows = watch("SELECT count(*) FROM forge_backup.verify_backup('$first')");
my ($told) = grep { $_->{bytes_total} } @rows;
goes_on('verify', $first, \@rows, $told->{bytes_total}, $told->{files_total});
my $sizes = $node->safe_psql('postgres', "SELECT sum(size) || ' ' || count(*) FROM forge_backup.verify_backup('$first') WHERE size > 0");
is("$told->{bytes_total} $told->{files_total}", $sizes, 'all of which is what the objects of the answer are');
is($node->safe_psql('postgres', 'SELECT count(*) FROM forge_backup.progress'), '0', 'afterwards there is nothing to see');

my $verifying = IPC::Run::start([ 'psql', '-XAt', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c', 'SELECT forge_backup.verify_backup()' ], '<', \'', '>', \my $out, '2>', \my $err);
my $pid = wait_until('it is seen', sub { $node->safe_psql('postgres', q{SELECT pid FROM forge_backup.progress WHERE operation = 'verify'}) });
is($node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 10000)"), 't', 'a session that verifies is ended');
$verifying->finish;
is($node->safe_psql('postgres', 'SELECT count(*) FROM forge_backup.progress'), '0', 'and not seen any more');
$node->append_conf('postgresql.conf', "forge_backup.network_rate_limit = 0\n");
$node->reload;

# --- delete ----------------------------------------------------------------------------------------------------------

sub plan_of { my ($name) = @_; return split / /, $node->safe_psql('postgres', "SELECT bytes || ' ' || objects FROM forge_backup.retention_plan() WHERE backup = '$name'"); }
sub slow_deletes { $store->script({ match => { bucket => "^$bucket->{name}\$", operation => 'delete' }, do => { delay => 3 } }); return; }
my ($bytes, $objects) = plan_of($first);
slow_deletes();
goes_on('delete', $first, [ watch("SELECT forge_backup.delete_backup('$first')") ], $bytes, $objects);

# --- retention -------------------------------------------------------------------------------------------------------

# After a base backup it removes the WAL that only the deleted one needed.
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
my $row = wait_until('retention is seen', sub { $node->safe_psql('postgres', q{SELECT phase, files_total > 0, files_done, bytes_total > 0 FROM forge_backup.progress WHERE operation = 'retention'}) });
is($row, 'removing|t|0|t', 'retention is seen while it removes');
wait_until('and ends', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM forge_backup.progress') eq '0' });
like(status_value($node, 'retention'), qr/removed/, 'until it is done');

# --- the command line ------------------------------------------------------------------------------------------------

my ($second) = split /\n/, $node->safe_psql('postgres', 'SELECT name FROM forge_backup.backups ORDER BY name');
my $result = $bucket->start('delete', 'target', $second, '--confirm')->finish;
says($result, 0, qr/^forge-backup: deleting: \d+% of .*\/s/m, 'delete tells how far it is');
done_testing();
