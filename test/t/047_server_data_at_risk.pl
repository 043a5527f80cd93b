# What would be lost with the server now, and the barrier that waits until nothing would: each number against positions
# and the contents of the store.
use strict;
use warnings;

use ForgeFaults;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $store = start_fake();
my $bucket = $store->bucket;
my $node = forge_node('primary', storage => undef, conf => $bucket->conf . "forge_backup.check_interval = '1s'\n");
wait_first_backup($node);

sub rows { return $node->safe_psql('postgres', $_[0]); }
sub at_risk { return rows("SELECT $_[0] FROM forge_backup.data_at_risk"); }
sub stored { my ($name) = @_; return scalar grep { /^wal_005\/$name/ } $bucket->names; }
sub fails { my ($sql) = @_; my ($code, $out, $err) = $node->psql('postgres', $sql); return $code == 0 ? 'no error' : $err; }

# --- the barrier -------------------------------------------------------------------------------------------------------

rows('CREATE TABLE kept (x int)');
for my $x (1 .. 3) {
	my $lsn = rows("INSERT INTO kept VALUES ($x); SELECT pg_current_wal_insert_lsn()");
	my $file = rows("SELECT pg_walfile_name('$lsn'::pg_lsn - 1)");
	my $durable = rows('SELECT forge_backup.wait_archived()');
	is(rows("SELECT '$durable'::pg_lsn >= '$lsn'::pg_lsn"), 't', "barrier $x covers what was written");
	ok(stored($file), 'and the segment is in the store');
}
# Reading sets hint bits, which is WAL as well, once for each page.
wait_until('nothing is at risk', sub {
	rows('SELECT forge_backup.wait_archived()');
	return at_risk('state, bytes, seconds, since IS NULL') eq 'durable|0|0|t';
});
my $before = rows('SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
rows('SELECT forge_backup.wait_archived()') for 1 .. 3;
is(rows('SELECT pg_walfile_name(pg_current_wal_insert_lsn())'), $before, 'P25: where nothing was written no segment is ended');
is(rows('SELECT last_archived_lsn = durable_lsn FROM forge_backup.archive_status, forge_backup.data_at_risk'), 't',
	'the last archived position is that of the store');
like(fails(q{SELECT forge_backup.wait_archived('FF/0')}), qr/WAL position FF\/0 is not written yet/, 'a position of the future is refused');
like(fails(q{SELECT forge_backup.wait_archived(NULL, '-1 s')}), qr/timeout must not be negative/, 'so is a negative timeout');

# --- archived again ------------------------------------------------------------------------------------------------------

# A promoted server hands over once more what the primary before it has archived: what waits may be in the store already.
{
	$node->append_conf('postgresql.conf', "wal_keep_size = '100MB'\n");
	$node->reload;
	my ($done) = reverse sort glob($node->data_dir . '/pg_wal/archive_status/*[0-9A-F].done');
	$node->restart;    # so that only looks know of it
	wait_until('nothing is at risk', sub {
		rows('SELECT forge_backup.wait_archived(timeout => NULL)');
		return at_risk('state') eq 'durable';
	});
	$store->script({ match => { bucket => "^$bucket->{name}\$", method => '^PUT$' }, do => { status => 503, code => 'SlowDown' } });
	my $durable = at_risk('durable_lsn');
	rename($done, $done =~ s/done$/ready/r) or die "could not rename \"$done\": $!";
	for my $look (1 .. 2)    # the first may have begun before
	{
		my $now = rows('SELECT clock_timestamp()');
		wait_until('a look', sub { rows("SELECT detail::timestamptz > '$now' FROM forge_backup.status() WHERE name = 'backups_in_storage'") eq 't' });
	}
	is(at_risk("durable_lsn = '$durable'"), 't', 'a segment that waits to be archived again is as durable as before');
	$store->script;
	wait_archived($node);
}

# --- at risk -----------------------------------------------------------------------------------------------------------

my $durable = at_risk('durable_lsn');
$store->script({ match => { bucket => "^$bucket->{name}\$" }, do => { status => 503, code => 'ServiceUnavailable' } });
my $began = rows('SELECT now()');
rows('INSERT INTO kept VALUES (4)');
is(at_risk('state, durable_lsn'), "at risk|$durable", 'a commit is at risk at once');
is(rows("SELECT bytes = current_lsn - durable_lsn AND bytes = pg_current_wal_insert_lsn() - '$durable'::pg_lsn FROM forge_backup.data_at_risk"), 't', 'with its bytes');
is(at_risk("since <= clock_timestamp() AND since > '$began'::timestamptz - interval '20 s'"), 't', 'since about then');
wait_until('the clock runs', sub { at_risk('seconds') >= 3 });
cmp_ok(at_risk("seconds - extract(epoch FROM clock_timestamp() - '$began')"), '<=', 20, 'no faster than time');
like(fails(q{SELECT forge_backup.wait_archived(timeout => '3 s')}), qr/ERROR:  WAL up to \S+ is not in the storage in time: unavailable: .*\n.*HINT:/s,
	'the barrier says what the store says');
like(fails(q{SET statement_timeout = '1s'; SELECT forge_backup.wait_archived(timeout => NULL)}), qr/statement timeout/, 'and can be cancelled');
my $name = rows("SELECT pg_walfile_name('$durable'::pg_lsn + 100)");

# The history: its newest row is of the five minutes that are not over. What it may say is bounded by the clock and by WAL positions.
sub worst { return rows("SELECT coalesce(max($_[0]), 0) FROM forge_backup.data_at_risk_history WHERE time >= date_bin('5 min', '$began'::timestamptz, '2000-01-01 00:00+00')"); }
rows('INSERT INTO kept SELECT generate_series(100, 20000)');
my $committed = rows("SELECT pg_current_wal_insert_lsn() - '$durable'::pg_lsn");
my $at_commit = rows(q{SELECT extract(epoch FROM clock_timestamp() - '} . $began . q{')});
wait_until('the history has what is at risk', sub { worst('bytes') >= $committed && worst('seconds') >= $at_commit });
cmp_ok(worst('bytes'), '<=', rows("SELECT pg_current_wal_insert_lsn() - '$durable'::pg_lsn"), 'the worst of it is no more than has been written');
cmp_ok(worst('seconds'), '<=', rows(q{SELECT extract(epoch FROM clock_timestamp() - '} . $began . q{')}) + 20, 'and no older than the commit, but for a sample');
is(rows(q{SELECT count(*) FROM forge_backup.data_at_risk_history WHERE time > now() OR time <> date_bin('5 min', time, '2000-01-01 00:00+00')}), 0,
	'each row is of five minutes that began');
my $measured = rows('SELECT json_agg(h ORDER BY time) FROM forge_backup.data_at_risk_history h');
ok(!stored($name), 'what is at risk is not in the store');

# --- after a restart ---------------------------------------------------------------------------------------------------

$node->restart;
isnt(at_risk('state'), 'durable', 'a restart makes nothing durable');
{
	# Meanwhile the last row may have grown.
	my ($then, $now) = map { decode_json($_) } $measured, rows('SELECT json_agg(h ORDER BY time) FROM forge_backup.data_at_risk_history h');
	my $last = $#$then;
	is_deeply([ map { $_->{time} } @$now[ 0 .. $last ] ], [ map { $_->{time} } @$then ], 'the history survives a restart');
	cmp_ok($now->[$last]{$_}, '>=', $then->[$last]{$_}, "with the $_ of it") for qw(seconds bytes);
}
$store->script;
rows('SELECT forge_backup.wait_archived(timeout => NULL)');
ok(stored($name), 'the store is back, and so is the barrier');
is(at_risk('state, bytes, seconds'), 'durable|0|0', 'nothing is at risk any more');
# As if five minutes had passed meanwhile: the rows that were kept are that much older.
$node->stop;
my $kept = $node->data_dir . '/forge_backup/data_at_risk';
write_text($kept, read_text($kept) =~ s/^(\d+)/$1 - 300_000_000/gemr);
my $healed = time();
$node->start;
wait_until('a look finds the archive whole', sub { at_risk('state, bytes, seconds') eq 'durable|0|0' });
my $since_healed = "FROM forge_backup.data_at_risk_history WHERE time > to_timestamp($healed - 300)";
wait_until('the history goes on', sub { rows("SELECT count(*) $since_healed") });
is(rows("SELECT seconds, bytes $since_healed"), '0|0', 'healed: nothing is at risk in the next five minutes');

# --- dropped WAL -------------------------------------------------------------------------------------------------------

# What is given up is at risk for good, until a base backup bridges it.
$store->script({ match => { bucket => "^$bucket->{name}\$" }, do => { status => 503, code => 'ServiceUnavailable' } });
$durable = at_risk('durable_lsn');
$node->append_conf('postgresql.conf', "forge_backup.backlog_limit = '2MB'\n");
$node->reload;
my $polls = 0;
wait_until('WAL is dropped', sub {
	# After some failures the server tries again when a segment is finished.
	if ($polls++ % 20 == 0) { rows('INSERT INTO kept VALUES (5)'); switch_wal($node); }
	return rows('SELECT dropped_count > 0 FROM forge_backup.archive_status') eq 't';
});
isnt(at_risk('state'), 'durable', 'WAL that was dropped is not durable');
is(at_risk("durable_lsn IS NULL OR durable_lsn <= '$durable'"), 't', 'and nothing beyond it is');
like(fails(q{SELECT forge_backup.wait_archived(timeout => '1 s')}), qr/is not in the storage in time/, 'the barrier does not let through');
$store->script;
$node->append_conf('postgresql.conf', "forge_backup.backlog_limit = 0\n");
$node->reload;
wait_until('a base backup bridges it', sub {
	return rows('SELECT count(*) > 0 FROM forge_backup.gaps') eq 't'
	  && rows(q{SELECT count(*) FROM forge_backup.gaps WHERE state = 'open'}) == 0;
});
rows('SELECT forge_backup.wait_archived(timeout => NULL)');
is(at_risk('state, bytes, seconds'), 'durable|0|0', 'and nothing is at risk any more');

# --- a standby, and its promotion --------------------------------------------------------------------------------------

my $standby = forge_standby($node, 'standby');
sub there { return $standby->safe_psql('postgres', $_[0]); }
is(there('SELECT state, durable_lsn, bytes, seconds, since FROM forge_backup.data_at_risk'), 'standby||||', 'a standby puts nothing at risk');
my (undef, undef, $refused) = $standby->psql('postgres', 'SELECT forge_backup.wait_archived()');
like($refused, qr/the server is a standby: its WAL is the primary's to archive/, 'the barrier refuses there');
my $cloned = there('SELECT clock_timestamp()');
rows('INSERT INTO kept VALUES (6)');
$node->wait_for_catchup($standby);
is(there(qq{SELECT count(*) FROM forge_backup.data_at_risk_history WHERE time > '$cloned'}), 0, 'nor does its history go on');
$node->stop('immediate');
$standby->promote;
my $inserted = there('INSERT INTO kept VALUES (7); SELECT pg_current_wal_insert_lsn()');
isnt(there('SELECT state FROM forge_backup.data_at_risk'), 'durable', 'after a promotion nothing is claimed');
my $reached = there('SELECT forge_backup.wait_archived(timeout => NULL)');
is(there("SELECT '$reached'::pg_lsn >= '$inserted'::pg_lsn"), 't', 'the barrier covers what was written on the new timeline');
my $file = there("SELECT pg_walfile_name('$inserted'::pg_lsn - 1)");
like($file, qr/^00000002/, 'which it is');
ok(stored($file), 'and its segment is in the store');
ok(stored('00000002.history'), 'with the history');
wait_until('nothing is at risk on the new timeline', sub {
	there('SELECT forge_backup.wait_archived()');
	return there('SELECT state, bytes, seconds FROM forge_backup.data_at_risk') eq 'durable|0|0';
});

# --- off ---------------------------------------------------------------------------------------------------------------

my $off = forge_node('off', storage => undef);
is($off->safe_psql('postgres', q{SELECT pg_switch_wal() IS NOT NULL}), 't', 'a server without a store');
wait_until('it knows', sub { $off->safe_psql('postgres', 'SELECT state FROM forge_backup.data_at_risk') eq 'off' });
is($off->safe_psql('postgres', 'SELECT count(*) FROM forge_backup.data_at_risk_history'), 0, 'and has no history of it');
my (undef, undef, $error) = $off->psql('postgres', 'SELECT forge_backup.wait_archived()');
like($error, qr/there is no storage configured: WAL is dropped/, 'the barrier refuses there');

done_testing();
