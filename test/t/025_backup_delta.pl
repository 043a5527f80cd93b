# Delta backups: full, delta, delta of a delta, and again a full one; each restores to the state it was made of.
use strict;
use warnings;

use File::Find;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary', start => 0, conf => "forge_backup.delta_max_steps = 2\nautovacuum = off\n");
# A file that is younger than a minute when a backup begins is never taken for unchanged by the next one.
my $long_ago = time() - 3600;
find({ no_chdir => 1, wanted => sub { utime($long_ago, $long_ago, $_) if -f && !-l } }, $node->data_dir);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION forge_backup');
wait_first_backup($node);
my $bucket = bucket_of($node);
my $space = new_directory('space');
my %state;
my @tables = qw(t shrunk empty_t s);

$node->safe_psql('postgres', <<"END");
CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 100000) i;
CREATE INDEX ON t (i);
CREATE TABLE gone AS SELECT generate_series(1, 1000) i;
CREATE TABLE shrunk AS SELECT generate_series(1, 50000) i;
CREATE TABLE empty_t (i int);
CREATE UNLOGGED TABLE unlogged AS SELECT 1 AS i;
CREATE TABLESPACE space LOCATION '$space';
CREATE TABLE s TABLESPACE space AS SELECT i, 's' AS v FROM generate_series(1, 20000) i;
END
my $full = backup('"full" => true');
like($full, qr/^base_[0-9A-F]{24}$/, 'a full backup where one is asked for');

$node->safe_psql('postgres', <<'END');
UPDATE t SET v = 'one' WHERE i BETWEEN 5000 AND 5100;
INSERT INTO s SELECT i, 'one' FROM generate_series(1, 1000) i;
INSERT INTO empty_t SELECT generate_series(1, 5000);
DROP TABLE gone;
CREATE TABLE new_t AS SELECT generate_series(1, 3000) i;
DELETE FROM shrunk WHERE i > 100;
VACUUM shrunk;
END
my $offset = log_size($node);
my $first = backup();
like($first, qr/^base_[0-9A-F]{24}_D_\Q@{[ substr($full, 5) ]}\E$/, 'the next one is a delta, and its name says of what');
like(log_since($node, $offset), qr/delta of "\Q$full\E", \d+ files unchanged, \d+ with increments/, 'the log says what it did');

$node->safe_psql('postgres', <<'END');
UPDATE t SET v = 'two' WHERE i BETWEEN 90000 AND 90100;
TRUNCATE new_t;
INSERT INTO shrunk SELECT generate_series(1, 30000);
CREATE DATABASE other;
END
my $second = backup();
is($second =~ s/.*_D_//r, substr($first, 5, 24), 'a delta of a delta');

# What they hold.
my %files = map { $_ => decode_json(read_text("$bucket/basebackups_005/$_/files_metadata.json"))->{Files} } $full, $first, $second;
is(scalar(grep { $_->{IsSkipped} || $_->{IsIncremented} } values %{ $files{$full} }), 0, 'the full one holds all its files');
my $path = '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('t')");
for my $backup ($first, $second)
{
	my @skipped = grep { $files{$backup}{$_}{IsSkipped} } keys %{ $files{$backup} };
	cmp_ok(scalar @skipped, '>', 500, "files that nobody touched are not in $backup");
	ok($files{$backup}{$path}{IsIncremented}, 'of a table only pages are stored');
}
my %size = map { $_ => sentinel_of($bucket, $_)->{UncompressedSize} } $full, $first, $second;
cmp_ok($size{$first}, '<', $size{$full} / 4, 'a delta is small');
cmp_ok($size{$second}, '<', $size{$full} / 2, 'also with a whole new database in it');
my $sentinel = sentinel_of($bucket, $second);
is_deeply(
	[ @$sentinel{qw(DeltaFrom DeltaFullName DeltaCount)} ],
	[ $first, $full, 2 ],
	'its sentinel says what it builds on');
is($sentinel->{DeltaLSN}, sentinel_of($bucket, $first)->{LSN}, 'and since when');

# The listings.
is( $node->safe_psql('postgres', "SELECT kind, parent FROM forge_backup.backup_list() WHERE name = '$second'"),
	"delta|$first", 'backup_list() shows kind and parent');
my ($entry) = grep { $_->{backup_name} eq $second } @{ decode_json(cli_ok('backup-list', '--json', '--detail', '--env-dir', env_dir_of($node), 'backup-list --json')) };
ok($entry, 'and backup-list has it');

# The chain is long enough; a permanent one takes its parents along.
my $third = backup();
unlike($third, qr/_D_/, 'after delta_max_steps deltas comes a full one');
my $permanent = backup('permanent => true');
like($permanent, qr/_D_\Q@{[ substr($third, 5) ]}\E$/, 'a permanent delta');
is(decode_json(read_text("$bucket/basebackups_005/$third/metadata.json"))->{is_permanent}, 1, 'makes its parent permanent');

# Each restores to its state.
for my $backup ($full, $first, $second, $permanent)
{
	restores($backup);
}

# On the timeline of a promoted standby, which cannot have the tablespace in the same place.
$node->safe_psql('postgres', 'DROP TABLE s');
$node->safe_psql('postgres', 'DROP TABLESPACE space');
@tables = grep { $_ ne 's' } @tables;
# It is there before the parent is made: relations of a younger server are stored whole.
my $standby = forge_standby($node, 'standby');
my $before = backup();
unlike($before, qr/_D_/, 'nothing that is not permanent builds on what is permanent');
$node->safe_psql('postgres', "UPDATE t SET v = 'three' WHERE i = 77");
$node->stop;
$standby->promote;
wait_until('promoted', sub { $standby->safe_psql('postgres', 'SELECT NOT pg_is_in_recovery()') eq 't' });
wait_archived($standby);
$standby->safe_psql('postgres', "UPDATE t SET v = 'four' WHERE i = 78");
$node = $standby;
my $after = backup();
like($after, qr/^base_00000002[0-9A-F]{16}_D_\Q@{[ substr($before, 5) ]}\E$/, 'P4: a delta on the new timeline builds on the old one');
restores($after);
$standby->stop;

done_testing();

# Makes a backup and remembers what was in the tables then.
sub backup
{
	my ($options) = @_;
	my $name = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(' . ($options // '') . ')');
	$state{$name} = [ map { table_checksum($node, $_) } @tables ];
	return $name;
}

sub restores
{
	my ($backup) = @_;
	my @mapping = (grep { $_ eq 's' } @tables) ? ('--tablespace-mapping', "$space=" . new_directory('space')) : ();
	my $restored = restore_node("restored_$backup", $node,
		cli => [ '--target', 'immediate', '--backup', $backup, '--target-action', 'promote', @mapping ]);
	return if $restored->{forge}{exit} != 0;
	my $target = $restored->data_dir;
	# What the restore itself writes comes after the files of the backup.
	$node->command_ok([ 'pg_verifybackup', '-n', '-q', '-i', 'postgresql.conf', '-i', 'postgresql.auto.conf', '-i', 'recovery.signal', '-i', 'forge_backup.restored', $target ],
		"R8: pg_verifybackup accepts what $backup restores to");
	return unless start_restored($restored);
	wait_until('promoted', sub { $restored->safe_psql('postgres', 'SELECT NOT pg_is_in_recovery()') eq 't' });
	is_deeply([ map { table_checksum($restored, $_) } @tables ], $state{$backup}, "R8: $backup has the rows of its time");
	amcheck_ok($restored, "R8: pg_amcheck finds nothing wrong in $backup", '-a', '--heapallindexed');
	$restored->stop;
	return;
}
