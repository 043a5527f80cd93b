# Restores to a target that is full, broken or over its quota: refused while nothing is touched where that can be known,
# else ended in a state that cannot be started; the same command goes on when the cause is gone.
use strict;
use warnings;

use ForgeDisk;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $space = new_directory('space');
my $node = forge_node('primary');
my $env = env_dir_of($node);
$node->safe_psql('postgres', 'CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 20000) i');
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
wait_archived($node);

my $disk = small_disk('64m');
my $filler = fill_disk($disk, 8 * 1024);
my @restore = ('restore', '--env-dir', $env, '--target-dir', "$disk/data", '--target', 'immediate');
cli_fails(@restore, 1, qr/the backup needs \d+\S* MB, and only 8(\.0)? MB are free in the file system of "\Q$disk\E\/data"\n.*hint: Make room/,
	'D2: a target that is too small is refused, with what is needed and what is there');
ok(!-e "$disk/data", 'D2: it is not even made');
unlink $filler;
cli_ok(@restore, 'D2: with room the same command succeeds');
ok(-e "$disk/data/global/pg_control", 'D2: and the target is complete');

$node->safe_psql('postgres', "CREATE TABLESPACE ts LOCATION '$space'");
$node->safe_psql('postgres', 'CREATE TABLE u TABLESPACE ts AS SELECT i, md5(i::text) AS v FROM generate_series(1, 40000) i');
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
my $small = small_disk('1m');
my $oid = $node->safe_psql('postgres', "SELECT oid FROM pg_tablespace WHERE spcname = 'ts'");
my $directory = new_directory('restored');
my @spaces = ('backup-fetch', '--env-dir', $env, '--tablespace-mapping', "$oid=$small/space", "$directory/data", 'LATEST');
cli_fails(@spaces, 1, qr/the backup needs .* and only .* are free in the file system of "\Q$small\E\/space"/,
	'D2: so is a tablespace that does not fit its place');
ok(!-e "$small/space" && !-e "$directory/data", 'D2: nothing is touched');

# From here on what goes wrong could not be known.
for my $case (
	[ 'D2', 'ENOSPC', 'write', 'base/*', 'No space left on device' ],
	[ 'D2', 'EDQUOT', 'write', 'base/*', 'Disk quota exceeded' ],
	[ 'D7', 'EIO', 'write', 'base/*', 'Input/output error' ],
	[ 'D7', 'EIO', 'fsync', '', 'Input/output error' ],
	[ 'D7', 'EIO', 'rename', 'global/pg_control', 'Input/output error' ])
{
	my ($id, $errno, $call, $file, $text) = @$case;
	my $target = new_directory('target');
	my @fetch = ('backup-fetch', '--env-dir', $env, '--tablespace-mapping', "$oid=$target/space", "$target/data", 'LATEST');
	faults("$call $target/data*$file $errno 1");
	my ($code, $out, $err) = forge_cli(@fetch);
	is(used(0), 1, "$id: $errno of $call happens");
	is($code, 1, "$id: $errno of $call ends the restore");
	like($err, qr/\Q$text\E/, "$id: $errno of $call is said");
	like($err, qr/The backup needs .*free in the file system/, "$id: $errno of $call: with what is needed and what is there")
	  if $id eq 'D2';
	like($err, qr/cannot be started; the same command, given again, goes on there/, "$id: $errno of $call: and what to do");
	ok(!-e "$target/data/global/pg_control", "$id: $errno of $call: the target cannot be started");
	no_faults();
	cli_ok(@fetch, "$id: after $errno of $call the same command goes on");
	ok(-e "$target/data/global/pg_control", "$id: after $errno of $call the target is complete");
}
$node->stop;

done_testing();
