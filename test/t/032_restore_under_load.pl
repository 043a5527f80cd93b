# A backup made while pgbench runs restores to a clean database, whatever the method of compression and encryption.
use strict;
use warnings;

use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary', conf => "max_connections = 30\n");
$node->command_ok([ 'pgbench', '-i', '-q', '-s', '5', '-h', $node->host, '-p', $node->port, 'postgres' ], 'pgbench fills');
my ($out, $err) = ('', '');

my @variants = ([ 'zstd', 1 ], [ 'lz4', 1 ], [ 'brotli', 1 ], [ 'none', 0 ]);
for my $variant (@variants)
{
	my ($method, $encrypted) = @$variant;
	my $bucket = new_directory('bucket');
	$node->{forge}{bucket} = $bucket;
	$node->{forge}{storage} = "file://$bucket";
	$node->append_conf('postgresql.conf', <<"END");
forge_backup.storage = 'file://$bucket'
forge_backup.compression = '$method'
forge_backup.encryption_key_files = '@{[ $encrypted ? $node->{forge}{key_file} : '' ]}'
END
	$node->reload;
	$node->{forge}{key_file} = undef unless $encrypted;
	my $load = IPC::Run::start([ 'pgbench', '-n', '-c', '4', '-T', '600', '-h', $node->host, '-p', $node->port, 'postgres' ],
		'<', \'', '>', \$out, '2>', \$err);
	# The new store gets its first backup by itself; that one is made while the load runs.
	wait_until("the first backup with $method", sub { backup_names($bucket) > 0 }, 120);
	wait_until('some more transactions', sub { $node->safe_psql('postgres', 'SELECT count(*) > 100 FROM pgbench_history') eq 't' });
	$load->signal('TERM');
	$load->finish;
	my %before = map { $_ => table_checksum($node, $_) } qw(pgbench_accounts pgbench_branches pgbench_history);
	wait_archived($node);

	my $restored = restore_node("with_$method", $node, cli => [ '--target-action', 'promote' ]);
	next unless ok(start_restored($restored), "a backup with $method restores");
	wait_until('promoted', sub { $restored->safe_psql('postgres', 'SELECT NOT pg_is_in_recovery()') eq 't' });
	is(table_checksum($restored, $_), $before{$_}, "$method: $_ is the same") for sort keys %before;
	my ($accounts, $history) = map {
		$restored->safe_psql('postgres', "SELECT sum($_)")
	} '(SELECT sum(abalance) FROM pgbench_accounts)', '(SELECT sum(delta) FROM pgbench_history)';
	is($accounts, $history, "$method: the books balance");
	amcheck_ok($restored, "$method: pg_amcheck finds nothing wrong", '-d', 'postgres', '--heapallindexed');
	$restored->stop;
	$restored->command_ok([ 'pg_checksums', '--check', '-D', $restored->data_dir ], "$method: pg_checksums finds no bad page");
	$restored->clean_node;
}

done_testing();
