# The SQL objects where they are attacked, where the library is not preloaded, and where nobody has created them.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary', conf => "forge_backup.check_interval = '1s'\n");
$node->safe_psql('postgres', 'CREATE TABLE t AS SELECT generate_series(1, 100) AS x');
my %connection = (PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres', PGOPTIONS => '', PGAPPNAME => '');

# What holds for every object, and a hostile search path, with a storage that answers.
{
	local @ENV{ keys %connection } = values %connection;
	my $out = '';
	my $ok = run_log([ 'sh', '-c', 'cd "$0" && psql -X -v storage=on -f test/pgtap/catalog.sql', source_dir() ], '>', \$out, '2>', \$out);
	ok($ok, 'the suite of the catalog runs to its end') or diag($out);
	like($out, qr/^ok \d+ - K3: a hostile search path changes nothing: SELECT count\(\*\) FROM forge_backup\.backups$/m, 'K3: over views that ask the store as well');
	like($out, qr/^ok \d+ - with a storage every call is answered$/m, 'which answers');
	is(join("\n", $out =~ /^not ok.*/mg), '', 'and nothing fails') or diag($out);
}

# Nobody needs the SQL objects for backups to be made.
$node->safe_psql('postgres', 'DROP EXTENSION forge_backup');
my $bucket = bucket_of($node);
my ($before) = backup_names($bucket);
my $offset = log_size($node);
unlink("$bucket/basebackups_005/${before}_backup_stop_sentinel.json") or die "could not remove the backup's sentinel: $!";
$node->restart;
my $segment = switch_wal($node);
wait_until('a base backup without the extension', sub { grep { $_ ne $before } backup_names($bucket) }, 60);
wait_until('and WAL', sub { grep { /^$segment/ } wal_names($bucket) });
# The session before may still be on its way out when the server stops.
unlike(log_since($node, $offset), qr/(?:ERROR|FATAL|PANIC):  (?!terminating connection due to administrator command$)/m, 'without an error in the log');
my $standard_error = ($node->psql('postgres', 'SELECT * FROM forge_backup.status()'))[2];
like($standard_error, qr/function forge_backup\.status\(\) does not exist/, 'only the views are missing');
$node->safe_psql('postgres', 'CREATE EXTENSION forge_backup');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM forge_backup.events WHERE kind = 'backup'}), 't', 'and back, they tell what happened meanwhile');

# Without preloading each says what it cannot do, as the regression test has it.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\nforge_backup.storage = ''\n");
$node->restart;
my $expected = read_text(source_dir() . '/test/expected/preload.out');
my $shown = '';
{
	local @ENV{ keys %connection } = values %connection;
	run_log([ 'psql', '-X', '-a', '-q' ], '<', source_dir() . '/test/sql/preload.sql', '>', \$shown, '2>&1');
}
is($shown, $expected, 'not preloaded: every function and view');
$node->stop;
done_testing();
