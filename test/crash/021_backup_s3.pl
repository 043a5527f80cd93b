# A base backup that is killed in the middle of a multipart upload, on a real S3 server: OpenStack Swift.
use strict;
use warnings;

use ForgeCrash;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $swift = start_swift();
my $node = crash_node('primary', storage => "s3://$swift->{BUCKET}/shop", conf => swift_conf($swift) . "forge_backup.compression = 'none'\n");
my $env = env_dir_of($node, swift_env($swift));
$node->safe_psql('postgres', "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) AS v FROM generate_series(1, 60000) i");

sub unfinished { return grep { m{/shop/basebackups_005/} } split /\n/, s3cmd($swift, 'multipart', "s3://$swift->{BUCKET}"); }

for my $point ('upload-begun', 'upload-parts-sent')
{
	arm($point);
	my ($code) = $node->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	ok($code != 0 && !is_armed($point), "C7 S19: killed at $point, who asked is told");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM forge_backup.backup_list()'), 1, 'C7: there is no backup more');
my @left = unfinished();
cmp_ok(scalar(@left), '>=', 2, 'S19: unfinished uploads are left');

my $offset = log_size($node);
like($node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()'), qr/^base_/, 'C7: the next attempt succeeds');
log_lacks($node, $offset, qr/WARNING|ERROR/, 'C7: without a complaint');
my @now = unfinished();
is(join("\n", @now), join("\n", @left), 'S19: young uploads stay, since somebody may be at work on them');
same_restored('restored', $node, 't', 'C7: a restore has every row', env_dir => $env);

$node->stop;
done_testing();
