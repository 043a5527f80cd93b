# The view events: each kind of thing that happens has a row, once; rows survive a restart; listeners are told.
use strict;
use warnings;

use ForgeFaults;
use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $store = start_fake();
my $bucket = $store->bucket;
my $node = forge_node('primary', storage => undef, conf => $bucket->conf . "forge_backup.check_interval = '1s'\nforge_backup.notify_database = 'postgres'\n");
wait_first_backup($node);
my $storage = $node->safe_psql('postgres', q{SELECT value FROM forge_backup.status() WHERE name = 'storage'});
my $first_key = $node->safe_psql('postgres', q{SELECT substr(name, 5) FROM forge_backup.status() WHERE name LIKE 'key.%'});
my ($first) = $node->safe_psql('postgres', 'SELECT min(name) FROM forge_backup.backups');

# The events of a kind, "subject outcome" each, joined by commas.
sub happened
{
	my ($kind) = @_;
	return $node->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', subject, outcome), ', ' ORDER BY time) FROM forge_backup.events WHERE kind = '$kind'");
}
sub wait_happened
{
	my ($kind, $pattern, $text) = @_;
	wait_until($text, sub { happened($kind) =~ $pattern });
	return like(happened($kind), $pattern, $text);
}
sub set_on
{
	my ($line) = @_;
	$node->append_conf('postgresql.conf', $line);
	$node->reload;
	return;
}

# --- the beginning -------------------------------------------------------------------------------------------------

wait_archived($node);
wait_happened('owner', qr/^\Q$storage\E ours$/, 'the prefix is ours');
is(happened('configuration'), "$storage on", 'the configuration is in effect');
is(happened('storage'), "$storage available", 'the storage answers');
is(happened('key'), "$first_key active", 'the key is named by its fingerprint');

# --- listeners -----------------------------------------------------------------------------------------------------

