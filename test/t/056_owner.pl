# Whose prefix it is: a cluster never writes where another one writes, not even the history of a timeline.
use strict;
use warnings;

use ForgeFaults;
use ForgeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# --- the source and its copy ---------------------------------------------------------------------------------------------

my $source = forge_node('source');
my $bucket = bucket_of($source);
my $owner = owner();
is($owner->{system_identifier}, system_identifier($source), 'the first cluster leaves its record in the prefix');
is("$owner->{cluster_name} $owner->{format} @{ $owner->{requires} }", 'source 1 ', 'with its name, and the format of the record');
like($owner->{id}, qr/^[0-9a-f]{32}$/, 'and an id of its own');
like(status_value($source, 'owner'), qr/^ours \| system identifier $owner->{system_identifier}, cluster name "source"/,
	'status() shows whose the prefix is');
wait_archived($source);
$source->restart;
wait_archived($source);
is(owner()->{id}, $owner->{id}, 'a restart finds the record and leaves it as it is');

my $clone = copy_of($source, 'clone');
my @before = tree($bucket);
my $offset = log_size($clone);
$clone->start;
my $kept = switch_wal($clone);
wait_foreign($clone);
is(join("\n", tree($bucket)), join("\n", @before), 'H4: a copy with the configuration of its source writes nothing there');
is(archive_state($clone, $kept), 'ready', 'H4: its WAL is kept');
like(archive_value($clone, "problem_kind || ' ' || problem"), qr/^foreign .*cluster name "source".*this one is.*cluster name "clone"/,
	'H4: archive_status names both');
like(archive_value($clone, 'hint'), qr/copy of that cluster: give it a prefix of its own.*adopt_prefix/, 'H4: and says what to do');
switch_wal($clone) for 1 .. 3;
wait_until('the archiver has tried again',
	sub { $clone->safe_psql('postgres', 'SELECT failed_count > 3 FROM pg_stat_archiver') eq 't' });
is($clone->safe_psql('postgres', q{SELECT outcome FROM forge_backup.events WHERE kind = 'owner' ORDER BY time DESC LIMIT 1}), 'foreign', 'H4: the events have it');
my @lines = log_since($clone, $offset) =~ /WARNING:.*could not archive.*belongs to another cluster/g;
is(scalar @lines, 1, 'H4: the log says it once');
my ($code, $out, $err) = $clone->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
like($err, qr/belongs to another cluster/, 'H4: a copy makes no base backup there');
like($clone->safe_psql('postgres', q{SELECT level || ' ' || detail FROM forge_backup."check"() WHERE "check" = 'owner'}),
	qr/^error .*belongs to another cluster/, 'H4: check() finds it');
my $env = env_dir_of($source);
cli_fails('wal-push', '--env-dir', $env, $clone->data_dir . "/pg_wal/$kept", 1, qr/belongs to another cluster/,
	'H4: wal-push refuses as well');
cli_fails({ env => client_of($clone) }, 'backup-push', '--direct', '--env-dir', $env, 1, qr/belongs to another cluster/,
	'H4: and so does backup-push');

$clone->stop;
write_text($clone->data_dir . '/standby.signal', '');
$clone->append_conf('postgresql.conf', "restore_command = '/bin/false'");
$clone->start;
$clone->promote;
wait_foreign($clone);
wait_until('the copy has a history of its own', sub { archive_state($clone, '00000002.history') eq 'ready' });
switch_wal($clone);
is(join("\n", tree($bucket)), join("\n", @before), 'H4: a promoted copy does not even store its timeline history');
wait_archived($source);
is($source->safe_psql('postgres', 'SELECT failed_count FROM pg_stat_archiver'), '0', 'H4: the source has noticed nothing');

# --- dropped by policy -------------------------------------------------------------------------------------------------

$offset = log_size($clone);
$clone->append_conf('postgresql.conf', "forge_backup.foreign_prefix = 'drop'");
$clone->reload;
wait_sent($clone, $kept);
@before = tree($bucket);
is(scalar(grep { /00000002/ } @before), 0, 'with foreign_prefix = drop nothing is written either');
like(status_value($clone, 'dropped_wal'), qr/^[1-9]/, 'the WAL is accepted and counted');
like(status_value($clone, 'owner'), qr/^foreign/, 'and the reason is still shown');
like(log_since($clone, $offset), qr/WARNING:.*belongs to another cluster, WAL is accepted and dropped/, 'the log says so');
$clone->append_conf('postgresql.conf', "forge_backup.foreign_prefix = 'keep'");
$clone->reload;

# --- adopted -------------------------------------------------------------------------------------------------------------

