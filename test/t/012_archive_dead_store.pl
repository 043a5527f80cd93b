# A store that accepts connections and never answers: the server lives as if it were not there.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $port = black_hole();
my $secrets = new_directory('secrets');
write_text("$secrets/AWS_ACCESS_KEY_ID", "key\n", 0600);
write_text("$secrets/AWS_SECRET_ACCESS_KEY", "hidden-words\n", 0600);
my $node = forge_node('primary', storage => 's3://bucket/prefix', first_backup => 0, conf => <<"END");
forge_backup.s3_endpoint = 'http://127.0.0.1:$port'
forge_backup.s3_region = 'us-east-1'
forge_backup.s3_path_style = on
forge_backup.secret_dir = '$secrets'
END

my @names = map { switch_wal($node) } 1 .. 3;
wait_until('the archiver waits for the store', sub { child_of(archiver_pid($node)) });
$node->safe_psql('postgres', 'CREATE DATABASE victim');
cmp_ok(seconds(sub { $node->safe_psql('postgres', 'DROP DATABASE victim') }), '<', 2,
	'N2: DROP DATABASE returns in under 2 s while an upload hangs');
my $tablespace = new_directory('tablespace');
$node->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '$tablespace'");
cmp_ok(seconds(sub { $node->safe_psql('postgres', 'DROP TABLESPACE space') }), '<', 2,
	'N2: DROP TABLESPACE returns in under 2 s while an upload hangs');
cmp_ok(seconds(sub { $node->psql('postgres', 'SELECT * FROM forge_backup.status()') }), '<', 2,
	'N2: status() answers while the store does not');
is(archive_state($node, $names[0]), 'ready', 'N2: nothing is marked as archived');
cmp_ok(seconds(sub { $node->stop('fast') }), '<', 10, 'P1: a fast stop with a dead store takes under 10 s');

# The queue survives and goes out when the store is there.
my $bucket = new_directory('bucket');
$node->append_conf('postgresql.conf', "forge_backup.storage = 'file://$bucket'");
$node->start;
wait_archived($node, $_) for @names;
ok(!(grep { !-f "$bucket/wal_005/$_.zst" } @names), 'P1: what a stop left behind is archived after the next start');
$node->stop;

# Nobody listens at all.
my $free = PostgreSQL::Test::Cluster::get_free_port();
$node->append_conf('postgresql.conf',
	"forge_backup.storage = 's3://bucket/prefix'\nforge_backup.s3_endpoint = 'http://127.0.0.1:$free'");
$node->start;
my $offset = log_size($node);
# 18 counts the one at the last stop, too.
my $failures = $node->safe_psql('postgres', 'SELECT failed_count FROM pg_stat_archiver');
my $name = switch_wal($node);
wait_until('the failure is counted',
	sub { $node->safe_psql('postgres', "SELECT failed_count > $failures FROM pg_stat_archiver") eq 't' });
like($node->safe_psql('postgres', 'SELECT s FROM forge_backup.status() s'), qr/refused|connect/i,
	'N1: status() shows why archiving fails');
switch_wal($node) for 1 .. 20;
my @lines = log_since($node, $offset) =~ /^.*WARNING:.*(?:refused|connect|unavailable|store).*$/mg;
cmp_ok(scalar @lines, '<=', 4, 'N1: a dead store is said once, not once an attempt') or diag(join("\n", @lines));
cmp_ok(seconds(sub { $node->stop('fast') }), '<', 10, 'P1: a fast stop with a refusing store takes under 10 s');
$node->start;
cmp_ok(seconds(sub { $node->stop('immediate') }), '<', 5, 'P1: so does an immediate stop');

done_testing();
