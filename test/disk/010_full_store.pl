# A directory store whose file system is full: nothing is lost, nothing is half there, and all goes on when there is room.
use strict;
use warnings;

use ForgeDisk;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

no_faults();
my $disk = small_disk('100m');
my $bucket = "$disk/bucket";
mkdir $bucket;
my $node = forge_node('primary', storage => "file://$bucket", conf => "forge_backup.compression = 'none'\n");

sub partial_files
{
	my ($out) = run_command([ 'find', $bucket, '-name', '*.tmp.*' ]);
	return $out;
}

wait_archived($node);
my $offset = log_size($node);
my $filler = fill_disk($disk, 300);
my $waiting = switch_wal($node);
ok( wait_until('the failure is seen', sub { archive_value($node, "problem LIKE '%No space left on device%'") eq 't' }),
	'D1: a full store is said in archive_status');
is(archive_value($node, 'problem_kind'), 'exhausted', 'D1: and its class');
is(archive_state($node, $waiting), 'ready', 'D1: the segment waits');
is(scalar(grep { $_ eq $waiting } wal_names($bucket)), 0, 'D1: no part of it stands under its name');
is(partial_files(), '', 'D1: nor under another one');
like(log_since($node, $offset), qr/WARNING:  forge_backup: could not archive "$waiting": .*No space left on device.*\n(?:.*DETAIL: .*\n)?.*HINT: /,
	'D1: the log says what to do');

my ($code, undef, $err) = $node->psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)');
isnt($code, 0, 'D1: a base backup fails');
like($err, qr/No space left on device/, 'D1: and says why');
is(scalar(backup_names($bucket)), 1, 'D1: it does not exist');
ok(wait_until('the parts are removed', sub { !grep { m{tar_partitions} && !m{/@{[ (backup_names($bucket))[0] ]}/} } tree($bucket) }),
	'D1: and takes no space');

unlink $filler;
ok(wait_archived($node, $waiting), 'D1: the segment is archived when there is room again');
is(archive_value($node, 'problem IS NULL'), 't', 'D1: and nothing is the matter any more');
like(log_since($node, $offset), qr/archiving works again/, 'D1: which the log says');
($code, undef, $err) = $node->psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)');
is($code, 0, 'D1: base backups are made again') or diag($err);

# Room for the parts of a backup, and none for the WAL.
faults("write */wal_005/* ENOSPC -");
my $before = join(' ', backup_names($bucket));
my $took = seconds(sub { ($code, undef, $err) = $node->psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)') });
isnt($code, 0, 'D1: a backup whose WAL finds no room fails');
like($err, qr/there is no room for the WAL of the base backup/, 'D1: and says why');
cmp_ok($took, '<', 30, 'D1: soon');
ok(wait_until('the parts are removed', sub { join(' ', sort keys %{ { map { m{^basebackups_005/([^/]+)/} ? ($1 => 1) : () } tree($bucket) } }) eq $before }),
	'D1: what it had stored makes room');
no_faults();
wait_archived($node);
cli_ok('verify', '--all', '--env-dir', env_dir_of($node), 'D1: and everything verifies');
$node->stop;

done_testing();