$source->stop;
my $wanted = switch_wal($clone);
wait_foreign($clone);
is($clone->safe_psql('postgres', q{SELECT string_agg("when" || ' ' || cluster_name, ', ') FROM forge_backup.adopt_prefix()}),
	'before source, after clone', 'adopt_prefix() returns the owner before and after');
wait_sent($clone, $wanted);
ok(-f "$bucket/wal_005/$wanted.zst", 'and the new owner archives');
ok(-f "$bucket/wal_005/00000002.history.zst", 'its timeline history went first');
like(status_value($clone, 'owner'), qr/^ours/, 'status() shows the change');
is(status_value($clone, 'owner_problem'), '', 'and no problem any more');
$source->start;
switch_wal($source);
wait_foreign($source);
pass('H3: the old owner, started again, finds that it is not the owner any more');
$source->stop;

# --- another cluster of the same name ------------------------------------------------------------------------------------

my $stranger = forge_node('stranger', storage => "file://$bucket", first_backup => 0);
switch_wal($stranger);
wait_foreign($stranger);
@before = tree($bucket);
switch_wal($stranger);
is(join("\n", tree($bucket)), join("\n", @before), 'P20: a server with another system identifier writes nothing in the prefix');
my $record = owner();
write_owner(%$record, cluster_name => 'stranger');
kill('KILL', helper_pid($stranger));
ok( wait_until('the hint names the earlier cluster', sub {
		switch_wal($stranger);
		archive_value($stranger, 'hint') =~ /earlier cluster of the same name left its archive here: use a new prefix/;
	}),
	'H6: the archive of an earlier cluster of the same name is told apart');
unlink("$bucket/forge_owner.json") or die $!;
kill('KILL', helper_pid($stranger));
ok( wait_until('the backups tell', sub {
		switch_wal($stranger);
		archive_value($stranger, 'problem') =~ /basebackups_005.*belongs to another cluster \(system identifier $owner->{system_identifier}\)/;
	}),
	'P20: without a record the newest backup says whose the prefix is');
ok(!-f "$bucket/forge_owner.json", 'P20: and it is not claimed');

# A history of another system is not handed out.
write_owner(%$record);
my $fetched = new_directory('fetched') . '/file';
cli_fails({ cwd => $stranger->data_dir }, 'wal-fetch', '--env-dir', $env, '00000002.history', $fetched, 200,
	qr/timeline history "00000002.history" is of another cluster/, 'wal-fetch refuses the timeline history of another system');
ok(!-e $fetched, 'and leaves no file');
write_owner(%$record, cluster_name => 'source');
cli_ok({ cwd => $source->data_dir }, 'wal-fetch', '--env-dir', $env, '00000002.history', $fetched, 'its own cluster gets it');
write_owner(%$record, cluster_name => 'clone');
cli_ok({ cwd => $source->data_dir }, 'wal-fetch', '--env-dir', $env, '00000002.history', $fetched,
	'and so does one under another name: a clone reads its source');
$stranger->stop;

# --- records of other versions -------------------------------------------------------------------------------------------

write_owner(%$record, requires => ['split-parts'], cluster_name => 'clone');
kill('KILL', helper_pid($clone));
ok( wait_until('the requirement is shown', sub {
		switch_wal($clone);
		archive_value($clone, 'problem') =~ /requires "split-parts"/;
	}),
	'H11: nothing is archived where a newer version requires what this one lacks');
cli_fails('backup-fetch', '--env-dir', $env, new_directory('restored') . '/data', 'LATEST', 1, qr/requires "split-parts"/,
	'H11: nor restored from there');
write_owner(%$record, cluster_name => 'clone', colour => { red => 1 });
wait_sent($clone, switch_wal($clone));
pass('H11: what is optional is ignored');
cli_ok('adopt-prefix', '--env-dir', $env, $source->data_dir, 'adopt-prefix does the same from the command line');
is(owner()->{cluster_name}, 'source', 'for the cluster of the data directory');
$clone->stop;

# --- a promotion to a number that another server has taken -------------------------------------------------------------

