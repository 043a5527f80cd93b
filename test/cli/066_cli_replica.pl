# forge-backup replica, as Patroni's replica method calls it: a standby from it, lineages and clusters that do not fit, and a store that says nothing.
use strict;
use warnings;

use ForgeTest;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary');
my $env = env_dir_of($node);
$node->safe_psql('postgres', 'CREATE TABLE t AS SELECT i AS id FROM generate_series(1, 1000) i');
my $backup = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
my @usual = ('--threshold_megabytes=100', '--retries=2', '--no_leader=1', '--scope=lab', '--role=replica');

# What Patroni passes, and a standby of it.
my $standby = member_of(PostgreSQL::Test::Cluster->new('standby'), $node);
my ($code, $out, $err) = forge_cli('replica', '--env-dir', $env, @usual, '--datadir=' . $standby->data_dir, '--connstring=' . connection_to($node));
is($code, 0, 'a replica by the arguments of Patroni') or diag($err);
like($err, qr/"--retries=2" is not known and is ignored/, 'what it does not know is ignored with a warning');
ok(-f $standby->data_dir . '/backup_label' && !-e $standby->data_dir . '/recovery.signal', 'the files, and no settings for recovery');
$standby->append_conf('postgresql.conf', 'port = ' . $standby->port . "\nunix_socket_directories = '" . $standby->host
    . "'\nlisten_addresses = ''\nprimary_conninfo = '" . connection_to($node) . " application_name=standby'\nrestore_command = 'forge-backup --env-dir $env wal-fetch %f %p'\n");
write_text($standby->data_dir . '/standby.signal', '');
$standby->start;
$node->safe_psql('postgres', 'INSERT INTO t VALUES (0)');
$node->wait_for_catchup($standby);
is(table_checksum($standby, 't'), table_checksum($node, 't'), 'the standby follows the primary');

# The leader goes on from a point before the newest backup: that one is on no way to its timeline.
$standby->promote;
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
my $other = PostgreSQL::Test::Cluster->new('other');
wait_until('the history is archived', sub { grep { $_ eq '00000002.history' } wal_names(bucket_of($node)) });
($code, $out, $err) = forge_cli('replica', '--env-dir', $env, @usual, '--datadir=' . $other->data_dir, '--connstring=' . connection_to($standby));
is($code, 0, 'a replica of the promoted standby') or diag($err);
like($err, qr/fetching backup "\Q$backup\E"/, 'is made of the backup before they parted, not of the newest one');

# Another cluster's bucket.
my $stranger = PostgreSQL::Test::Cluster->new('stranger');
$stranger->init;
$stranger->start;
my $nowhere = new_directory('nowhere') . '/data';
cli_fails('replica', '--env-dir', $env, "--datadir=$nowhere", '--connstring=' . connection_to($stranger), 1, qr/is of another cluster/, 'another cluster is refused');
ok(!-e $nowhere, 'and nothing is left');
$stranger->stop;
cli_fails('replica', '--env-dir', $env, "--datadir=$nowhere", '--connstring=' . connection_to($stranger), 1, qr/the leader cannot be asked/, 'a leader that does not answer');

# Without a leader the newest timeline counts.
mkdir $nowhere or die "could not make $nowhere: $!";
cli_ok('replica', '--env-dir', $env, '--datadir', $nowhere, '--connstring=', 'without a leader');
ok(-f "$nowhere/global/pg_control", 'the directory is complete');

# A store that takes the connection and says nothing.
my $silent = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1') or die "could not listen: $!";
my $dead = new_directory('dead') . '/data';
local $ENV{AWS_ACCESS_KEY_ID} = 'x';
local $ENV{AWS_SECRET_ACCESS_KEY} = 'y';
my $took = seconds(sub {
	($code, $out, $err) = forge_cli('replica', '--storage', 's3://bucket/prefix', '--s3-endpoint', 'http://127.0.0.1:' . $silent->sockport,
		'--s3-region', 'us-east-1', '--budget', 5, "--datadir=$dead", '--connstring=' . connection_to($node));
});
is($code, 1, 'a silent store fails');
cmp_ok($took, '<', 30, 'within its budget');
ok(!-e $dead, 'and leaves nothing');

# A part that is gone: what was fetched before goes as well.
my ($part) = grep { m{\Q$backup\E/tar_partitions/pg_control} } tree(bucket_of($node));
unlink bucket_of($node) . "/$part";
mkdir $dead or die "could not make $dead: $!";
cli_fails('replica', '--env-dir', $env, "--datadir=$dead", '--connstring=' . connection_to($standby), 1, qr/pg_control/, 'a damaged backup fails');
is_deeply([ slurp_dir($dead) ], [ '.', '..' ], 'and the directory is as it was');
$_->stop for $standby, $node;
done_testing();

sub connection_to
{
	my ($server) = @_;
	return 'dbname=postgres user=postgres host=' . $server->host . ' port=' . $server->port;
}
