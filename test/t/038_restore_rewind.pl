# P6: a primary that lost its place is brought back with pg_rewind, which fetches by restore_command what the server has
# recycled: nothing else is put into its pg_wal, and nothing it needs goes away.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = forge_node('old', conf => "wal_keep_size = 0\nmax_wal_size = '2MB'\nmin_wal_size = '2MB'\ncheckpoint_timeout = '1h'\nautovacuum = off\n");
my $data = $old->data_dir;
my $bucket = bucket_of($old);
my $env = env_dir_of($old);
$old->safe_psql('postgres', 'CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 2000) i');
my $new = forge_standby($old, 'new');

# --- two servers on two timelines ----------------------------------------------------------------------------------------

# From the last checkpoint that both know on, pg_rewind reads all WAL of the old one.
$old->append_conf('postgresql.conf', "max_wal_size = '1GB'");
$old->reload;
$old->safe_psql('postgres', 'CHECKPOINT');
my @needed;
for my $round (1 .. 4)
{
	$old->safe_psql('postgres', "UPDATE t SET v = 'before $round' WHERE i % 4 = $round % 4");
	push @needed, wait_archived($old);
}
$old->wait_for_catchup($new);
$new->promote;
$new->safe_psql('postgres', "INSERT INTO t VALUES (-1, 'on the new timeline'); CHECKPOINT");
wait_until('the new timeline is archived', sub { wait_archived($new); -e "$bucket/wal_005/00000002.history.zst" });
$old->safe_psql('postgres', "DELETE FROM t WHERE i <= 1000; INSERT INTO t VALUES (-2, 'on a timeline that nobody follows')");
wait_until('the old one has recycled what it had archived', sub {
	switch_wal($old);
	$old->safe_psql('postgres', 'CHECKPOINT');
	return !grep { -e "$data/pg_wal/$_" } @needed;
});
$old->stop;

# --- pg_rewind -----------------------------------------------------------------------------------------------------------

# Around each call: what was asked for, and what pg_wal has afterwards.
my $seen = new_directory('seen');
my $program = (grep { -x } map { "$_/forge-backup" } split /:/, $ENV{PATH})[0];
my $command = write_text(new_directory('command') . '/fetch', <<"END", 0755);
#!/bin/sh
'$program' wal-fetch --env-dir '$env' "\$1" "\$2"
code=\$?
echo "\$1 \$code" >>'$seen/calls'
ls -A '$data/pg_wal' >"$seen/after.\$1"
exit \$code
END
$old->append_conf('postgresql.conf', "restore_command = '$command %f %p'");
my $conf = read_text("$data/postgresql.conf");
my @before = grep { !/^\.\.?$/ } slurp_dir("$data/pg_wal");
my ($out, $err) = ('', '');
my $done = IPC::Run::run([ 'pg_rewind', '-c', '--target-pgdata', $data, '--source-server', $new->connstr('postgres') ],
	'<', \'', '>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
ok($done, 'P6: pg_rewind succeeds with wal-fetch as restore_command') or diag("$out$err");
my %asked = map { split / / } -e "$seen/calls" ? split(/\n/, read_text("$seen/calls")) : ();
cmp_ok(scalar(grep { ($asked{$_} // 1) == 0 } @needed), '>', 1, 'P6: it has fetched what was recycled') or diag(explain(\%asked));
my %known = map { $_ => 1 } @before, keys %asked;
for my $name (sort keys %asked)
{
	my %after = map { $_ => 1 } split /\n/, read_text("$seen/after.$name");
	is(join(' ', grep { !$known{$_} } sort keys %after), '', "P6: after $name pg_wal has nothing that nobody asked for");
	is(join(' ', grep { !$after{$_} } @before), '', 'P6: and has lost nothing');
}

# --- back as a standby ---------------------------------------------------------------------------------------------------

# pg_rewind brings the settings of the other one.
write_text("$data/postgresql.conf", $conf);
$old->append_conf('postgresql.conf', "primary_conninfo = '" . $new->connstr . " application_name=old'\n");
write_text("$data/standby.signal", '');
$old->start;
$new->safe_psql('postgres', "INSERT INTO t VALUES (-3, 'after the rewind')");
$new->wait_for_catchup('old');
is(table_checksum($old, 't'), table_checksum($new, 't'), 'P6: the server follows the new timeline with the same rows');
is($old->safe_psql('postgres', 'SELECT count(*) FROM t WHERE i = -2'), '0', 'P6: without those that nobody followed');
$old->stop;
$new->stop;
done_testing();
