# C15: a restore that is killed anywhere leaves a directory that cannot be started by mistake; the same command, given
# again, goes on there. A recovery whose restore_command is killed goes on after the next start.
use strict;
use warnings;

use Digest::SHA;
use ForgeCrash;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = crash_node('primary', conf => "forge_backup.delta_max_steps = 1\n");
my $env = env_dir_of($node);
$node->safe_psql('postgres', "CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 30000) i");
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)');
$node->safe_psql('postgres', 'UPDATE t SET v = 1 WHERE i % 1000 = 1');
like($node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()'), qr/_D_/, 'a delta');
$node->safe_psql('postgres', 'UPDATE t SET v = 2 WHERE i % 1000 = 2');
wait_archived($node);
my $checksum = table_checksum($node, 't');

# Every file with its digest; what names the directory itself, or the time, is compared without that.
sub state_of
{
	my ($directory) = @_;
	return join '', map { my $text = read_text("$directory/$_") =~ s/\Q$directory\E|^.*restored_at.*$//gmr; "$_ " . Digest::SHA::sha256_hex($text) . "\n" }
	  grep { $_ ne 'backup_manifest' } tree($directory);
}
sub restore { return ('restore', '--env-dir', $env, '--target-dir', $_[0]); }

my $whole = new_directory('whole') . '/data';
cli_ok(restore($whole), 'C15: restored without a kill');
my $expected = state_of($whole);

for my $place ([ 'restore-begun', 1 ], [ 'restore-file', 300 ], [ 'restore-before-signal', 1 ], [ 'restore-before-control', 1 ])
{
	my ($point, $passage) = @$place;
	my $directory = new_directory('target') . '/data';
	die_at($point, $passage, restore($directory));
	ok(!-e "$directory/global/pg_control", "C15: killed at $point $passage, there is no control file");
	command_fails([ 'pg_ctl', '-w', '-D', $directory, '-l', "$directory.log", 'start' ], "C15: killed at $point $passage, it cannot be started");
	cli_ok(restore($directory), "C15: killed at $point $passage, the same command goes on");
	is(state_of($directory), $expected, "C15: killed at $point $passage, and ends with every file as it should be");
}

# With the control file everything else is there, and durable.
{
	my $directory = new_directory('target') . '/data';
	die_at('restore-after-control', 1, restore($directory));
	is(state_of($directory) =~ s/^forge_restore.journal .*\n//mr, $expected, 'C15: killed after the control file, every file is there');
	cli_ok(restore($directory), 'C15: killed after the control file, the same command has nothing left to do');
	is(state_of($directory), $expected, 'C15: and spoils nothing');
}

# The server's restore_command.
{
	my $restored = restore_node('restored', $node);
	arm('fetch-before-rename');
	ok(!$restored->start(fail_ok => 1), 'C15: the server whose restore_command is killed does not open');
	ok(!is_armed('fetch-before-rename'), 'C15: it was killed with the file in its hands');
	ok(start_restored($restored), 'C15: after the next start recovery goes on');
	is(table_checksum($restored, 't'), $checksum, 'C15: to the end, with every row');
	is(join(' ', glob($restored->data_dir . '/pg_wal/xlogtemp.*')), '', 'C15: half a file is not left in pg_wal');
	$restored->stop;
}

$node->stop;
done_testing();
