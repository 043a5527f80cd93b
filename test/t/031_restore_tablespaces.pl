# Tablespaces: each goes where the mapping says, never on top of anything.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary');
my $env = env_dir_of($node);
my %old = map { $_ => new_directory('space') } qw(a b);
for my $name (sort keys %old)
{
	$node->safe_psql('postgres', "CREATE TABLESPACE $name LOCATION '$old{$name}'");
	$node->safe_psql('postgres', "CREATE TABLE in_$name TABLESPACE $name AS SELECT i, md5(i::text) AS v FROM generate_series(1, 5000) i");
}
my $oid = $node->safe_psql('postgres', "SELECT oid FROM pg_tablespace WHERE spcname = 'a'");
my $backup = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
my $spec = sentinel_of(bucket_of($node), $backup)->{Spec};
is_deeply(
	[ sort { $a <=> $b } @{ $spec->{tablespaces} } ],
	[ split /\n/, $node->safe_psql('postgres', "SELECT oid FROM pg_tablespace WHERE spcname IN ('a', 'b') ORDER BY 1") ],
	'the sentinel lists the tablespaces');
is($spec->{$oid}{loc}, $old{a}, 'with their directories');
is($spec->{$oid}{link}, "pg_tblspc/$oid", 'and their links');
is($spec->{base_prefix}, $node->data_dir, 'and where the data directory was');
$node->safe_psql('postgres', "INSERT INTO in_$_ SELECT i, 'later' FROM generate_series(1, 100) i") for sort keys %old;
my %checksum = map { $_ => table_checksum($node, "in_$_") } keys %old;
wait_archived($node);

# Without a place to go they would overwrite the live ones.
my $directory = new_directory('target') . '/data';
cli_fails('restore', '--env-dir', $env, '--target-dir', $directory,
	1, qr/\Q$old{a}\E|\Q$old{b}\E|tablespace/, 'R7: a tablespace whose old directory is in use is refused');
ok(!-e "$directory/global/pg_control", 'R7: and nothing that could be started is left');
is(table_checksum($node, 'in_a'), $checksum{a}, 'R7: the live tablespace is untouched');
cli_fails('restore', '--env-dir', $env, '--target-dir', $directory, '--tablespace-mapping', 'nonsense',
	2, qr/nonsense/, 'a mapping without "=" is bad usage');

# By oid and by old directory.
my %new = map { $_ => new_directory('space') } qw(a b);
my $restored = restore_node('restored', $node,
	cli => [ '--target-action', 'promote', '--tablespace-mapping', "$oid=$new{a}", '--tablespace-mapping', "$old{b}=$new{b}" ]);
if (start_restored($restored))
{
	wait_until('promoted', sub { $restored->safe_psql('postgres', 'SELECT NOT pg_is_in_recovery()') eq 't' });
	for my $name (sort keys %old)
	{
		is(table_checksum($restored, "in_$name"), $checksum{$name}, "R7: tablespace $name has its rows, WAL replayed");
		is( $restored->safe_psql('postgres', "SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = '$name'"),
			$new{$name}, "R7: and lies where the mapping says");
	}
	amcheck_ok($restored, 'pg_amcheck finds nothing wrong');
	$restored->stop;
}
is(table_checksum($node, "in_$_"), $checksum{$_}, "the live tablespace $_ still has its rows") for sort keys %old;

done_testing();
