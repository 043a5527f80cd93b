# forge-backup clone, as Patroni's bootstrap method calls it: targets, the site that the prefix lacks, the marker, and what fails before anything is touched.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = new_directory('root');
mkdir "$root/$_" or die "could not make $_: $!" for 'spilo', 'spilo/site-shop', 'spilo/site-shop/wal', 'spilo/shop', 'spilo/other';
my $prefix = "file://$root/spilo/site-shop/wal/15";
my $node = forge_node('shop', storage => $prefix);
$node->safe_psql('postgres', 'CREATE TABLE t (id int)');
my @moment;
for my $row (1 .. 3)
{
	$node->safe_psql('postgres', "INSERT INTO t VALUES ($row)");
	push @moment, $node->safe_psql('postgres', q{SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') FROM pg_sleep(0.05)});
}
wait_archived($node);
my $before = $node->safe_psql('postgres', q{SELECT to_char((SELECT min(start_time) FROM forge_backup.backup_list()) - interval '1 day', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')});

# The time lies between the second row and the third; options in both forms, with some that nobody knows.
my $env = env_dir_of($node);
my $clone = new_clone('second');
cli_ok('clone', '--env-dir', $env, "--recovery-target-time=$moment[1]", '--scope=shop2', '--datadir', $clone->data_dir,
	'--some_key=x', 'clone to a moment');
is(rows_of($clone), '1 2', 'has the rows of that moment');
my $marker = read_text($clone->data_dir . '/forge_backup.restored');
like($marker, qr/^source = \Q$prefix\E$/m, 'the marker names the source');
like($marker, qr/^source_cluster = shop$/m, "its cluster, by its owner's record");
like($marker, qr/^system_identifier = \d{10,}$/m, 'its system identifier');
like($marker, qr/^target = .*\d\d:\d\d.*$/m, 'the target');
like($marker, qr/^reached = \d{4}-\d\d-\d\d .*$/m, 'what was reached');
like($marker, qr/^restored_at = \d{4}-\d\d-\d\dT/m, 'and when');

# A target beyond the end becomes the end, and that is said.
$clone = new_clone('future');
my ($code, $out, $err) = forge_cli('clone', '--env-dir', $env, '--recovery-target-time', '2100-01-01 00:00:00+00', "--datadir=" . $clone->data_dir);
is($code, 0, 'a target in the future');
like($err, qr/target cannot be reached.*last transaction that will be there: \d{4}/s, 'is clamped, which is said');
is(rows_of($clone), '1 2 3', 'all rows are there');

# The version is found below the prefix that scripts derive, and the site is not guessed.
my $derived = env_dir_of({ forge => { storage => "file://$root/spilo/site-shop", key_file => $node->{forge}{key_file} } });
$clone = new_clone('derived');
($code, $out, $err) = forge_cli('clone', '--env-dir', $derived, '--datadir=' . $clone->data_dir);
is($code, 0, 'a prefix without /wal/VERSION');
like($err, qr{those in \Q$prefix\E are used}, 'is completed');
is(rows_of($clone), '1 2 3', 'and recovery reads from there');
my $siteless = env_dir_of({ forge => { storage => "file://$root/spilo/shop/wal", key_file => $node->{forge}{key_file} } });
my $untouched = new_directory('untouched') . '/data';
($code, $out, $err) = forge_cli('clone', '--env-dir', $siteless, "--datadir=$untouched");
is($code, 1, 'a prefix without its site fails');
like($err, qr{beside it there is file://\Q$root\E/spilo/site-shop\n}, 'and the one with a site is named');
unlike($err, qr{spilo/other}, 'but no other');
ok(!-e $untouched, 'nothing is touched');

# Before the first backup.
($code, $out, $err) = forge_cli('clone', '--env-dir', $env, "--recovery-target-time=$before", "--datadir=$untouched");
is($code, 1, 'a target before the first backup fails');
like($err, qr/there is backup base_[0-9A-F]{24} on timeline 1, finished/, 'and what exists is listed');
ok(!-e $untouched, 'nothing is touched');
cli_fails('clone', '--env-dir', $env, '--recovery-target-time=2026-01-01 00:00:00', "--datadir=$untouched", 1 + 1, qr/zone/, 'a time without zone is refused');
$node->stop;
done_testing();

sub new_clone
{
	my ($name) = @_;
	return PostgreSQL::Test::Cluster->new("clone_$name");
}

sub rows_of
{
	my ($server) = @_;
	$server->append_conf('postgresql.conf', 'port = ' . $server->port . "\nunix_socket_directories = '" . $server->host
	    . "'\nlisten_addresses = ''\nforge_backup.storage = 'file://" . new_directory('own') . "'\n");
	$server->start;
	wait_until('it is promoted', sub { $server->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 'f' });
	my $rows = $server->safe_psql('postgres', q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM t});
	$server->stop;
	return $rows;
}
