# The command line: its settings and their order, its name wal-g, WAL by commands, base backups without the server's help, fetching ahead, signals.
use strict;
use warnings;

use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary');
my $bucket = bucket_of($node);
my $env = env_dir_of($node);
my ($first) = backup_names($bucket);

# Settings and where they come from.
my $list = cli_ok('--env-dir', $env, 'backup-list', 'options stand before the command');
is(cli_ok('backup-list', "--env-dir=$env", 'or after it'), $list, 'with the same result');
is(cli_ok({ env => { WALG_FILE_PREFIX => $bucket } }, 'backup-list', 'the environment is a source'), $list, 'with the same result');
is(cli_ok('backup-list', '--pgdata', $node->data_dir, 'a server\'s own settings are the last source'), $list, 'with the same result');
is(cli_ok({ env => { WALG_FILE_PREFIX => new_directory('empty') } }, 'backup-list', '--pgdata', $node->data_dir, 'the environment comes before them'),
	'', 'and an empty store has no line');

my $fake = new_directory('pgdata');
mkdir "$fake/conf.d";
write_text("$fake/PG_VERSION", "15\n");
write_text("$fake/postgresql.conf", "# comment\nforge_backup.storage = '/wrong' # overridden below\ninclude_dir 'conf.d'\nwork_mem = 4MB\n");
write_text("$fake/conf.d/10.conf", "FORGE_BACKUP.Storage 'file:///it''s \\'wrong\\''\ninclude_if_exists = 'nothing.conf'\n");
write_text("$fake/conf.d/20.conf.off", "this is not read\n");
cli_fails('backup-list', '--pgdata', $fake, 1, qr/it's 'wrong'|"file:|storage/, 'configuration files are read with includes and quotes');
write_text("$fake/postgresql.auto.conf", "forge_backup.storage = 'file://$bucket'\n");
is(cli_ok('backup-list', '--pgdata', $fake, 'postgresql.auto.conf comes last'), $list, 'and wins');
write_text("$fake/conf.d/30.conf", "\n\nforge_backup.storage = 'no end\n");
cli_fails('backup-list', '--pgdata', $fake, 1, qr{syntax error in file "\Q$fake\E/conf.d/30.conf" line 3}, 'a broken line is named');
cli_fails('backup-list', '--pgdata', $bucket, 1, qr/"\Q$bucket\E" is not a data directory/, 'so is a directory that is none');

# Commands that do not exist, and the other name of the program.
cli_fails('backup-lst', 2, qr/"backup-lst"(?s:.*)hint: Perhaps you meant "backup-list"/, 'a wrong command is answered with the nearest one');
cli_fails('restore', '--colour', 2, qr/--colour/, 'an unknown option is bad usage');
my $links = new_directory('bin');
my ($program) = grep { -x } map { "$_/forge-backup" } split /:/, $ENV{PATH};
symlink($program, "$links/wal-g") or die "could not link: $!";
my ($out, $err) = ('', '');
ok(IPC::Run::run([ "$links/wal-g", 'backup-list', '--turbo', '--env-dir', $env ], '<', \'', '>', \$out, '2>', \$err), 'called as wal-g it ignores unknown options');
is($out, $list, 'and lists');
like($err, qr/warning: argument "--turbo"/, 'with a warning');

# WAL by commands.
my $segment = wait_archived($node);
my $copy = new_directory('wal') . "/$segment";
my $target = new_directory('fetched');
cli_ok({ cwd => $target }, 'wal-fetch', '--env-dir', $env, $segment, 'file', 'wal-fetch brings a segment');
my $content = read_text("$target/file");
is_deeply([ grep { !/^\.\.?$/ } slurp_dir($target) ], ['file'], 'and leaves nothing else: nobody recovers there');
write_text($copy, $content);
cli_ok('wal-push', '--env-dir', $env, $copy, 'wal-push of what is there already succeeds');
my $object = read_text("$bucket/wal_005/$segment.zst");
substr($content, 9000, 1) ^= "\x01";
write_text($copy, $content);
cli_fails('wal-push', '--env-dir', $env, $copy, 1, qr/\Q$segment\E/, 'wal-push of another content fails');
is(read_text("$bucket/wal_005/$segment.zst"), $object, 'and replaces nothing');
cli_fails('wal-push', '--env-dir', $env, '/etc/hostname', 2, qr/"hostname" is not a WAL file/, 'what is no WAL file is refused');
cli_fails('wal-push', '--env-dir', $env, "$target/000000010000000000000077", 1, qr/000000010000000000000077" does not exist/, 'what is not there is named');
cli_fails('wal-push', $copy, 1, qr/no storage is configured/, 'without storage nothing is dropped silently');

# Fetching ahead: the next segments wait beside the data directory, and are used.
my @ahead = map { wait_archived($node) } 1 .. 3;
my $home = new_directory('recovery');
my $data = "$home/data";
mkdir $_ for $data, "$data/pg_wal";
write_text("$data/PG_VERSION", "15\n");
write_text("$data/standby.signal", '');
cli_ok({ cwd => $data }, 'wal-fetch', '--env-dir', $env, '--prefetch', 2, $segment, 'pg_wal/X', 'a segment is fetched for a standby');
my $spool = "$home/.forge-backup-spool-data";
ok(wait_until('the next segments are fetched ahead', sub { -e "$spool/$ahead[0]" && -e "$spool/$ahead[1]" }), 'the next ones wait beside the data directory');
is_deeply([ grep { !/^\./ } slurp_dir("$data/pg_wal") ], ['X'], 'and not in pg_wal');
rename("$bucket/wal_005/$ahead[0].zst", "$home/away") or die "could not rename: $!";
cli_ok({ cwd => $data }, 'wal-fetch', '--env-dir', $env, '--prefetch', 2, $ahead[0], 'pg_wal/Y', 'a segment fetched ahead needs no store');
rename("$home/away", "$bucket/wal_005/$ahead[0].zst") or die "could not rename: $!";
ok(wait_until('the one after them is fetched ahead', sub { -e "$spool/$ahead[2]" }), 'who fetches ahead follows recovery');
cli_ok({ cwd => $data }, 'wal-fetch', $ahead[1], 'pg_wal/Y', 'nor settings');
mkdir "$home/wal_fast";
write_text("$home/wal_fast/$segment", 'fast');
cli_ok({ cwd => $data }, 'wal-fetch', '--env-dir', $env, $segment, 'pg_wal/Z', 'a file in wal_fast is taken first');
is(read_text("$data/pg_wal/Z"), 'fast', 'and moved into place');

# Signals: SIGTERM ends a waiting restore at once (the startup process expects 143).
unlink "$data/standby.signal";
my $silent = new_directory('env');
my %variable = (WALG_S3_PREFIX => 's3://bucket/prefix', AWS_ENDPOINT => 'http://127.0.0.1:' . black_hole(), AWS_REGION => 'us-east-1',
	AWS_ACCESS_KEY_ID => 'key', AWS_SECRET_ACCESS_KEY => 'words', AWS_S3_FORCE_PATH_STYLE => 'true');
write_text("$silent/$_", "$variable{$_}\n", 0600) for keys %variable;
my $waiting = IPC::Run::start([ 'forge-backup', 'wal-fetch', '--env-dir', $silent, $segment, "$data/pg_wal/W" ], '<', \'', '>', \$out, '2>', \$err);
my $pid = $waiting->{KIDS}[0]{PID};
wait_until('it has connected', sub { my $fds = join ' ', map { readlink($_) // '' } glob("/proc/$pid/fd/*"); $fds =~ /socket:/ });
my $took = seconds(sub { kill 'TERM', $pid; $waiting->finish; });
is($waiting->full_result(0) >> 8, 143, 'SIGTERM ends wal-fetch with 143');
cmp_ok($took, '<', 2, 'at once');

# Base backups: through the worker, and without it.
cli_ok({ env => { PGHOST => $node->host, PGPORT => $node->port } }, 'backup-push', '--env-dir', $env, '--user-data', '{"n":1}', $node->data_dir,
	'backup-push asks the server');
my ($by_worker) = grep { sentinel_of($bucket, $_)->{UserData} } backup_names($bucket);
is(sentinel_of($bucket, $by_worker)->{UserData}{n}, 1, 'which makes the backup with the user data');
cli_ok({ env => { PGHOST => $node->host, PGPORT => $node->port } }, 'backup-push', '--direct', '--permanent', '--env-dir', $env,
	'backup-push makes a backup itself');
my ($direct) = grep { sentinel_of($bucket, $_)->{IsPermanent} } backup_names($bucket);
ok($direct, 'which is listed, and permanent');
my $restored = restore_node('restored', $node, cli => [ '--backup', $direct ]);
start_restored($restored);
is($restored->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 'f', 'and recovers');
$restored->stop;
cli_fails({ env => { PGHOST => $node->host, PGPORT => $node->port } }, 'backup-push', '--env-dir', $env, $restored->data_dir, 1,
	qr/data directory is "\Q@{[ $node->data_dir ]}\E"/, 'the data directory of another server is refused');
cli_fails({ env => { PGHOST => '127.0.0.1', PGPORT => PostgreSQL::Test::Cluster::get_free_port() } }, 'backup-push', '--env-dir', $env, 1,
	qr/could not connect/, 'a server that is not there is said');
my $standby = forge_standby($node, 'standby');
my $before = backup_names($bucket);
# The end of the backup is archived by the primary, once that has left the segment.
my $script = write_text(new_directory('writer') . '/script', "SELECT pg_logical_emit_message(false, 'test', 'end of segment'), pg_switch_wal() \\watch 1\n");
my $writer = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-f', $script ], '>', '/dev/null', '2>', '/dev/null');
cli_ok({ env => { PGHOST => $standby->host, PGPORT => $standby->port } }, 'backup-push', '--direct', '--env-dir', $env, 'backup-push works on a standby');
$writer->kill_kill;
is(scalar(backup_names($bucket)), $before + 1, 'and the backup is listed');

# A failed backup leaves nothing: the WAL goes to another store than the backup.
my $other = new_directory('bucket');
cli_fails({ env => { PGHOST => $node->host, PGPORT => $node->port } }, 'backup-push', '--direct', '--storage', "file://$other", '--wal-timeout', 1, 1,
	qr/was not archived within/, 'a backup whose WAL does not come is no backup');
is(join(' ', tree($other)), 'forge_owner.json', 'and what was uploaded is removed');

# Plans and checks for programs.
my $plan = decode_json(cli_ok('plan', '--env-dir', $env, '--json', 'plan --json'));
is($plan->{exact}, 'yes', 'the end of the WAL can be reached');
like($plan->{restore_command}, qr/wal-fetch --env-dir=\Q$env\E %f %p$/, 'restore_command finds the same store');
my $findings = decode_json(cli_ok('check', '--env-dir', $env, '--json', 'check finds nothing wrong'));
is_deeply([ grep { $_->{level} ne 'ok' } @$findings ], [], 'every finding is ok');
is(join(' ', grep { /check/ } tree($bucket)), '', 'and its own object is gone');
my ($code, $stdout) = forge_cli('check', '--env-dir', $silent, '--timeout', 3);
is($code, 2, 'check of a store that does not answer');
like($stdout, qr/^store +error/m, 'names the store');
($code, $stdout) = forge_cli('check', '--env-dir', env_dir_of($node, WALG_LIBSODIUM_KEY_PATH => key_file('e' x 64)));
is($code, 2, 'check with a wrong key');
like($stdout, qr/^decrypt +error/m, 'says that the backup cannot be read');

# Secrets in the environment: the restored server is told.
($code, $stdout, $err) = forge_cli({ env => { WALG_LIBSODIUM_KEY => $key_hex, WALG_LIBSODIUM_KEY_TRANSFORM => 'hex' } },
	'restore', '--storage', "file://$bucket", '--target-dir', new_directory('with_environment') . '/data');
is($code, 0, 'a restore with the key in the environment');
like($err, qr/needs these variables.*WALG_LIBSODIUM_KEY/, 'says which variables the server needs');
unlike("$stdout$err", qr/$key_hex/, 'and not their values');

# The helper: the end of its input, a signal, nonsense and a missing server all end it with 0 or 1, never with a signal.
for my $end ([ 'the end of its input', sub { }, '' ], [ 'SIGTERM', sub { kill 'TERM', $_[0] }, undef ], [ 'nonsense', sub { }, "\xff" x 4096 ])
{
	my ($what, $act, $input) = @$end;
	pipe(my $reader, my $writer) or die;
	my $answers = '';
	my $helper = IPC::Run::start([ 'forge-backup', 'helper' ], '<', $reader, '>', \$answers, '2>', \$err);
	close($reader);
	my $kid = $helper->{KIDS}[0]{PID};
	wait_until('the helper waits', sub { (readlink("/proc/$kid/exe") // 'gone') =~ /forge-backup|gone/ });
	wait_until('the helper has taken over its signals', sub { -e "/proc/$kid" ? read_text("/proc/$kid/status") =~ /^SigBlk:\s+(?!0{16})/m : 1 });
	if (defined $input) { syswrite($writer, $input); close($writer); }
	$act->($kid);
	eval { IPC::Run::finish($helper) };
	is($helper->full_result(0), 0, "$what ends the helper with 0");
}
($code, $stdout, $err) = forge_cli('helper');
like("$code", qr/^[01]$/, 'the helper without a server ends by an exit code that harms none');

$standby->stop;
$node->stop;
done_testing();
