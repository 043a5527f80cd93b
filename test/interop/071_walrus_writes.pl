# R8: what another implementation writes is read by us: full backups, deltas, backups over the replication protocol and
# WAL of WAL-RUS, for every method, with a key and without, and a server recovers to the same rows.
use strict;
use warnings;

use ForgeInterop;
use ForgeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('writer');
$node->init(allows_streaming => 1, extra => [ '--wal-segsize=1', '-k', '--locale=C.UTF-8', '-E', 'UTF8' ]);
$node->append_conf('postgresql.conf', "log_statement = none\narchive_mode = on\narchive_command = ''\n");
$node->start;
fill_database($node);
my %server = (PGHOST => $node->host, PGPORT => $node->port, PGUSER => $node->safe_psql('postgres', 'SELECT current_user'));

my $round = 0;
for my $combination (combinations())
{
	my ($name, $method, $key) = @$combination;
	my $bucket = new_directory('bucket');
	my %variable = variables($bucket, $method, $key);
	my $script = walrus_script(%variable, %server);
	$node->safe_psql('postgres', "ALTER SYSTEM SET archive_command = '$script wal-push %p'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('archive_command') = '$script wal-push %p'");
	# The WAL before it went to the store before.
	wait_archived($node);
	wait_until("$name: WAL goes to the new store", sub { wait_archived($node); wal_names($bucket) > 0 });
	walrus_ok($script, 'backup-push', '--fast', $node->data_dir, "R8: $name: WAL-RUS makes a full backup");
	change_database($node, ++$round);
	wait_archived($node);
	walrus_ok($script, 'backup-push', '--fast', $node->data_dir, "R8: $name: WAL-RUS makes a delta");
	my ($full, $delta) = backups_of($bucket);
	my @backups = ($full, $delta);
	ok($delta, "R8: $name: it is one") or pop @backups;
	cmp_ok(increments_in($bucket, $delta), '>', 3, "R8: $name: with increments") if $delta;
	if ($method eq 'zstd')
	{
		walrus_ok($script, 'backup-push', '--fast', '--full', "R8: $name: WAL-RUS makes a backup by the replication protocol");
		push @backups, (sort grep { !/_D_/ } backup_names($bucket))[-1];
	}
	change_database($node, ++$round);
	wait_archived($node);
	my $rows = fingerprint($node);
	my $env = env_dir_of({ forge => {} }, %variable);
	my $list = cli_ok('backup-list', '--env-dir', $env, "R8: $name: we list the backups");
	ok(index($list, $_) >= 0, "R8: $name: $_ is listed") for @backups;
	for my $backup (@backups)
	{
		my (undef, $found) = forge_cli('verify', '--env-dir', $env, '--json', $backup);
		is_deeply([ grep { $_->{level} eq 'error' } @{ decode_json($found)->{findings} } ], [], "R8: $name: verify finds no error in $backup");
		my $restored = restore_node("r$backup", undef, env_dir => $env,
			cli => [ '--backup', $backup, '--tablespace-mapping', tablespace_oid() . '=' . new_directory('moved') ]);
		is_restored(restored_cluster($restored), $rows, "R8: $name: $backup restored by us");
	}
}

done_testing();

sub tablespace_oid { return $node->safe_psql('postgres', "SELECT oid FROM pg_tablespace WHERE spcname = 'space'"); }