my $twin = forge_node('twin');
my $twins = bucket_of($twin);
my $history = new_directory('history') . '/00000002.history';
write_text($history, "1\t0/9000000\tno recovery target specified\n");
cli_ok('wal-push', '--env-dir', env_dir_of($twin), $history, 'a history of timeline 2 is in the archive');
$twin->stop;
$twin->append_conf('postgresql.conf', "restore_command = '/bin/false'");
write_text($twin->data_dir . '/standby.signal', '');
$twin->start;
$twin->promote;
# Whoever cleans up the status files, as Patroni may, makes the server forget to archive its history first.
wait_until('the history is refused', sub { archive_value($twin, 'problem') =~ /00000002.history/ });
unlink($twin->data_dir . '/pg_wal/archive_status/00000002.history.ready') or die $!;
my $first = switch_wal($twin);
ok( wait_until('the timeline is refused', sub {
		switch_wal($twin);
		archive_value($twin, "problem_kind || ' ' || problem") =~ /^conflict timeline 2 of this server is not the one in the archive/;
	}),
	'H1: the history of the timeline in the archive is another one');
is(scalar(grep { m{^wal_005/00000002[0-9A-F]} } tree($twins)), 0, 'H1: and no segment of the timeline is stored');
unlink("$twins/wal_005/00000002.history.zst") or die $!;
wait_sent($twin, $first);
is(read_back($twin, '00000002.history'), read_text($twin->data_dir . '/pg_wal/00000002.history'),
	'H1: once that is gone, the right history is stored with the first segment');
$twin->stop;

# --- a store that lets nobody read, or does not answer -----------------------------------------------------------------

my $store = start_fake();
my $denied = { status => 403, code => 'AccessDenied' };
my $blind_bucket = $store->bucket({ match => { method => 'GET|HEAD' }, do => $denied });
my $blind = forge_node('blind', storage => undef, key => 0, first_backup => 0, conf => $blind_bucket->conf);
wait_archived($blind);
like(status_value($blind, 'owner'), qr/^unknown \| the credentials do not allow reading.*never replaced/,
	'K4: with credentials that only write, archiving works and the owner is unknown');
$store->script();
kill('KILL', helper_pid($blind));
wait_sent($blind, switch_wal($blind));
like(status_value($blind, 'owner'), qr/^ours/, 'K4: once reading is allowed, the prefix is claimed');
$store->script({ match => { method => 'GET', key => 'forge_owner' }, do => { status => 503, code => 'ServiceUnavailable' } });
kill('KILL', helper_pid($blind));
my $waiting = switch_wal($blind);
wait_until('the outage is shown', sub { archive_value($blind, 'problem') =~ /forge_owner.json/ });
is(status_value($blind, 'owner'), '', 'a store that does not answer makes nobody foreign');
is(archive_state($blind, $waiting), 'ready', 'and nothing is written before the owner is known');
$store->script();
wait_sent($blind, $waiting);
pass('after the outage archiving goes on');

# Without conditional writes the record is looked for, written, and looked at again.
my $plain_bucket = $store->bucket({ match => {}, do => { ignore_conditions => JSON::PP::true() } });
my $plain = forge_node('plain', storage => undef, key => 0, conf => $plain_bucket->conf);
wait_archived($plain);
like(status_value($plain, 'owner'), qr/^ours/, 'a store without conditional writes gets a record, too');

done_testing();

# --- helpers -------------------------------------------------------------------------------------------------------------

sub owner { return decode_json(read_text("$bucket/forge_owner.json")); }

sub write_owner
{
	my (%record) = @_;
	write_text("$bucket/forge_owner.json", JSON::PP->new->allow_bignum->encode(\%record));
	return;
}

sub system_identifier { return $_[0]->safe_psql('postgres', 'SELECT system_identifier FROM pg_control_system()'); }

# A second server from a copy of the first one's files, configuration included.
sub copy_of
{
	my ($node, $name) = @_;
	$node->backup('copy', backup_options => ['--checkpoint=fast']);
	my $copy = PostgreSQL::Test::Cluster->new($name);
	$copy->init_from_backup($node, 'copy');
	$copy->{forge} = { %{ $node->{forge} } };
	return $copy;
}

sub wait_foreign
{
	my ($node) = @_;
	return wait_until($node->name . ' finds the prefix foreign', sub {
		return 1 if status_value($node, 'owner') =~ /^foreign/;
		$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
		return;
	});
}

# The server's archiver sleeps for a minute after three failures; a finished segment wakes it.
sub wait_sent
{
	my ($node, $name) = @_;
	return wait_until("$name is archived", sub {
		return 1 if archive_state($node, $name) ne 'ready';
		switch_wal($node);
		Time::HiRes::sleep(0.5);
		return;
	});
}

sub client_of { return { PGHOST => $_[0]->host, PGPORT => $_[0]->port }; }

sub read_back
{
	my ($node, $name) = @_;
	my $file = new_directory('back') . '/file';
	cli_ok('wal-fetch', '--env-dir', env_dir_of($node), $name, $file, "$name can be fetched");
	return read_text($file);
}
