# Page checksums: a damaged page is found and said, a page that is being written is not reported.
use strict;
use warnings;

use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary', conf => "shared_buffers = 2MB\ncheckpoint_timeout = 30s\nmax_wal_size = 64MB\n");
my $bucket = bucket_of($node);

# Writers keep most pages moving while backups read them.
$node->command_ok([ 'pgbench', '-i', '-q', '-s', '3', '-h', $node->host, '-p', $node->port, 'postgres' ], 'pgbench fills');
my ($out, $err) = ('', '');
my $load = IPC::Run::start([ 'pgbench', '-n', '-c', '4', '-T', '600', '-h', $node->host, '-p', $node->port, 'postgres' ],
	'<', \'', '>', \$out, '2>', \$err);
my $offset = log_size($node);
my $corrupt = 0;
for (1 .. 4)
{
	my $name = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	my $files = decode_json(read_text("$bucket/basebackups_005/$name/files_metadata.json"))->{Files};
	$corrupt += grep { exists $files->{$_}{CorruptBlocks} } keys %$files;
}
$load->signal('TERM');
$load->finish;
is($corrupt, 0, 'P16: no page that is being written is reported as corrupt');
log_lacks($node, $offset, qr/(?:WARNING|ERROR|LOG): .*(?:checksum|corrupt)/i, 'P16: and nothing is logged about any');

# One flipped bit, while the server does not look.
$node->safe_psql('postgres',
	'CREATE TABLE damaged AS SELECT i, md5(i::text) AS v FROM generate_series(1, 5000) i; CHECKPOINT');
my $path = $node->safe_psql('postgres', "SELECT pg_relation_filepath('damaged')");
$node->stop;
open(my $file, '+<:raw', $node->data_dir . "/$path") or die $!;
seek($file, 3 * 8192 + 5000, 0);
read($file, my $byte, 1);
seek($file, 3 * 8192 + 5000, 0);
print $file chr(ord($byte) ^ 4);
close($file);
$node->start;
$offset = log_size($node);
my ($code, $name, $stderr) = $node->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
is($code, 0, 'D4: a backup with a damaged page is completed') or diag($stderr);
my $files = decode_json(read_text("$bucket/basebackups_005/$name/files_metadata.json"))->{Files};
is_deeply(
	$files->{"/$path"}{CorruptBlocks},
	{ CorruptBlocksCount => 1, SomeCorruptBlocks => [3] },
	'D4: and the damaged block is recorded as the format has it');
is(scalar(grep { exists $files->{$_}{CorruptBlocks} } keys %$files), 1, 'D4: and no other');
like(log_since($node, $offset), qr/WARNING:.*(checksum|corrupt|damaged).*/i, 'D4: and the log warns');
like(log_since($node, $offset), qr/\Q$path\E/, 'D4: and names the file');

done_testing();
