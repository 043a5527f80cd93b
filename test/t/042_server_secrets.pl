# K2: no secret is ever shown: not in settings, views, logs, process lists, environments, objects.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $access = 'AKIAFORGETESTACCESS1';
my $secret = 'Forge+Test/Secret/Words/0123456789abcdef';
my $port = black_hole();
my $secrets = new_directory('secrets');
write_text("$secrets/AWS_ACCESS_KEY_ID", "$access\n", 0600);
write_text("$secrets/AWS_SECRET_ACCESS_KEY", "$secret\n", 0600);
my $node = forge_node('primary', storage => 's3://bucket/prefix', first_backup => 0, conf => <<"END");
log_min_messages = debug2
forge_backup.s3_endpoint = 'http://127.0.0.1:$port'
forge_backup.s3_region = 'us-east-1'
forge_backup.s3_path_style = on
forge_backup.secret_dir = '$secrets'
END
my $pattern = qr/\Q$secret\E|$key_hex|\Q@{[ pack('H*', $key_hex) ]}\E/;

switch_wal($node) for 1 .. 2;
my $helper = helper_pid($node);
for my $process ([ 'the helper', $helper ], [ 'the archiver', archiver_pid($node) ])
{
	my ($what, $pid) = @$process;
	for my $name (qw(cmdline environ))
	{
		# A process that forbids core files cannot be looked into by its own user either.
		my $path = "/proc/$pid/$name";
		my $text = -r $path ? slurp_file($path) : '';
		unlike($text, $pattern, "K2: no secret in the $name of $what");
	}
}
my ($core_limit) = slurp_file("/proc/$helper/limits") =~ /^Max core file size\s+(\S+)/m;
my $dumpable = (stat "/proc/$helper/environ")[4] == $>;
ok($core_limit eq '0' || !$dumpable, 'K2: the helper writes no core file');
for my $query (
	'SHOW ALL', 'SELECT * FROM pg_settings', 'SELECT * FROM pg_file_settings', 'SELECT * FROM forge_backup.status()',
	'SELECT * FROM forge_backup.archive_status', 'SELECT * FROM pg_stat_activity')
{
	my ($code, $stdout, $stderr) = $node->psql('postgres', $query);
	is($code, 0, "$query runs");
	unlike("$stdout$stderr", $pattern, "K2: no secret in $query");
}
# From here on a store that refuses at once.
my $free = PostgreSQL::Test::Cluster::get_free_port();
$node->append_conf('postgresql.conf', "forge_backup.s3_endpoint = 'http://127.0.0.1:$free'");
$node->reload;
my ($code, $stdout, $stderr) = $node->psql('postgres', 'SELECT * FROM forge_backup.backup_list()');
isnt($code, 0, 'N1: a listing fails when the store refuses');
unlike("$stdout$stderr", $pattern, 'K2: no secret in the error of a listing');

# An ordinary user sees neither views nor where things are.
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN');
($code, $stdout, $stderr) = $node->psql('postgres', 'SET ROLE nobody; SELECT * FROM forge_backup.status()');
isnt($code, 0, 'K3: an ordinary user may not ask for the status');
($code, $stdout, $stderr) = $node->psql('postgres', 'SET ROLE nobody; SELECT forge_backup.trigger_basebackup()');
like($stderr, qr/permission denied/, 'K3: or make a base backup');
($code, $stdout, $stderr) = $node->psql('postgres', 'GRANT pg_monitor TO nobody; SET ROLE nobody; SELECT count(*) FROM forge_backup.status()');
is($code, 0, 'K3: pg_monitor may read');

$node->stop('fast');
log_lacks($node, 0, $pattern, 'K2: no secret in the log, with all debugging on');

# The command line.
for my $arguments ([ 'check' ], [ 'backup-list', '--log-level', 'debug' ])
{
	my ($exit, $output, $errors) = forge_cli({ limit => 60, env => { WALG_LIBSODIUM_KEY => $key_hex, WALG_LIBSODIUM_KEY_TRANSFORM => 'hex' } },
		@$arguments, '--storage', 's3://bucket/prefix', '--s3-endpoint', "http://127.0.0.1:$free", '--s3-region', 'us-east-1', '--secret-dir', $secrets);
	unlike("$output$errors", $pattern, "K2: no secret in the output of $arguments->[0]");
}

# What is in a backup.
my $bucket = new_directory('bucket');
$node->append_conf('postgresql.conf', "forge_backup.storage = 'file://$bucket'\nforge_backup.compression = 'none'");
$node->start;
wait_first_backup($node);
$node->stop; # retention removes WAL that no backup needs
my @shown = grep { read_text("$bucket/$_") =~ $pattern } tree($bucket);
is("@shown", '', 'K2: no secret in any object');

done_testing();
