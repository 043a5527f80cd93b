# The same on an S3 server, and the end of a server process while its helper is in the middle of an upload.
use strict;
use warnings;

use ForgeCrash;
use ForgeFaults;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $store = start_fake();
my $bucket = $store->bucket;
my $node = crash_node('primary', storage => undef, key => 0, conf => $bucket->conf . "forge_backup.upload_concurrency = 2\n");
my $env = $bucket->env;
$node->safe_psql('postgres', "CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 3000) i");
wait_until('the first base backup', sub { grep { /sentinel/ } $bucket->names });
wait_archived($node);

# A segment of random content, so that every byte of it goes over the line.
my $rows = 0;
sub finish_segment
{
	++$rows;
	$node->safe_psql('postgres', "INSERT INTO t SELECT $rows, string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 20000)");
	return switch_wal($node);
}

{
	my $name = finish_segment();
	wait_archived($node, $name);
	arm('body-sent', 3);
	$name = finish_segment();
	fired('body-sent');
	whole_or_absent($node, $env, $name, 'C2: killed in the middle of the body, nothing half-written under the final name');
	wait_archived($node, $name);
	stored_as($node, $env, $name, 'C2: the segment is offered again and stored');
	ok((grep { $_->{operation} eq 'put' && $_->{received} < 1 << 20 } $bucket->requests(key => qr/$name/)), 'C2: the store did get the beginning');
}
{
	# The archiver waits for the first; the third hangs while its helper runs ahead.
	my $helper = helper_pid($node);
	kill('STOP', $helper);
	my @names = map { finish_segment() } 1 .. 4;
	$store->script({ match => { operation => '^put$', key => $names[2] }, do => { stall => { at => 'body', after => 300_000 } } });
	kill('CONT', $helper);
	wait_until('the upload hangs', sub { $bucket->requests(key => qr/$names[2]/) });
	kill('KILL', archiver_pid($node));
	ok(wait_until('the helper ends', sub { !alive($helper) }, 20), 'C6: the helper of a killed archiver ends');
	wait_back($node);
	ok(!(grep { /$names[2]/ } $bucket->names), 'C6: no partial object was left by running ahead');
	$store->script;
	wait_archived($node, $_) for @names;
	stored_as($node, $env, $_, "C6: $_ is stored") for @names;
}
{
	# The postmaster, with a base backup and a segment in the middle of their bodies.
	$store->script({ match => { operation => 'put|upload-part' }, do => { stall => { at => 'body', after => 1000 } } });
	my $backup = IPC::Run::start([ 'psql', '-X', '-d', $node->connstr('postgres'), '-c', 'SELECT forge_backup.trigger_basebackup()' ],
		'<', \'', '>', \my $out, '2>', \my $err);
	finish_segment();
	wait_until('both hang', sub {
		my @hanging = map { $_->{ended} ? () : $_->{key} } $bucket->requests(method => qr/PUT/);
		return (grep { /tar_partitions/ } @hanging) && (grep { /wal_005/ } @hanging);
	});
	my $sentinels = grep { /sentinel/ } $bucket->names;
	my @family = family_of($node->{_pid});
	my @helpers = grep { slurp_file("/proc/$_/cmdline") =~ /forge-backup\0helper/ } @family;
	is(scalar(@helpers), 2, 'C16: the helpers of the archiver and of the backup are at work');
	$node->kill9;
	ok(wait_until('all of them end', sub { !alive(@family) }, 40), 'C16: no process outlives a killed postmaster');
	$backup->finish;
	# Its lock files hold as long as somebody has its number: until process 1 has waited for it.
	wait_until('the postmaster is gone', sub { !kill(0, $family[0]) });
	$store->script;
	is(scalar(grep { /sentinel/ } $bucket->names), $sentinels, 'C16: there is no backup more');
	$node->start;
	wait_archived($node);
	like($node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()'), qr/^base_/, 'C16: after a start the next backup succeeds');
}

same_restored('restored', $node, 't', 'C2 C6 C16: a restore has every row', env_dir => $env);
$node->stop;
done_testing();
