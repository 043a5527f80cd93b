# A standby goes on with its base backup when its primary dies and another member takes over: the backup begins on one
# timeline and ends on the next.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = forge_node('primary', conf => "forge_backup.schedule = ''\n");
my $bucket = bucket_of($primary);
$primary->safe_psql('postgres', q{CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 20000) i; CREATE TABLE tick (at timestamptz)});
my $maker = forge_standby($primary, 'maker', conf => "forge_backup.backup_from = 'standby'\nforge_backup.disk_rate_limit = 4000000\n");
my $heir = forge_standby($primary, 'heir');
$primary->safe_psql('postgres', 'INSERT INTO t SELECT i, $$late$$ FROM generate_series(1, 100) i; CHECKPOINT');
$primary->wait_for_catchup($_) for $maker, $heir;
# The backup begins where the standby has its last restartpoint.
$maker->safe_psql('postgres', 'CHECKPOINT');
my @before = backup_names($bucket);

$maker->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(wait => false)');
$maker->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_stat_progress_basebackup WHERE backup_streamed > 0');
$primary->safe_psql('postgres', 'INSERT INTO t SELECT i, $$last words$$ FROM generate_series(1, 100) i; SELECT pg_switch_wal()');
$primary->wait_for_catchup($_) for $maker, $heir;
$primary->stop;
$heir->promote;
$maker->append_conf('postgresql.conf', "primary_conninfo = '" . $heir->connstr . " application_name=maker'");
$maker->reload;
$heir->safe_psql('postgres', 'INSERT INTO t SELECT i, $$of the heir$$ FROM generate_series(1, 100) i');
$heir->safe_psql('postgres', 'CHECKPOINT');
$heir->wait_for_catchup($maker);
# Until a standby has written something of the new timeline, its backup ends on the old one.
$maker->safe_psql('postgres', 'CHECKPOINT');
is($maker->safe_psql('postgres', 'SELECT count(*) FROM pg_stat_progress_basebackup'), '1',
	'P4: the backup goes on while the standby follows another primary');
$maker->append_conf('postgresql.conf', 'forge_backup.disk_rate_limit = 0');
$maker->reload;

my $name;
wait_until('the backup of the standby is there', sub {
	$heir->safe_psql('postgres', 'INSERT INTO tick VALUES (now()); SELECT pg_switch_wal()');
	($name) = grep { sentinel_of($bucket, $_)->{DataDir} eq $maker->data_dir } backup_names($bucket);
	return defined $name;
}, 120);
like($name, qr/^base_00000001/, 'P4: it has the name of the timeline on which it began');
is(sentinel_of($bucket, $name)->{ForgeFinishTimeline}, 2, 'P4: and says on which one it ended');
is(scalar(@{[ backup_names($bucket) ]}), @before + 1, 'P4: the new primary makes none of its own');

# What everybody asks of it.
my $at_end = table_checksum($heir, 't');
wait_archived($heir);
my @env = ('--env-dir', env_dir_of($heir));
cli_ok(@env, 'verify', $name, 'verify finds the backup whole');
my $plan = decode_json(cli_ok(@env, 'plan', '--backup', $name, '--json', 'a plan can be made with it'));
like($plan->{timelines}, qr{^1\b.*\b2$}, 'which leads from the old timeline to the new one');
is($heir->safe_psql('postgres', q{SELECT count(*) FROM forge_backup.check() WHERE "check" = 'base_backups' AND level <> 'ok'}), '0',
	'check() of the new primary is content with it');
for my $target ('latest', 'current')
{
	my $restored = restore_node("restored_$target", $heir, cli => [ '--backup', $name, '--target-timeline', $target, '--target-action', 'promote' ]);
	my @ours = map { ('-i', $_) } qw(postgresql.conf postgresql.auto.conf recovery.signal forge_backup.restored);
	$restored->command_ok([ 'pg_verifybackup', '-n', '-q', @ours, $restored->data_dir ], 'pg_verifybackup accepts it');
	next unless start_restored($restored);
	wait_until('promoted', sub { $restored->safe_psql('postgres', 'SELECT NOT pg_is_in_recovery()') eq 't' });
	is(table_checksum($restored, 't'), $at_end, "P4: it restores to timeline $target");
	amcheck_ok($restored, 'pg_amcheck finds nothing wrong in it');
	$restored->stop;
}
$_->stop for $maker, $heir;

done_testing();
