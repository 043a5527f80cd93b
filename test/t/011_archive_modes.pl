# Not preloaded, off, and archive_mode = always.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

# Only archive_library: no shared memory, no worker, but WAL must go out.
my $plain = forge_node('plain', preload => 0);
my $segment = wait_archived($plain);
ok(-f bucket_of($plain) . "/wal_005/$segment.zst", 'a server that does not preload the library archives');
is($plain->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'forge_backup%'"),
	'0', 'it has no worker of ours');
like($plain->safe_psql('postgres', 'SELECT s FROM forge_backup.status() s'), qr/shared_preload_libraries/,
	'status() says that the library is not preloaded');
my ($code, $stdout, $stderr) = $plain->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
isnt($code, 0, 'trigger_basebackup() fails there');
like($stderr, qr/HINT:.*shared_preload_libraries/, 'and its hint says what to do');
$plain->stop;

# Off: nothing says where to store.
my $off = forge_node('off', storage => undef, key => 0);
my $offset = log_size($off);
my @names = map { wait_archived($off) } 1 .. 5;
is(scalar(grep { archive_state($off, $_) eq 'ready' } @names), 0, 'without a store WAL is accepted and there is no backlog');
is($off->safe_psql('postgres', 'SELECT failed_count FROM pg_stat_archiver'), '0', 'and no attempt fails');
my @said = slurp_file($off->logfile) =~ /^.*forge_backup.*\b(?:off|storage)\b.*$/mg;
@said = grep { !/STATEMENT|statement:/ } @said;
cmp_ok(scalar @said, '>=', 1, 'the log says that nothing is kept');
cmp_ok(scalar @said, '<=', 2, 'and says it once, not for every segment') or diag(join("\n", @said));
like($off->safe_psql('postgres', 'SELECT s FROM forge_backup.status() s'), qr/\boff\b/, 'status() shows it');

# A store comes: a reload is enough.
my $bucket = new_directory('bucket');
$off->append_conf('postgresql.conf', "forge_backup.storage = 'file://$bucket'");
$off->reload;
wait_until('a segment is in the new store', sub { my $name = wait_archived($off); -f "$bucket/wal_005/$name.zst" });
pass('after a reload with a store WAL is kept');
wait_first_backup($off);
pass('and the first base backup makes itself');
$off->stop;

# archive_mode = always: primary and standby archive the same names.
my $primary = forge_node('primary', conf => "archive_mode = always\n");
my $standby = forge_standby($primary, 'standby');
$segment = wait_archived($primary);
$primary->wait_for_catchup($standby);
wait_archived($standby, $segment);
is($standby->safe_psql('postgres', 'SELECT failed_count FROM pg_stat_archiver'), '0',
	'P7 H2: a standby with archive_mode = always accepts what the primary has stored');
is($primary->safe_psql('postgres', 'SELECT failed_count FROM pg_stat_archiver'), '0', 'H2: and so does the primary');

done_testing();
