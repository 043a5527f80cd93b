# What waits for a store that is gone: how much, how fast it grows, what is given up above a limit, and what heals.
use strict;
use warnings;

use ForgeFaults;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $store = start_fake();
my $bucket = $store->bucket;
my $node = forge_node('primary', storage => undef, conf => $bucket->conf . "forge_backup.check_interval = '1s'\n");
my $data = $node->data_dir;
wait_first_backup($node);
wait_archived($node);

sub rows { return $node->safe_psql('postgres', $_[0]); }
sub dead { return { match => { bucket => "^$bucket->{name}\$" }, do => { status => 503, code => 'ServiceUnavailable' } }; }
sub stored { my ($name) = @_; return scalar grep { $_ eq "wal_005/$name" } $bucket->names; }

# --- how much waits ----------------------------------------------------------------------------------------------------

my $offset = log_size($node);
$store->script(dead());
my @names = map { switch_wal($node) } 1 .. 8;
is(archive_value($node, 'backlog_files'), scalar @names, 'what waits is counted');
is(archive_value($node, 'backlog_bytes'), @names << 20, 'N13: in bytes as well');
wait_until('the growth is known', sub { archive_value($node, 'backlog_growth > 0') eq 't' }, 90);
my ($free, $growth, $full) = split /\|/, archive_value($node, "disk_free || '|' || backlog_growth || '|' || extract(epoch FROM disk_full_in)");
cmp_ok($full, '>', 0, 'D1: status says when the disk will be full');
cmp_ok(abs($full - $free / $growth), '<=', 0.1 * $full + 60, 'from the free space and the growth');
like(status_value($node, 'backlog'), qr/^\d+ files, \d+\.0 MB \| growing by .* a second, the disk is full in \d+ seconds/, 'status() has it in words');
is(rows(q{SELECT string_agg(class, ',') FROM forge_backup.archive_errors}), 'unavailable', 'N1: failures are counted by class');
is(rows(q{SELECT failed_count > 0 AND message ~ '503' AND hint IS NOT NULL AND last_failed_time > now() - interval '5 min' FROM forge_backup.archive_errors}),
	't', 'with the last message of each');
is(rows(q{SELECT (errors->'unavailable'->>'count')::int > 0 FROM forge_backup.archive_status}), 't', 'archive_status has the same');
like(log_since($node, $offset), qr/DETAIL:  Error class: unavailable; failed attempts: \d+; next try: (at once|in \d+ s)\./,
	'the line in the log says class, attempts and the next try');
is(rows('SELECT count(*) FROM forge_backup.gaps'), 0, 'nothing is given up without a limit');

# --- above backlog_limit -----------------------------------------------------------------------------------------------

# A checkpoint may recycle what was dropped, so that it is really gone.
$offset = log_size($node);
$node->safe_psql('postgres', q{ALTER SYSTEM SET forge_backup.backlog_limit = '4MB'});
$node->reload;
# After some failures the server tries again when a segment is finished.
my $polls = 0;
wait_until('the backlog is back below the limit', sub {
	switch_wal($node) if $polls++ % 20 == 0;
	return archive_value($node, 'backlog_bytes <= 4 * 1048576') eq 't';
});
like(log_since($node, $offset), qr/WARNING:  forge_backup: WAL is dropped from "$names[0]" on: \d+ MB wait for the store/, 'D1: it is said that WAL is dropped');
is(() = log_since($node, $offset) =~ /WAL is dropped/g, 1, 'once');
is(rows('SELECT first_wal FROM forge_backup.gaps'), $names[0], 'the gap begins with the oldest segment');
cmp_ok(rows('SELECT files FROM forge_backup.gaps'), '>=', 4, 'and is one row for all of them');
is(rows(q{SELECT reason || ' ' || state FROM forge_backup.gaps}), 'backlog_limit open', 'with its reason');
cmp_ok(archive_value($node, 'dropped_count'), '>=', 4, 'dropped files are counted');
my $known = rows('SELECT first_wal, last_wal, files, reason FROM forge_backup.gaps');
unlike($known, qr/\n/, 'the gap is contiguous');
$node->safe_psql('postgres', 'CHECKPOINT');
ok(!-e "$data/pg_wal/$names[0]", 'the server has recycled what was dropped');
$node->restart;
like(rows('SELECT first_wal, last_wal, files, reason FROM forge_backup.gaps'), qr/^$names[0]\|\w+\|\d+\|backlog_limit$/, 'a restart does not forget the gap');
like(rows(q{SELECT string_agg(outcome, ' ' ORDER BY time) FROM forge_backup.events WHERE kind = 'archiving' AND outcome <> 'works'}),
	qr/^failing dropping( failing)?$/, 'nor what happened');

# --- the store is back -------------------------------------------------------------------------------------------------

my $count = () = grep { /_backup_stop_sentinel\.json$/ } $bucket->names;
$store->script;
wait_until('a base backup is made', sub { (() = grep { /_backup_stop_sentinel\.json$/ } $bucket->names) > $count }, 90);
ok(!stored($names[0]), 'what was dropped is not in the store');
wait_until('the gap is bridged', sub { rows(q{SELECT bool_and(state = 'bridged') FROM forge_backup.gaps}) eq 't' });
is(rows(q{SELECT coalesce(max(value), 'none') FROM forge_backup.status() WHERE name = 'missing_wal'}), 'none', 'nothing is missing since the new backup');
like(log_since($node, $offset), qr/WARNING:  forge_backup: WAL from "$names[0]" to "\w+" is lost|a base backup is made to bridge missing WAL/, 'the log says why');
wait_archived($node);

# --- what was dropped and is still there -------------------------------------------------------------------------------

$store->script(dead());
@names = map { switch_wal($node) } 1 .. 8;
wait_until('WAL is dropped again', sub {
	switch_wal($node) if $polls++ % 20 == 0;
	return archive_state($node, $names[0]) eq 'done';
});
$count = () = grep { /_backup_stop_sentinel\.json$/ } $bucket->names;
my @dropped = grep { archive_state($node, $_) eq 'done' && -e "$data/pg_wal/$_" } @names;
cmp_ok(scalar @dropped, '>', 0, 'some of it is still in pg_wal');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET forge_backup.backlog_limit');
$store->script;
$node->reload;
wait_until('it is archived after all', sub { !grep { !stored($_) } @dropped }, 60);
wait_until('the gap is healed', sub { rows(q{SELECT count(*) FROM forge_backup.gaps WHERE state = 'open'}) eq '0' });
is(() = grep({ /_backup_stop_sentinel\.json$/ } $bucket->names), $count, 'and needs no base backup');
is(rows(q{SELECT outcome FROM forge_backup.events WHERE kind = 'archiving' ORDER BY time DESC LIMIT 1}), 'works', 'the last event says that archiving works again');
$node->stop;

done_testing();
