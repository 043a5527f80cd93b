# R8, R9: the same both ways over S3 (OpenStack Swift): WAL-RUS and we write into one bucket and restore each other's.
use strict;
use warnings;

use File::Path qw(remove_tree);
use ForgeInterop;
use ForgeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $swift = start_swift();
my $storage = "s3://$swift->{BUCKET}/shared/shop";
my $node = forge_node('writer', storage => $storage,
	conf => swift_conf($swift) . "forge_backup.compression = 'lz4'\nforge_backup.schedule = ''\n");
my $space = fill_database($node);
my %variable = variables($storage, 'lz4', $node->{forge}{key_file}, swift_env($swift));
my $env = env_dir_of($node, %variable);
my $script = walrus_script(%variable, AWS_ENDPOINT_URL => $swift->{ENDPOINT}, PGHOST => $node->host, PGPORT => $node->port,
	PGUSER => $node->safe_psql('postgres', 'SELECT current_user'));

# A full backup by each; all the WAL is ours.
my $ours = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
change_database($node, 1);
my @before = listed();
walrus_ok($script, 'backup-push', '--fast', '--full', $node->data_dir, 'R8: WAL-RUS makes a full backup in our bucket');
my %before = map { $_ => 1 } @before;
my ($theirs) = grep { !$before{$_} } listed();
ok($theirs, 'R8: we list it');
change_database($node, 2);
wait_archived($node);
my $rows = fingerprint($node);
my $oid = $node->safe_psql('postgres', "SELECT oid FROM pg_tablespace WHERE spcname = 'space'");
$node->stop;

my $restored = restore_node('by_us', undef, env_dir => $env,
	cli => [ '--backup', $theirs, '--tablespace-mapping', "$oid=" . new_directory('moved') ]);
is_restored(restored_cluster($restored), $rows, "R8: $theirs of WAL-RUS restored by us from S3");

# WAL-RUS brings the tablespace back to its old place.
rename($space, "$space.source") or die "could not rename \"$space\": $!";
$restored = PostgreSQL::Test::Cluster->new('by_walrus');
remove_tree($space);
walrus_ok($script, 'backup-fetch', $restored->data_dir, $ours, "R9: WAL-RUS fetches $ours from S3");
is_restored(restored_cluster($restored, "$script wal-fetch %f %p"), $rows, "R9: $ours restored by WAL-RUS from S3");

done_testing();

sub listed
{
	my $list = cli_ok('backup-list', '--env-dir', $env, 'the bucket is listed');
	return $list =~ /^(base_\S+)/mg;
}
