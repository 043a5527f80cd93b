# What is in a backup: the files that pg_basebackup takes, no more and no less, and pg_verifybackup agrees.
use strict;
use warnings;

use ForgeTest;
use File::Find;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary');
my $env = env_dir_of($node);
my $data = $node->data_dir;
my $space = new_directory('space');
$node->safe_psql('postgres', $_) for (
	"CREATE TABLESPACE space LOCATION '$space'",
	'CREATE TABLE in_space TABLESPACE space AS SELECT i FROM generate_series(1, 1000) i',
	'CREATE UNLOGGED TABLE forgotten AS SELECT i FROM generate_series(1, 1000) i',
	'CREATE UNLOGGED TABLE forgotten_too TABLESPACE space AS SELECT i FROM generate_series(1, 1000) i',
	'CREATE TABLE kept AS SELECT i, md5(i::text) FROM generate_series(1, 10000) i',
	'CREATE DATABASE other');

# Things that lie about in a data directory.
my $database = $node->safe_psql('postgres', "SELECT oid FROM pg_database WHERE datname = 'postgres'");
mkdir "$data/base/pgsql_tmp";
write_text("$data/base/pgsql_tmp/pgsql_tmp1.0", 'x');
write_text("$data/base/$database/t9_9999999", 'x');
write_text("$data/base/$database/t9_9999999_fsm", 'x');
write_text("$data/base/$database/t9_9999999.1", 'x');
write_text("$data/postgresql.auto.conf.tmp", 'x');
write_text("$data/current_logfiles.tmp", 'x');
write_text("$data/global/pg_internal.init.123", 'x');
write_text("$data/pg_replslot/stray", 'x');
write_text("$data/pg_stat_tmp/stray", 'x');
write_text("$data/backup_label.old", 'x');
write_text("$data/notes of the administrator", 'x');
mkdir "$data/empty directory", 0700;
chmod(0600, "$data/backup_label.old", "$data/notes of the administrator");
$node->safe_psql('postgres', 'CHECKPOINT');

my $name = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
my $space_copy = new_directory('space_copy');
my $theirs = new_directory('theirs') . '/data';
$node->command_ok(
	[
		'pg_basebackup', '-D', $theirs, '-X', 'none', '--checkpoint=fast', '--no-sync', '-h', $node->host, '-p', $node->port,
		'--no-manifest', "--tablespace-mapping=$space=$space_copy"
	],
	'pg_basebackup makes its copy');
my $space_ours = new_directory('space_ours');
my $ours = new_directory('ours') . '/data';
cli_ok('backup-fetch', '--env-dir', $env, '--tablespace-mapping', "$space=$space_ours", $ours, $name,
	'backup-fetch brings the backup back');

# pg_basebackup leaves out what depends on the moment: these names come and go.
my $ignored = qr{^(backup_manifest|backup_label|tablespace_map|.*pg_internal\.init)$};
is_deeply(
	[ grep { $_ !~ $ignored } entries($ours) ],
	[ grep { $_ !~ $ignored } entries($theirs) ],
	'P14: the list of files and directories equals that of pg_basebackup');
ok(-f "$ours/backup_label", 'the backup label is there');
is_deeply([ entries($space_ours) ], [ entries($space_copy) ], 'P12: so does the list of the tablespace');
is(scalar(grep { (stat "$ours/$_")[2] & 0077 } entries($ours)), 0, 'nobody else may read the files');

$node->command_ok([ 'pg_verifybackup', '-n', '-q', $ours ], 'pg_verifybackup accepts the restored directory');

# A manifest that finds something is one that works.
my $table = $node->safe_psql('postgres', "SELECT pg_relation_filepath('kept')");
flip("$ours/$table", 9000);
$node->command_fails([ 'pg_verifybackup', '-n', '-q', $ours ], 'and notices a changed byte');

done_testing();

# Relative paths below a directory, directories with a slash; tablespaces are compared on their own.
sub entries
{
	my ($directory) = @_;
	my @entries;
	find({
			no_chdir => 1,
			follow => 0,
			wanted => sub {
				return if $_ eq $directory;
				push @entries, substr($_, length($directory) + 1) . (-l $_ ? '@' : -d _ ? '/' : '');
			}
		},
		$directory);
	return sort @entries;
}

sub flip
{
	my ($path, $at) = @_;
	open(my $file, '+<:raw', $path) or die "$path: $!";
	seek($file, $at, 0);
	read($file, my $byte, 1);
	seek($file, $at, 0);
	print $file chr(ord($byte) ^ 1);
	close($file);
	return;
}
