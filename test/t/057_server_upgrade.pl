# Files of another version under a running server, and a server that never heard of CREATE EXTENSION.
use strict;
use warnings;

use File::Copy qw(copy);
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

# The library is loaded from a directory of the test, where its file can be replaced.
my $libraries = new_directory('libraries');
my ($installed) = `pg_config --pkglibdir` =~ /(.+)/;
copy("$installed/forge_backup.so", "$libraries/forge_backup.so") or die "could not copy the library: $!";
my $node = forge_node('primary', first_backup => 0, start => 0, conf => "dynamic_library_path = '$libraries'\n");
$node->start;
my $bucket = bucket_of($node);

wait_archived($node);
wait_until('the first base backup is there', sub { backup_names($bucket) });
pass('P23: without CREATE EXTENSION WAL is archived, and the first base backup makes itself');
$node->append_conf('postgresql.conf', "forge_backup.schedule = '* * * * *'");
$node->reload;
ok(wait_until('a scheduled backup', sub { backup_names($bucket) > 1 }, 100), 'P23: so do scheduled ones');
$node->append_conf('postgresql.conf', "forge_backup.schedule = ''");
$node->reload;

# The functions of the extension come from the installed file, a second copy for this server; 18 would look in the directory above.
my $offset = log_size($node);
my ($code, $stdout, $stderr) = $node->psql('postgres', q{SET dynamic_library_path = '$libdir'; CREATE EXTENSION forge_backup});
like($stderr, qr/ERROR:.*another copy of the library, version \S+, is in use.*\n.*HINT:.*[Rr]estart the server/,
	'P22: a file that is not the one the server runs is refused with what to do');
unlink("$libraries/forge_backup.so");
write_text("$libraries/forge_backup.so", 'not a library', 0644);
wait_archived($node);
pass('P22: archiving goes on when the file of the library is replaced');
kill('KILL', helper_pid($node));
wait_archived($node);
pass('P22: with a new helper as well');
log_lacks($node, $offset, qr/PANIC|terminated by signal|TRAP|server process/, 'P22: nothing crashed');
$node->stop;

# The executable of another version, as an upgrade leaves it for a server that was not restarted.
my $helper = "$libraries/forge-backup";
my ($programs) = `pg_config --bindir` =~ /(.+)/;
my $path = "$programs/forge-backup";
my $program = read_text($path);
my ($version) = (forge_cli('--version'))[1] =~ /(\d+\.\d+\.\d+)/;
my $other = $version =~ s/\d+$/9/r;
is(length $other, length $version, 'a version of the same length');
$program =~ s/\Q$version\E\0/$other\0/g;
write_text($helper, $program, 0755);
like((forge_cli('--version'))[1], qr/\Q$version\E/, 'the installed executable is as it was');
like(`$helper --version`, qr/\Q$other\E/, 'and the other one says that it is another');

my $plain = forge_node('upgraded');
$bucket = bucket_of($plain);
$offset = log_size($plain);
$plain->append_conf('postgresql.conf', "forge_backup.helper_path = '$helper'");
$plain->reload;
kill('KILL', helper_pid($plain));
my $name = switch_wal($plain);
my $said = qr/helper "\Q$helper\E" has version \Q$other\E, the server library \Q$version\E/;
ok(wait_until('the log says it', sub { log_since($plain, $offset) =~ /WARNING:.*$said.*\n.*HINT:.*[Rr]estart the server/ }),
	'P22: a helper of another version is named with what to do');
is(archive_state($plain, $name), 'ready', 'P22: and its WAL waits');
like(($plain->psql('postgres', 'SELECT * FROM forge_backup.backup_list()'))[2], $said, 'P22: SQL functions say the same');
$plain->append_conf('postgresql.conf', "forge_backup.helper_path = '$path'");
$plain->reload;
wait_archived($plain, $name);
pass('P22: with both of one version it is archived');
my $before = () = backup_names($bucket);
$plain->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(wait => false); DROP EXTENSION forge_backup');
wait_archived($plain);
pass('P23: archiving goes on after DROP EXTENSION');
ok(wait_until('the backup is there', sub { backup_names($bucket) > $before }), 'P23: and so does a backup that was asked for');
log_lacks($plain, $offset, qr/PANIC|terminated by signal|TRAP|server process/, 'P22: nothing crashed');

done_testing();
