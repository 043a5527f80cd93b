# The plan of a restore against the restore itself: bytes, time, what would be refused, and commit times of the server.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# What vacuums by itself would write WAL between two answers that are to be the same.
my $node = forge_node('primary', conf => "track_commit_timestamp = on\nautovacuum = off\nforge_backup.delta_max_steps = 2\n");
my $env = env_dir_of($node);
my $bucket = bucket_of($node);

# A full backup that takes a moment to fetch, a delta, and WAL that takes a moment to replay.
$node->safe_psql('postgres', q{CREATE TABLE big AS SELECT i, md5(i::text) || md5((-i)::text) AS t FROM generate_series(1, 1500000) i});
my $full = $node->safe_psql('postgres', q{SELECT forge_backup.trigger_basebackup("full" => true)});
$node->safe_psql('postgres', 'UPDATE big SET t = upper(t) WHERE i % 1000 = 0');
my $delta = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
$node->safe_psql('postgres', 'UPDATE big SET t = lower(t) WHERE i <= 400000');
$node->safe_psql('postgres', "SELECT pg_create_restore_point('updated')");
wait_archived($node);
my $after_update = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
my $marked_xid = $node->safe_psql('postgres', 'INSERT INTO big VALUES (0) RETURNING pg_current_xact_id()::xid');
my $committed = $node->safe_psql('postgres', "SELECT pg_xact_commit_timestamp('$marked_xid'::xid)");
my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
wait_archived($node);

# Every kind of target: SQL and command say the same, the measured rates apart.
for my $target (
	[ [], '' ],
	[ [ '--target-time', $after_update ], "target_time => '$after_update'" ],
	[ [ '--target-lsn', $lsn ], "target_lsn => '$lsn'" ],
	[ [ '--target-xid', $marked_xid ], "target_xid => '$marked_xid'" ],
	[ [ '--target-name', 'updated' ], "target_name => 'updated'" ],
	[ [ '--target-time', '2200-01-01 00:00:00+00' ], "target_time => '2200-01-01 00:00:00+00'" ])
{
	my ($options, $arguments) = @$target;
	my $by_command = plan_of(@$options);
	my $by_sql = decode_json($node->safe_psql('postgres', "SELECT json_object_agg(name, value) FROM forge_backup.restore_config($arguments)"));
	my @same = grep { !/^(restore_command|command|estimate.*|commit_time)$/ } sort keys %$by_sql;
	is(join("\n", map { "$_ = " . ($by_sql->{$_} // '') } @same), join("\n", map { "$_ = " . ($by_command->{$_} // '') } @same),
		"restore_config($arguments) and plan say the same");
	is($by_sql->{backup_chain}, "$delta -> $full", 'the chain is named');
	ok($by_sql->{estimated_minutes} > 0, 'and how long it takes');
}

# Bytes, against the bucket.
my $plan = plan_of();
my @parts = grep { m{^basebackups_005/(\Q$full\E|\Q$delta\E)/tar_partitions/} } tree($bucket);
is($plan->{backup_fetch_bytes}, total(map { -s "$bucket/$_" } @parts), 'the bytes of the chain are those of its parts');
my @wal = grep { m{^wal_005/([0-9A-F]{24})(\.\w+)?$} && $1 ge $plan->{first_segment} && $1 le $plan->{last_segment} } tree($bucket);
is(scalar(@wal), $plan->{segments}, 'the segments are counted');
is($plan->{wal_fetch_bytes}, total(map { -s "$bucket/$_" } @wal), 'and their bytes');

# The exact commit time is the server's.
is( $node->safe_psql('postgres', "SELECT value FROM forge_backup.restore_config(target_xid => '$marked_xid') WHERE name = 'commit_time'"),
	$committed, 'the commit time of a transaction is the exact one');

# Out of reach: the nearest, and why.
my $beyond = plan_of('--target-time', '2200-01-01 00:00:00+00');
is($beyond->{exact}, 'no', 'a target after the end becomes the nearest one');
like($beyond->{refused}, qr/without --nearest: .*after the last archived transaction/, 'and it is said that a restore refuses it');
cli_fails('plan', '--env-dir', $env, '--target-time', '2000-01-01 00:00:00+00', 1, qr/before the first backup ended/,
	'nothing is before the first backup');

# Time, against a real restore; the rates are taken before and after it. Other work on the machine comes and goes, which neither
# can know of: what is within a factor of two in one of three tries is a matter of the machine.
my ($real, $estimate);
for my $try (1 .. 3)
{
	my @estimates = (plan_of()->{estimated_minutes} * 60);
	my $start = time;
	my $restored = restore_node("restored$try", $node, cli => [ '--target-action', 'promote' ]);
	ok(start_restored($restored), 'the restore');
	wait_until('the end of recovery', sub { $restored->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 'f' });
	$real = time - $start;
	note($restored->{forge}{output});
	is($restored->safe_psql('postgres', 'SELECT count(*) FROM big'), 1500001, 'all is there');
	$restored->stop;
	push @estimates, plan_of()->{estimated_minutes} * 60;
	note(sprintf 'real %.2f s, estimated %.2f s and %.2f s; %s', $real, @estimates, $plan->{estimate_basis});
	$estimate = ($estimates[0] + $estimates[1]) / 2;
	last if $estimate < 2 * $real && $estimate > $real / 2;
}
cmp_ok($estimate, '<', 2 * $real, 'the estimate is not more than twice the time');
cmp_ok($estimate, '>', $real / 2, 'nor less than half of it');

# Holes on the way (R2).
my $hole = name_after($plan->{first_segment}, 1);
my ($key) = grep { /\Q$hole\E\./ } @wal;
rename("$bucket/$key", "$bucket/hole") or die $!;
my $broken = plan_of('--target-lsn', $lsn);
like($broken->{missing_segments}, qr/\Q$hole\E/, 'R2: a hole is named');
like($broken->{refused}, qr/beyond a hole.*\Q$hole\E/, 'R2: and why a restore refuses to go on');
rename("$bucket/hole", "$bucket/$key") or die $!;

# A chain that is not whole.
my ($part) = grep { m{/\Q$full\E/.*/part_} } @parts;
rename("$bucket/$part", "$bucket/part") or die $!;
like(plan_of()->{refused}, qr/\Q$full\E/, 'a chain with a missing part is refused by name');
is(plan_of()->{estimated_minutes}, '', 'and nobody says how long it takes');
rename("$bucket/part", "$bucket/$part") or die $!;
$node->stop;

done_testing();

sub plan_of { return decode_json(cli_ok('plan', '--env-dir', $env, '--json', @_, 'plan ' . join(' ', @_))) }

sub total
{
	my $sum = 0;
	$sum += $_ for @_;
	return $sum;
}
