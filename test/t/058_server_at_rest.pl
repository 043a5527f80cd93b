# A server that does nothing, and standbys of standbys: nothing is forced, nothing is claimed, nobody archives who should not.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# P25: with a short archive_timeout whatever writes WAL of its own accord would give a segment a second.
my $node = forge_node('primary', conf => "archive_timeout = '1s'\nforge_backup.schedule = ''\n");
my $bucket = bucket_of($node);
# What reads a page first after a checkpoint may write WAL: a hint in it, where pages have checksums.
my $findings = q{SELECT string_agg("check" || ': ' || detail, '; ') FROM forge_backup.check() WHERE level <> 'ok' AND "check" <> 'fsync'};
$node->safe_psql('postgres', $_) for $findings, 'SELECT * FROM forge_backup.status()', 'SELECT * FROM forge_backup.archive_status';
my ($seen, $since) = ('', time());
ok( wait_until('the server is at rest', sub {
		my $now = $node->safe_psql('postgres', 'SELECT pg_walfile_name(pg_current_wal_lsn())');
		($seen, $since) = ($now, time()) if $now ne $seen;
		return time() - $since > 8;
	}),
	'P25: an idle server writes no segment after another');
my @kept = wal_names($bucket);
is($node->safe_psql('postgres', $findings), '', 'P25: check() sees no data at risk');
is($node->safe_psql('postgres', q{SELECT string_agg(name, ' ') FROM forge_backup.status() WHERE name LIKE '%problem'}),
	'', 'P25: status() names no problem');
is($node->safe_psql('postgres', 'SELECT backlog_files FROM forge_backup.archive_status'), '0', 'P25: and there is no backlog');
is(join(' ', wal_names($bucket)), join(' ', @kept), 'P25: nothing new was archived meanwhile');

# H10: a standby, one behind it that is delayed, and one that archives what it gets.
my $standby = forge_standby($node, 'standby');
my $delayed = forge_standby($standby, 'delayed', wait => 0, conf => "recovery_min_apply_delay = '1h'\n");
my $always = forge_standby($standby, 'always', wait => 0, conf => "archive_mode = always\nrecovery_min_apply_delay = '1h'\n");
my @names = map { wait_archived($node) } 1 .. 3;
my %inode = map { $_ => (stat "$bucket/wal_005/$_.zst")[1] } @names;
for my $other ($standby, $delayed, $always)
{
	wait_until($other->name . ' has the WAL', sub { -e $other->data_dir . "/pg_wal/$names[-1]" && archive_state($other, $names[-1]) eq 'done' });
}
for my $other ($standby, $delayed)
{
	my $who = $other->name;
	is(archiver_pid($other), '', "H10: $who: with archive_mode = on no archiver runs");
	is($other->safe_psql('postgres', 'SELECT archived_count + failed_count FROM pg_stat_archiver'), '0', "H10: $who: nothing was archived");
}
is($always->safe_psql('postgres', 'SELECT archived_count >= 3 AND failed_count = 0 FROM pg_stat_archiver'), 't',
	'P7 H10: a delayed standby with archive_mode = always accepts what is stored');
is(join(' ', map { (stat "$bucket/wal_005/$_.zst")[1] } @names), join(' ', @inode{@names}),
	'P7 H10: and leaves the objects as they are');
is($delayed->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', 'H10: the delayed one still waits');

done_testing();
