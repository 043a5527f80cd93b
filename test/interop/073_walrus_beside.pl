# H7: another implementation works by cron in the prefix that the server archives to: base backups at the same moment, the same
# WAL from both, deletions by both. What is left is whole and restores, whoever made it.
use strict;
use warnings;

use ForgeInterop;
use ForgeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('server', conf => "wal_keep_size = '64MB'\nforge_backup.compression = 'lz4'\nforge_backup.schedule = ''\n");
my $bucket = bucket_of($node);
my $script = walrus_script(variables($bucket, 'zstd', $node->{forge}{key_file}),
	PGHOST => $node->host, PGPORT => $node->port, PGUSER => $node->safe_psql('postgres', 'SELECT current_user'));
my $env = env_dir_of($node);
fill_database($node);
my ($first) = backup_names($bucket);

# --- base backups at the same moment -------------------------------------------------------------------------------------

# Slow enough for each to be at work while the other is.
$node->append_conf('postgresql.conf', "forge_backup.disk_rate_limit = '8MB'\n");
$node->reload;
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(wait => false)');
$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_stat_progress_basebackup WHERE backup_streamed > 0');
my ($cron_out, $cron_err) = ('', '');
my $cron = IPC::Run::start([ $script, 'backup-push', '--fast', '--full', $node->data_dir ], '<', \'', '>', \$cron_out, '2>', \$cron_err, IPC::Run::timeout(180));
ok(status_value($node, 'backup') =~ /copying/, 'H7: WAL-RUS begins a base backup while the server makes one');
change_database($node, 1);
ok($cron->finish, 'H7: WAL-RUS completes its own') or diag("$cron_out$cron_err");
wait_until('H7: and the server its own', sub { backup_names($bucket) == 3 }, 120);
my @both = grep { $_ ne $first } backup_names($bucket);
for my $backup (@both)
{
	like(walrus_ok($script, 'backup-list', 'H7: WAL-RUS lists the backups'), qr/\Q$backup\E/, "H7: $backup among them");
	like(cli_ok('backup-list', '--env-dir', $env, 'H7: we list the backups'), qr/\Q$backup\E/, "H7: $backup among them");
}

# --- the same WAL from both ----------------------------------------------------------------------------------------------

my $ours = wait_archived($node);
my $path = $node->data_dir . "/pg_wal/$ours";
my $content = read_text($path);
walrus_ok($script, 'wal-push', $path, 'H7: WAL-RUS pushes WAL that is there');
is(fetched($ours), $content, 'H7: which comes back as it was');
# The other one is first: the server finds a segment there when it comes to archive it.
set_archiving($node, 'off');
my $theirs = switch_wal($node);
walrus_ok($script, 'wal-push', $node->data_dir . "/pg_wal/$theirs", 'H7: WAL-RUS pushes WAL before the server does');
set_archiving($node, 'on');
wait_archived($node, $theirs);
is(fetched($theirs), read_text($node->data_dir . "/pg_wal/$theirs"), 'H7: the server takes the same content for archived');
is(status_value($node, 'archive_problem'), '', 'H7: and has no problem with it');
cli_ok({ env => { PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres' } }, 'wal-verify', '--env-dir', $env, 'H7: no hole in the WAL');

# --- deletions by both ---------------------------------------------------------------------------------------------------

change_database($node, 2);
wait_archived($node);
my $rows = fingerprint($node);
walrus_ok($script, 'delete', 'retain', 'FULL', '2', '--confirm', 'H7: WAL-RUS keeps two full backups');
is_deeply([ sort(backup_names($bucket)) ], [ sort(@both) ], 'H7: the newest two, whoever made them');
restores($_) for @both;
my $last = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)');
cli_ok('delete', '--env-dir', $env, 'retain', 'FULL', '2', '--confirm', 'H7: we keep two full backups');
my @left = sort(backup_names($bucket));
is(scalar @left, 2, 'H7: two are left');
is($left[-1], $last, 'H7: the newest among them');
wait_archived($node);
restores($_) for @left;
like(walrus_ok($script, 'backup-list', 'H7: WAL-RUS lists what is left'), qr/\Q$left[0]\E/, 'H7: among it the older one');
is(status_value($node, 'missing_wal'), '', 'H7: the server misses no WAL');

done_testing();

# --- helpers -------------------------------------------------------------------------------------------------------------

sub fetched
{
	my ($segment) = @_;
	my $to = new_directory('fetched') . "/$segment";
	cli_ok('wal-fetch', '--env-dir', $env, '--prefetch', 0, $segment, $to, "H7: $segment is fetched");
	return -e $to ? read_text($to) : '';
}

# Off: WAL waits, as behind a store that does not answer.
sub set_archiving
{
	my ($server, $on) = @_;
	my $storage = $on eq 'on' ? "file://$bucket" : 'file:///nowhere/here';
	$server->safe_psql('postgres', "ALTER SYSTEM SET forge_backup.storage = '$storage'");
	$server->reload;
	wait_until("archiving is $on", sub { status_value($server, 'storage') eq $storage || status_value($server, 'configuration_problem') ne '' });
	return;
}

my $restored_count = 0;
sub restores
{
	my ($backup) = @_;
	my (undef, $found) = forge_cli('verify', '--env-dir', $env, '--json', $backup);
	is_deeply([ grep { $_->{level} eq 'error' } @{ decode_json($found)->{findings} } ], [], "H7: verify finds no error in $backup");
	my $restored = restore_node('restored' . ++$restored_count, undef, env_dir => $env,
		cli => [ '--backup', $backup, '--tablespace-mapping', tablespace_oid() . '=' . new_directory('moved') ]);
	is_restored(restored_cluster($restored), $rows, "H7: $backup is restored to the same rows");
	return;
}
sub tablespace_oid { return $node->safe_psql('postgres', "SELECT oid FROM pg_tablespace WHERE spcname = 'space'"); }
