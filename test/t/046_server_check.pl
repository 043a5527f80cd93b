# check(): every weakness of a server that it knows of, made and mended; and the form for monitoring.
use strict;
use warnings;

use ForgeFaults;
use ForgeTest;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

my $store = start_fake();
my $bucket = $store->bucket;
my $node = forge_node('shop', storage => undef, conf => $bucket->conf . "fsync = on\nforge_backup.check_interval = '1s'\nforge_backup.schedule = ''\n");
wait_first_backup($node);
wait_archived($node);

sub rows { return $node->safe_psql('postgres', $_[0]); }
sub finding { my ($check) = @_; return rows(qq{SELECT string_agg(level || ' ' || detail || coalesce(' -> ' || hint, ''), '; ') FROM forge_backup.check(true) WHERE "check" = '$check'}); }
# The scheduler looks once a second, and is told of settings after the sessions.
sub soon
{
	my ($check, $pattern, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_until("what check() says of $check", sub { finding($check) =~ $pattern });
	return like(finding($check), $pattern, $name);
}
sub dead { return { match => { bucket => "^$bucket->{name}\$" }, do => { status => 503, code => 'ServiceUnavailable' } }; }

# A setting, what check() says of it, and what it says without it.
sub weak
{
	my ($check, $setting, $value, $finding, %option) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $apply = $option{restart} ? sub { $node->restart } : sub { $node->reload };
	$node->safe_psql('postgres', "ALTER SYSTEM SET $setting = '$value'");
	$apply->();
	wait_until("$setting is in force", sub { rows("SHOW $setting") eq $value });
	soon($check, $finding, "$setting = $value is found, with what to do");
	$node->safe_psql('postgres', "ALTER SYSTEM RESET $setting");
	$apply->();
	wait_until("$setting is back", sub { rows("SHOW $setting") ne $value });
	soon($check, qr/^ok /, "$setting as it was is fine");
	return;
}

soon('newest_backup', qr/^ok /, 'the scheduler has seen the first base backup');
is(rows(q{SELECT string_agg("check" || ': ' || detail, '; ') FROM forge_backup.check() WHERE level <> 'ok'}), '', 'a healthy server has no findings');
weak('fsync', 'fsync', 'off', qr/^error .*damaged.* -> Set fsync to "on"/);
weak('full_page_writes', 'full_page_writes', 'off', qr/^warning .*torn.* -> Set it to "on"/);
weak('archiving', 'archive_library', '', qr/^error WAL is archived by something else.* -> Set archive_library/);
weak('archiving', 'archive_mode', 'off', qr/^error archive_mode is "off".* -> .*restart/, restart => 1);
weak('disk', 'max_wal_size', '1000TB', qr/^warning \d+ MB are free .*less than max_wal_size/);
weak('scheduler', 'forge_backup.schedule_timezone', 'Nowhere/Town', qr/^error .*unknown time zone "Nowhere\/Town"/);

$node->safe_psql('postgres', 'CREATE UNLOGGED TABLE fleeting (id int)');
like(finding('unlogged'), qr/^warning 1 unlogged table of this database will be empty after a restore -> .*SET LOGGED/, 'an unlogged table is found');
$node->safe_psql('postgres', 'ALTER TABLE fleeting SET LOGGED');
like(finding('unlogged'), qr/^ok /, 'and one that is logged is fine');
$node->safe_psql('postgres', q{UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'forge_backup'});
like(finding('version'), qr/^warning the SQL objects are of version 0\.9, the library is of version 1\.0 -> Run ALTER EXTENSION/, 'P22: SQL objects of another version are found');
$node->safe_psql('postgres', q{UPDATE pg_extension SET extversion = '1.1' WHERE extname = 'forge_backup'});
like(finding('version'), qr/^warning the SQL objects are of version 1\.1, the library is of version 1\.0 -> .*restart the server first/, 'P22: so is a library that is older than they are');
$node->safe_psql('postgres', q{UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'forge_backup'});
like(finding('version'), qr/^ok /, 'P22: and of the same are fine');

# --- what only the store knows -----------------------------------------------------------------------------------------

is(rows(q{SELECT count(*) > 5 FROM forge_backup.check(quick => true)}), 't', 'the quick form has findings');
$node->safe_psql('postgres', 'ALTER SYSTEM SET forge_backup.check_interval = 3600000');
$node->reload;
$node->restart;
wait_until('the server has looked', sub { status_value($node, 'backups_in_storage') =~ /^some/ });
my ($before, $since) = (-1, 0);
wait_until('the store is at rest', sub {
	my $now = scalar $bucket->requests;
	($before, $since) = ($now, time()) if $now != $before;
	return time() - $since > 3;
});
rows(q{SELECT count(*) FROM forge_backup.check(quick => true)}) for 1 .. 3;
is(scalar $bucket->requests, $before, 'and asks the store nothing');
like(rows(q{SELECT string_agg("check", ' ') FROM forge_backup.check()}), qr/write.*clock.*delete.*recovery/, 'the other one writes, reads, removes, compares clocks and plans a recovery');
cmp_ok(scalar $bucket->requests, '>', $before + 5, 'by asking the store');
$node->safe_psql('postgres', q{ALTER SYSTEM SET forge_backup.check_interval = '1s'});
$node->reload;

# --- monitoring --------------------------------------------------------------------------------------------------------

$bucket->{key_file} = $node->{forge}{key_file};
my $env = $bucket->env;
my %connection = (PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres');
sub nagios { return forge_cli({ env => { %connection, ref $_[0] ? %{ shift() } : () } }, 'check', '--env-dir', $env, '--nagios', '--timeout', 20, @_); }

my ($code, $stdout) = nagios('--server');
is($code, 0, 'monitoring: all is well') or diag($stdout);
like($stdout, qr/^FORGE_BACKUP OK - \d+ checks passed \| backup_age=\d+s;;;0 errors=0;;;0 warnings=0;;;0 time=\d+\.\d+s;;;0\n$/, 'in one line, with figures');
$node->safe_psql('postgres', 'ALTER TABLE fleeting SET UNLOGGED');
($code, $stdout) = nagios('--server');
is($code, 1, 'monitoring: a warning of the server');
like($stdout, qr/^FORGE_BACKUP WARNING - unlogged: 1 unlogged table[^|]*\|.*warnings=1;;;0.*\nwarning: unlogged: /, 'is the verdict');
($code) = nagios();
is($code, 0, 'monitoring: without --server only the store is looked at');
($code, $stdout) = nagios({ PGPORT => 1 }, '--server');
is($code, 2, 'monitoring: a server that is not there');
like($stdout, qr/^FORGE_BACKUP CRITICAL - server: could not connect/, 'is the verdict');
($code, $stdout) = nagios({ PGDATABASE => 'template1' }, '--server');
is($code, 2, 'monitoring: a database without the extension');
like($stdout, qr/^FORGE_BACKUP CRITICAL - server: the database has no extension.*\nerror: server: .*PGDATABASE/, 'says which one to name');
($code) = nagios('--no-such-option');
is($code, 3, 'monitoring: wrong usage is unknown');

# --- base backups that the schedule wants and that fail ------------------------------------------------------------------

{
	my $five_days_ago = POSIX::strftime('%Y-%m-%d', gmtime(time() - 5 * 86400));
	$store->script({ match => { bucket => "^$bucket->{name}\$", method => '^PUT$', key => '/basebackups_005/.*/tar_partitions/' },
			do => { status => 403, code => 'AccessDenied' } });
	for my $sentinel (grep { /_backup_stop_sentinel\.json$/ } $bucket->names)
	{
		$bucket->put($sentinel, $bucket->content($sentinel) =~ s/"((?:Start|Finish)Time)":"\K[\d-]+(?=T)/$five_days_ago/gr);
	}
	$node->safe_psql('postgres', q{ALTER SYSTEM SET forge_backup.schedule = '30 3 * * *'});
	$node->reload;
	wait_until('runs of the schedule were missed', sub { finding('newest_backup') =~ /^warning/ }, 60);
	like(finding('newest_backup'), qr/ended at .*, and two runs of the schedule have passed since -> See backup_problem/, 'base backups that are overdue are found');
	wait_until('and why', sub { finding('last_backup') =~ /AccessDenied|denied/ }, 60);
	my ($status, $text) = nagios();
	is($status, 1, 'monitoring: an old base backup is a warning');
	like($text, qr/^FORGE_BACKUP WARNING - backups: newest backup "\w+" ended 5 d 0 h ago.*backup_age=432\d{3}s;/, 'with its age');
	$store->script;
	$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	wait_until('a new one is in time', sub { finding('newest_backup') =~ /^ok/ && finding('last_backup') !~ /^error/ }, 60);
	is((nagios())[0], 0, 'monitoring: and all is well again');
	$node->safe_psql('postgres', q{ALTER SYSTEM SET forge_backup.schedule = ''});
	$node->reload;
}

# --- an outage ---------------------------------------------------------------------------------------------------------

$node->safe_psql('postgres', q{ALTER TABLE fleeting SET LOGGED; ALTER SYSTEM SET forge_backup.backlog_limit = '2MB'});
$node->reload;
$store->script(dead());
my $polls = 0;
wait_until('WAL is given up', sub { switch_wal($node) if $polls++ % 20 == 0; return finding('gaps') !~ /^ok/; });
like(finding('gaps'), qr/^error \d+ WAL files are lost, from \w{24} on.* -> /, 'N1: WAL that is lost is found');
like(finding('archiver'), qr/^error .*503.*; \d+ files? waits? ?-?>?/, 'N1: and that archiving fails');
($code, $stdout) = nagios('--server');
is($code, 2, 'N1: monitoring: critical');
like($stdout, qr/^error: store: /m, 'N1: with what the store said');
$store->script;
wait_until('the gap is bridged', sub { finding('gaps') =~ /^ok/ }, 120);
wait_until('archiving works', sub { finding('archiver') =~ /^ok/ }, 60);

# --- without preloading ------------------------------------------------------------------------------------------------

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
like(finding('preload'), qr/^warning .* -> Add forge_backup to shared_preload_libraries/, 'a library that is not preloaded is found');
like(finding('archiving'), qr/^ok /, 'and that it archives all the same');
$node->stop;
done_testing();