my $listens = new_directory('listener') . '/script.sql';
$node->safe_psql('postgres', 'CREATE TABLE wanted AS SELECT 1');
write_text($listens, <<'END');
LISTEN forge_backup;
CREATE TABLE listening();
DO $$ BEGIN WHILE EXISTS (SELECT FROM wanted) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$;
SELECT 'heard';
END
my $listener = IPC::Run::start([ 'psql', '-XAt', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-f', $listens ],
	'>', \my $heard, '2>', \my $said);
wait_until('somebody listens', sub { $node->safe_psql('postgres', q{SELECT to_regclass('listening') IS NOT NULL}) eq 't' });
my $since = $node->safe_psql('postgres', 'SELECT max(time) FROM forge_backup.events');

# --- what people do ------------------------------------------------------------------------------------------------

my $second = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
$node->safe_psql('postgres', "SELECT forge_backup.mark_backup('$first'), forge_backup.mark_backup('$first', permanent => false)");
$node->safe_psql('postgres', "SELECT forge_backup.verify_backup('$second')");
$node->safe_psql('postgres', "SELECT forge_backup.delete_backup('$first')");
is(happened('backup'), "$first started, $first finished, $second started, $second finished, $first permanent, $first not permanent, $first deleted",
	'base backups: made, marked, deleted');
is(happened('verification'), "$second good", 'one was verified');
my ($part) = grep { m{/$second/tar_partitions/} } $bucket->names;
$store->request('DELETE', "/$bucket->{name}/shop/$part");
$node->psql('postgres', "SELECT forge_backup.verify_backup('$second')");
is(happened('verification'), "$second good, $second bad", 'and once more, with a part missing');
$node->psql('postgres', q{SELECT forge_backup.delete_backup('base_000000010000000000000099')});
unlike(happened('backup'), qr/99 deleted/, 'what did not happen is no event');
$node->safe_psql('postgres', 'SELECT forge_backup.adopt_prefix()');
like(happened('owner'), qr/adopted/, 'the prefix was adopted');

# --- what the storage does -----------------------------------------------------------------------------------------

$store->script({ match => { bucket => "^$bucket->{name}\$" }, do => { status => 503, code => 'ServiceUnavailable' } });
wait_until('the breaker opens', sub { switch_wal($node); happened('storage') =~ /unavailable$/ });
is(happened('storage'), "$storage available, $storage unavailable", 'the storage went away');
like($node->safe_psql('postgres', q{SELECT detail FROM forge_backup.events WHERE kind = 'storage' AND outcome = 'unavailable'}), qr/503|ServiceUnavailable/, 'with what it said');
$store->script();
wait_archived($node);
wait_happened('storage', qr/unavailable, \Q$storage\E available$/, 'and came back');

# --- what the configuration says -----------------------------------------------------------------------------------

my $new_key = key_file('5' x 64);
set_on("forge_backup.encryption_key_files = '$new_key, $node->{forge}{key_file}'");
wait_happened('key', qr/^$first_key active, [0-9a-f]{8,16} active$/, 'another key encrypts');
set_on("forge_backup.compression = 'papyrus'");
wait_happened('configuration', qr/ on, \S* ?error$/, 'a wrong setting');
set_on("forge_backup.compression = 'none'");
wait_happened('configuration', qr/error, \Q$storage\E on$/, 'and a right one');

# --- what heals ----------------------------------------------------------------------------------------------------

my $lost = wait_archived($node);
switch_wal($node);
wait_archived($node);
my ($object) = grep { m{/$lost} } $bucket->names;
$store->request('DELETE', "/$bucket->{name}/shop/$object");
wait_happened('healing', qr/^$lost started, $lost finished$/, 'WAL that the storage lacked was archived again');

# --- listeners have heard ------------------------------------------------------------------------------------------

wait_until('all is told', sub { status_value($node, 'listeners') =~ /^postgres \| (\d+) of \1 events told$/ });
$node->safe_psql('postgres', 'DELETE FROM wanted');
$listener->finish;
my @told = map { decode_json($_) } $heard =~ /Asynchronous notification "forge_backup" with payload "(\{.*\})" received/g;
my $rows = decode_json($node->safe_psql('postgres', "SELECT json_agg(json_build_object('time', time, 'kind', kind, 'subject', subject, 'outcome', outcome, 'detail', detail) ORDER BY time) FROM forge_backup.events WHERE time > '$since'"));
sub texts { my ($list) = @_; return map { join '|', map { $_ // 'null' } @{$_}{qw(kind subject outcome detail)} } @$list; }
cmp_ok(scalar @$rows, '>', 12, 'a lot has happened');
is_deeply([ texts(\@told) ], [ texts($rows) ], 'and the listener has been told each event, in order');
my $first_at = $node->safe_psql('postgres', "SELECT json_build_object('time', min(time)) FROM forge_backup.events WHERE time > '$since'");
is($told[0]{time}, decode_json($first_at)->{time}, 'with its time');

# --- over restarts -------------------------------------------------------------------------------------------------

sub told_so_far { return $node->safe_psql('postgres', 'SELECT time, kind, subject, outcome, detail FROM forge_backup.events ORDER BY time'); }
my $before = told_so_far();
for my $end ('fast', 'immediate')
{
	$node->stop($end);
	$node->start;
	wait_archived($node);
	wait_until('the storage was looked at', sub { status_value($node, 'newest_backup') ne '' });
	my $after = told_so_far();
	like($after, qr/^\Q$before\E/, "all is there after a stop ($end)");
	unlike(substr($after, length $before), qr/\|(configuration|key|owner|storage|archiving)\|/, 'and a start is news of none of it');
}

# --- nobody is in the way ------------------------------------------------------------------------------------------

my $offset = log_size($node);
set_on("forge_backup.notify_database = 'nowhere'");
$node->safe_psql('postgres', q{SELECT forge_backup.adopt_prefix()});
wait_until('status() says it', sub { status_value($node, 'notify_problem') =~ /no database "nowhere"/ });
like(status_value($node, 'notify_problem'), qr/no database "nowhere".*Set forge_backup\.notify_database/, 'a database that is missing is named, with what to do');
log_lacks($node, $offset, qr/FATAL|ERROR/, 'and the log is left alone');
$node->safe_psql('postgres', 'CREATE DATABASE nowhere');
set_on("forge_backup.notify_database = 'nowhere'");
wait_until('it is told there', sub { status_value($node, 'notify_problem') eq '' });
for my $round (1 .. 5)
{
	$node->safe_psql('postgres', 'SELECT forge_backup.adopt_prefix()');
	$node->safe_psql('postgres', 'DROP DATABASE nowhere');
	$node->safe_psql('postgres', 'CREATE DATABASE nowhere');
}
pass('a database that listeners are told in can be dropped at any time');

my $standby = forge_standby($node, 'standby');
$standby->safe_psql('postgres', 'SELECT count(*) FROM forge_backup.events');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'forge_backup notifier'}), '0', 'a standby tells nobody');
is(status_value($standby, 'notify_problem'), '', 'and does not mind');

done_testing();
