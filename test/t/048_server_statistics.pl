# How long things take and what they move: each count against the log of the store and what lies there.
use strict;
use warnings;

use ForgeFaults;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $store = start_fake();
my $bucket = $store->bucket;
my $node = forge_node('primary', storage => undef, conf => $bucket->conf . "forge_backup.compression = 'zstd'\n");
wait_first_backup($node);

sub rows { return $node->safe_psql('postgres', $_[0]); }
sub counted { my ($kind, $stage) = @_; return rows("SELECT count FROM forge_backup.statistics WHERE kind = '$kind' AND stage = '$stage'"); }
sub moved { my ($kind, $what) = @_; return rows("SELECT $what FROM forge_backup.transfers WHERE kind = '$kind'"); }
# What was really written.
sub puts { my ($key) = @_; return grep { $_->{status} == 200 } $bucket->requests(operation => qr/^(put|complete)$/, key => $key); }
sub quiet { wait_until('all WAL is archived', sub { rows(q{SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'}) == 0 }); return; }

sub write_some
{
	for my $i (1 .. 5)
	{
		rows("CREATE TABLE t" . int(rand(1e9)) . " AS SELECT repeat(md5(i::text), 8) FROM generate_series(1, 2000) i");
		switch_wal($node);
	}
	quiet();
	return;
}

sub compare
{
	my ($when) = @_;
	my $wal = () = puts(qr{/wal_005/});
	my $parts = () = puts(qr{/tar_partitions/});
	cmp_ok($wal, '>', 5, "$when: WAL was stored");
	is(counted('wal', $_), $wal, "$when: $_ of WAL has a time for each object") for qw(wait read compress encrypt send total);
	is(moved('wal', 'objects'), $wal, "$when: so many objects of WAL");
	is(counted('backup', $_), $parts, "$when: $_ of base backups has a time for each part") for qw(compress encrypt send total);
	is(moved('backup', 'objects'), $parts, "$when: so many parts");
	# The parts of the control file and of the label come from memory.
	is(counted('backup', 'wait'), counted('backup', 'read'), "$when: what is read has waited");
	cmp_ok(counted('backup', 'read'), '>', 0, "$when: and something is read");
	return;
}

# --- counts --------------------------------------------------------------------------------------------------------

write_some();
compare('first');
is(rows(q{SELECT count(*) FROM forge_backup.statistics WHERE cardinality(buckets) <> 32 OR count <> (SELECT sum(n) FROM unnest(buckets) n)}), 0,
	'the buckets have all that is counted');
is(rows(q{SELECT count(*) FROM forge_backup.statistics WHERE count > 0 AND NOT (min_ms <= p50_ms AND p50_ms <= p95_ms AND p95_ms <= p99_ms
	AND p99_ms <= max_ms AND min_ms <= mean_ms AND mean_ms <= max_ms AND abs(mean_ms * count - total_ms) <= 0.01 * count)}), 0, 'the numbers fit together');
is(rows(q{SELECT max(t.total_ms) >= sum(s.total_ms) FROM forge_backup.statistics t, forge_backup.statistics s
	WHERE t.kind = 'wal' AND t.stage = 'total' AND s.kind = 'wal' AND s.stage NOT IN ('wait', 'total')}), 't', 'the stages are parts of the total');
# Of the log as well: what lies there has lost the WAL that no backup needs.
sub received { my $sum = 0; $sum += $_->{received} for puts($_[0]); return $sum; }
is(moved('wal', 'bytes_stored'), received(qr{/wal_005/}), 'bytes stored are those that the store received');
is(moved('wal', 'bytes_plain / 1048576'), scalar(() = puts(qr{/wal_005/[0-9A-F]{24}\.zst$})), 'bytes before compression are those of the segments');
is(moved('backup', 'bytes_stored'), received(qr{/tar_partitions/}), 'the same for base backups');

# --- retries -------------------------------------------------------------------------------------------------------

my $before = moved('wal', 'retries');
$store->script({ match => { bucket => "^$bucket->{name}\$", method => '^PUT$', key => '/wal_005/' }, do => { status => 503, code => 'SlowDown' }, count => 3 });
write_some();
my $refused = () = $bucket->requests(status => qr/^503$/, key => qr{/wal_005/});
cmp_ok($refused, '>=', 3, 'the store asked to slow down');
is(moved('wal', "(retries_by_class->>'throttled')::int - $before"), $refused, 'each was tried again, by class');
is(moved('wal', 'retries'), moved('wal', "(SELECT sum(value::int) FROM jsonb_each_text(retries_by_class))"), 'the classes make up the sum');
$store->script;
compare('after retries');

# A store that takes its time: the time is that of the sending.
rows('SELECT forge_backup.reset_stats()');
$store->script({ match => { bucket => "^$bucket->{name}\$", method => '^PUT$', key => '/wal_005/' }, do => { delay => 0.5 } });
switch_wal($node);
quiet();
$store->script;
is(rows(q{SELECT min_ms >= 500 FROM forge_backup.statistics WHERE kind = 'wal' AND stage = 'send'}), 't', 'half a second of sending');
is(rows(q{SELECT max(max_ms) < 500 FROM forge_backup.statistics WHERE kind = 'wal' AND stage IN ('read', 'compress', 'encrypt')}), 't', 'belongs to no other stage');

# --- restarts and reset --------------------------------------------------------------------------------------------

my $reset = moved('wal', 'since');
write_some();
my $objects = moved('wal', 'objects');
$node->restart;
wait_until('the statistics are back', sub { moved('wal', 'objects') >= $objects });
is(moved('wal', 'since'), $reset, 'they are kept over a restart, and since when');
$node->stop('immediate');
$node->start;
wait_until('and after a crash', sub { moved('wal', 'since') eq $reset });
rows('SELECT forge_backup.reset_stats()');
is(rows(q{SELECT sum(count) FROM forge_backup.statistics WHERE kind <> 'wal'}), 0, 'reset_stats() forgets');
is(moved('wal', "since > '$reset'"), 't', 'and says when');
$node->restart;
is(rows(q{SELECT sum(count) FROM forge_backup.statistics WHERE kind = 'backup'}), 0, 'what is forgotten does not come back');

# --- restore commands ----------------------------------------------------------------------------------------------

write_some();
$bucket->{key_file} = $node->{forge}{key_file};
my $env = $bucket->env(WALG_COMPRESSION_METHOD => 'zstd');
my $copy = restore_node('copy', $node, env_dir => $env);
start_restored($copy);
sub at_copy { return $copy->safe_psql('postgres', $_[0]); }
wait_until('restore commands leave what they fetched', sub { at_copy(q{SELECT objects FROM forge_backup.transfers WHERE kind = 'restore'}) > 0 });
my $fetched = at_copy(q{SELECT objects FROM forge_backup.transfers WHERE kind = 'restore'});
is(at_copy(qq{SELECT count(*) FROM forge_backup.statistics WHERE kind = 'restore' AND stage IN ('receive', 'decrypt', 'decompress', 'write') AND count <> $fetched}), 0,
	'each object has its times');
cmp_ok(at_copy(q{SELECT count FROM forge_backup.statistics WHERE kind = 'restore' AND stage = 'total'}), '>', 0, 'each command has its time');

# By hand, so that nothing is fetched ahead: as many as the log says.
at_copy('SELECT forge_backup.reset_stats()');
is(at_copy(q{SELECT sum(count) FROM forge_backup.statistics}), 0, 'reset_stats() forgets those of restore commands as well');
my @names = map { m{^wal_005/([0-9A-F]{24})\.zst$} ? $1 : () } $bucket->names;
my $count = sub { return scalar(() = $bucket->requests(operation => qr/^get$/, key => qr{/wal_005/}, status => qr/^200$/)) };
my $asked = $count->();
for my $name (@names[0 .. 3])
{
	cli_ok({ cwd => $copy->data_dir }, 'wal-fetch', '--env-dir', $env, '--prefetch', 0, $name, 'pg_wal/by_hand', "fetch $name");
}
is(at_copy(q{SELECT objects FROM forge_backup.transfers WHERE kind = 'restore'}), $count->() - $asked, 'as many as the log of the store says');
is(at_copy(q{SELECT count FROM forge_backup.statistics WHERE kind = 'restore' AND stage = 'total'}), 4, 'four commands');
is(at_copy(q{SELECT bytes_plain FROM forge_backup.transfers WHERE kind = 'restore'}), 4 * 1048576, 'four segments');
write_text($copy->data_dir . '/forge_backup/statistics.restore', "1 2 nonsense\n");
is(at_copy(q{SELECT sum(count) FROM forge_backup.statistics}), 0, 'a file that is damaged counts for nothing');
cli_ok({ cwd => $copy->data_dir }, 'wal-fetch', '--env-dir', $env, '--prefetch', 0, $names[0], 'pg_wal/by_hand', 'and is in the way of no restore');
is(at_copy(q{SELECT count FROM forge_backup.statistics WHERE kind = 'restore' AND stage = 'total'}), 1, 'it is begun anew');
unlink $copy->data_dir . '/pg_wal/by_hand';

done_testing();
