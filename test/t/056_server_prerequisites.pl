# What a server must have for backups, who may make them, and limits on sessions that must not reach ours.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

# Not set up for backups.
my $minimal = forge_node('minimal', first_backup => 0, conf => "wal_level = minimal\nmax_wal_senders = 0\narchive_mode = off\n");
my ($code, $stdout, $stderr) = $minimal->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
isnt($code, 0, 'P17: with wal_level = minimal there is no base backup');
like($stderr, qr/ERROR:.*WAL is not archived.*\n.*HINT:.*archive_mode/, 'P17: the error says why, its hint what to set');
like($minimal->safe_psql('postgres', 'SELECT string_agg(s::text, chr(10)) FROM forge_backup.status() s'), qr/archive_mode/,
	'P17: status() says that nothing is archived');
$minimal->append_conf('postgresql.conf', "wal_level = replica\nmax_wal_senders = 5");
$minimal->restart;
($code, $stdout, $stderr) = $minimal->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
like($stderr, qr/ERROR:.*WAL is not archived.*\n.*HINT:.*archive_mode/, 'P17: archive_mode = off is the same');
is(scalar(backup_names(bucket_of($minimal))), 0, 'P17: no backup is listed that could not be restored');
$minimal->append_conf('postgresql.conf', 'archive_mode = on');
$minimal->restart;
wait_first_backup($minimal);
pass('P17: with archive_mode = on the first base backup makes itself');

# No checksums of pages: nothing to verify, everything else as always.
$minimal->stop;
$minimal->command_ok([ 'pg_checksums', '--disable', $minimal->data_dir ], 'checksums are switched off');
$minimal->start;
my $name = $minimal->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
my $restored = restore_node('restored', $minimal, cli => [ '--backup', $name, '--target', 'immediate' ]);
is($restored->{forge}{exit}, 0, 'P17: a backup without page checksums restores');
$minimal->stop;

# Least privileges, as docs/cli.md and docs/sql.md have them.
my $node = forge_node('primary');
my $bucket = bucket_of($node);
my $env = env_dir_of($node);
$node->safe_psql('postgres', 'CREATE ROLE helper LOGIN');
my %connection = (PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres', PGUSER => 'helper');
($code, $stdout, $stderr) = forge_cli({ env => \%connection }, 'backup-push', '--env-dir', $env);
isnt($code, 0, 'P17: a role without rights makes no backup');
like($stderr, qr/data_directory.*pg_read_all_settings|pg_read_all_settings.*data_directory/s, 'P17: and is told what it lacks') or diag($stderr);
$node->safe_psql('postgres', 'GRANT pg_monitor TO helper');
($code, $stdout, $stderr) = forge_cli({ env => \%connection }, 'backup-push', '--env-dir', $env);
like($stderr, qr/permission denied for function trigger_basebackup/, 'P17: the next right is named as well');
$node->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION forge_backup.trigger_basebackup(bool, bool, jsonb, bool) TO helper');
cli_ok({ env => \%connection }, 'backup-push', '--env-dir', $env, 'P17: with these two a role makes backups by the server');
like((forge_cli({ env => \%connection }, 'backup-push', '--direct', '--env-dir', $env))[2],
	qr/permission denied for function pg_backup_start/, 'P17: --direct needs more');
$node->safe_psql('postgres',
	'GRANT EXECUTE ON FUNCTION pg_backup_start(text, bool), pg_backup_stop(bool) TO helper');
cli_ok({ env => \%connection }, 'backup-push', '--direct', '--env-dir', $env, 'P17: the two functions of backup mode');

# The storage comes from elsewhere, the limits are those of the server's machine: the command line looks at its settings, too.
$node->append_conf('postgresql.conf', 'forge_backup.cpu_limit = 500');
cli_fails({ env => \%connection }, 'backup-push', '--direct', '--env-dir', $env, 1, qr/cpu_limit.*invalid value "500"/s,
	'a backup made by the command line keeps to the limits of the server');
$node->adjust_conf('postgresql.conf', 'forge_backup.cpu_limit', undef);
my $automatic = $node->data_dir . '/postgresql.auto.conf';
my $kept = slurp_file($automatic);
append_to_file($automatic, "include 'gone.conf'\n");
($code, $stdout, $stderr) = forge_cli({ env => \%connection }, 'backup-push', '--direct', '--env-dir', $env);
is($code, 0, 'settings that cannot be read keep no backup from being made') or diag($stderr);
like($stderr, qr/warning: the limits that the server sets are not known: .*gone\.conf/, 'and are reported');
unlink $automatic or die;
append_to_file($automatic, $kept);

# Limits for everybody. The sessions of this test lift them, from the first on: one limit would reach the statement that sets the next.
my @limits = qw(statement_timeout lock_timeout idle_in_transaction_session_timeout idle_session_timeout);
local $ENV{PGOPTIONS} = join(' ', map { "-c $_=0" } @limits);
$node->safe_psql('postgres', "ALTER ROLE ALL SET $_ = '1ms'") for @limits;
cli_ok({ env => { %connection, PGOPTIONS => '' } }, 'backup-push', '--direct', '--env-dir', $env,
	'P18: limits on sessions do not reach a backup made by the command line');
cli_ok({ env => { %connection, PGOPTIONS => '' } }, 'backup-push', '--env-dir', $env, 'P18: nor one made by the server');

# Somebody ends the process that holds backup mode.
$node->append_conf('postgresql.conf', 'forge_backup.disk_rate_limit = 2000000');
$node->reload;
my $before = join(' ', backup_names($bucket));
my $offset = log_size($node);
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(wait => false, "full" => true)');
$node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_stat_progress_basebackup WHERE backup_streamed > 0');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'forge_backup backup'");
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'forge_backup backup'");
ok(wait_until('the log says that backup mode was ended', sub { log_since($node, $offset) =~ /aborting backup due to backend exiting/ }),
	'P18: backup mode ends with the process that held it');
is(join(' ', backup_names($bucket)), $before, 'P18: a terminated backup is not listed');
$node->append_conf('postgresql.conf', 'forge_backup.disk_rate_limit = 0');
$node->reload;
my $next = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
ok((grep { $_ eq $next } backup_names($bucket)), 'P18: the next backup works');

done_testing();
