# forge-backup restore --in-place: the data directory of a stopped server is replaced, twice, also when it is killed in between; what
# must not be replaced is refused before anything is touched.
use strict;
use warnings;

use ForgeTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $space = new_directory('space');
my $node = forge_node('shop');
my $data = $node->data_dir;
write_text("$data/old.crt", 'in the backup');
$node->safe_psql('postgres', "CREATE TABLESPACE ts LOCATION '$space'");
$node->safe_psql('postgres', 'CREATE TABLE t (id int); CREATE TABLE u TABLESPACE ts AS SELECT generate_series(1, 1000) AS id');
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
my %after = map { $_ => insert($_) } 1 .. 3;
wait_archived($node);

# An env directory is outside of what is replaced.
my $env = env_dir_of($node);
my @command = ('restore', '--env-dir', $env, '--in-place', '--target-dir', $data);
cli_fails(@command, '--target-time', $after{1}, '--confirm', 1, qr/a server runs in directory "\Q$data\E"/, 'a running server is refused');
is(rows(), '1 2 3', 'and goes on');
$node->stop;
cli_fails('restore', '--env-dir', $env, '--target-dir', $data, '--confirm', 2, qr/--in-place/, '--confirm is for --in-place');
cli_fails(@command, '--pgdata', $data, 2, qr/--pgdata/, 'settings from what is replaced are refused');
cli_fails('restore', '--env-dir', $env, '--in-place', '--target-dir', $env, 1, qr/is not the data directory of a server/, 'another directory is refused');
cli_fails(@command, '--target-time', '2000-01-01 00:00:00+00', '--confirm', 1, qr/before the first backup/, 'a target that nothing leads to is refused');
write_text("$data/pg_wal/archive_status/000000010000000000000099.ready", '');
cli_fails(@command, '--target-time', $after{1}, '--confirm', 1, qr/1 WAL file .* never archived: 000000010000000000000099/, 'WAL that was never archived is not lost');
unlink("$data/pg_wal/archive_status/000000010000000000000099.ready");
my $other = forge_node('other', start => 0);
cli_fails('restore', '--env-dir', $env, '--in-place', '--target-dir', $other->data_dir, '--confirm',
	1, qr/is of the cluster with system identifier \d+/, 'a backup of another cluster is refused');

write_text("$data/old.crt", 'renewed');
write_text("$data/new.crt", 'not in the backup');
my ($code, $stdout, $stderr) = forge_cli(@command, '--target-time', $after{1});
is($code, 0, 'without --confirm it only tells') or diag($stderr);
like($stderr, qr/deleted from "\Q$data\E": .*\bbase\b.*, in all \d/, 'what is deleted');
like($stderr, qr{deleted: tablespace directory "\Q$space\E/PG_}, 'in tablespaces, too');
like($stderr, qr/renamed to NAME.before_restore.TIME: .*old\.crt/, 'what is set aside');
like($stderr, qr/kept: new\.crt$/m, 'what is kept');
like($stderr, qr/nothing was changed; add --confirm/, 'and what to add');
$node->start;
is(rows(), '1 2 3', 'nothing is changed');
$node->stop;

killed_when('the control file is gone', sub { !-e "$data/global/pg_control" }, $after{1});
killed_when('files come', sub { -e "$data/forge_restore.journal" }, $after{1});
cli_ok(@command, '--target-time', $after{1}, '--confirm', 'the same command goes on after a kill');
promoted('1', 'the first restore');
is(read_text("$data/new.crt"), 'not in the backup', 'a file that the backup lacks is still there');
is(read_text("$data/old.crt"), 'in the backup', 'one that it has is the one of the backup');
is(join(' ', map { read_text($_) } glob("$data/old.crt.before_restore.*")), 'renewed', 'and the present one was set aside');
like(read_text("$data/forge_backup.restored"), qr/^backup = base_/m, 'the marker is there');
is(join(' ', grep { /^forge_restore|^base\.before|postmaster\.pid\./ } slurp_names($data)), '', 'nothing of the restore is left');

# What the restored server does is archived by itself, and the next restore goes to the line that was left.
insert(10);
my $segment = switch_wal($node);
like($segment, qr/^00000002/, 'the restored server is on a new timeline');
wait_archived($node);
$node->stop;
cli_ok(@command, '--target-time', $after{2}, '--target-timeline', 1, '--confirm', 'restored in place once more, to another moment');
promoted('1 2', 'the second restore');
like(switch_wal($node), qr/^00000003/, 'it does not take the timeline of the first restore');
wait_archived($node);
$node->stop;
cli_ok(@command, '--target-timeline', 2, '--confirm', 'and to the end of the first restore');
promoted('1 10', 'the third restore');
amcheck_ok($node, 'pg_amcheck finds nothing wrong');
$node->stop;
done_testing();

sub rows { return $node->safe_psql('postgres', q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM t}); }

# A moment between this row and the next.
sub insert
{
	my ($row) = @_;
	$node->safe_psql('postgres', "INSERT INTO t VALUES ($row)");
	my $moment = $node->safe_psql('postgres', q{SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US"+00:00"') FROM pg_sleep(0.05)});
	$node->safe_psql('postgres', 'SELECT pg_sleep(0.05)');
	return $moment;
}

sub slurp_names
{
	my ($directory) = @_;
	opendir(my $handle, $directory) or die "could not open \"$directory\": $!";
	return readdir($handle);
}

sub killed_when
{
	my ($what, $condition, $target) = @_;
	my ($out, $err) = ('', '');
	my $restore = IPC::Run::start([ 'forge-backup', @command, '--target-time', $target, '--confirm' ], '<', \'', '>', \$out, '2>', \$err);
	my $end = time() + 60;
	usleep(500) until $condition->() || time() > $end;
	$restore->signal('KILL');
	$restore->finish;
	ok(!-e "$data/global/pg_control", "killed when $what: there is no control file") or diag($err);
	ok(!$node->start(fail_ok => 1), "killed when $what: no server starts there");
	return;
}

sub promoted
{
	my ($expected, $what) = @_;
	$node->start;
	wait_until("$what: promoted", sub { $node->safe_psql('postgres', 'SELECT NOT pg_is_in_recovery()') eq 't' });
	is(rows(), $expected, "$what: what was there at that moment");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM u'), 1000, "$what: with the tablespace");
	is($node->safe_psql('postgres', 'SHOW archive_mode'), 'on', "$what: it archives");
	return;
}
