# A base backup taken on a standby; and what becomes of it when the standby is promoted meanwhile.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = forge_node('primary');
my $bucket = bucket_of($primary);
$primary->safe_psql('postgres', 'CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 20000) i');
my $standby = forge_standby($primary, 'standby');
$primary->safe_psql('postgres', 'INSERT INTO t SELECT i, $$late$$ FROM generate_series(1, 100) i; CHECKPOINT');
$primary->wait_for_catchup($standby);

# The primary goes on writing, so that its segments get archived: the standby waits for those it needs.
$primary->safe_psql('postgres', 'CREATE TABLE tick (at timestamptz)');
my $session = $standby->background_psql('postgres');
$session->query_until(qr/started/, "\\echo started\nSELECT forge_backup.trigger_basebackup();\n\\echo finished\n");
my $before = () = backup_names($bucket);
wait_until('the backup of the standby is there', sub {
	$primary->safe_psql('postgres', 'INSERT INTO tick VALUES (now()); SELECT pg_switch_wal()');
	return backup_names($bucket) > $before;
}, 120);
my $name = (backup_names($bucket))[-1];
$session->quit;
my $sentinel = sentinel_of($bucket, $name);
is($sentinel->{DataDir}, $standby->data_dir, 'a backup can be taken on a standby');
is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 't', 'which stays one');

# It restores.
my $checksum = table_checksum($primary, 't');
wait_archived($primary);
my $restored = restore_node('restored', $primary, cli => [ '--backup', $name, '--target-action', 'promote' ]);
if (start_restored($restored))
{
	wait_until('promoted', sub { $restored->safe_psql('postgres', 'SELECT NOT pg_is_in_recovery()') eq 't' });
	is(table_checksum($restored, 't'), $checksum, 'a backup taken on a standby restores');
	amcheck_ok($restored, 'pg_amcheck finds nothing wrong in it');
	$restored->stop;
}

# Promotion in the middle.
$standby->append_conf('postgresql.conf', "forge_backup.disk_rate_limit = 2000000");
$standby->reload;
$primary->safe_psql('postgres', 'CHECKPOINT; SELECT pg_switch_wal()');
my @before = backup_names($bucket);
$standby->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(wait => false)');
$standby->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_stat_progress_basebackup WHERE backup_streamed > 0');
my $offset = log_size($standby);
$primary->stop;
$standby->promote;
wait_until('the log says that the backup failed',
	sub { log_since($standby, $offset) =~ /(?:ERROR|WARNING|FATAL|LOG):.*backup.*promot|promot.*backup/i });
is_deeply([ grep { /^base_00000001/ } backup_names($bucket) ], \@before, 'P4: a backup whose standby was promoted leaves no sentinel');
$standby->append_conf('postgresql.conf', "forge_backup.disk_rate_limit = 0");
$standby->reload;
wait_until('a new backup is on the new timeline', sub { grep { /^base_00000002/ } backup_names($bucket) }, 120);
pass('P4: and a new one is made on the new timeline');

done_testing();
