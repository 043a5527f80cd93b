# A base backup that is killed anywhere: without sentinel it does not exist, what it left is removed in time, and the next
# one succeeds. With its sentinel it is whole.
use strict;
use warnings;

use ForgeCrash;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = crash_node('primary', start => 0);
my $bucket = bucket_of($node);
my $env = env_dir_of($node);

# Bodies of backups that have no sentinel.
sub bodies
{
	my %listed = map { ($_ => 1) } backup_names($bucket);
	return grep { !$listed{$_} } map { m{/(base_\w+)$} ? $1 : () } glob("$bucket/basebackups_005/base_*");
}
sub progress_phase { return $node->safe_psql('postgres', 'SELECT count(*) FROM pg_stat_progress_basebackup'); }

# The backup that a new prefix gets is tried again by itself, a minute later or when the settings are read again.
arm('backup-file', 200);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION forge_backup');
fired('backup-file');
is(scalar(backup_names($bucket)), 0, 'C7: killed in the middle of a part, there is no backup');
wait_until('the runner is gone', sub { progress_phase() == 0 });
ok(scalar(bodies()), 'C7: only what it had written');
$node->reload;
ok(wait_first_backup($node), 'C7: the next attempt succeeds by itself');

$node->safe_psql('postgres', "CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 3000) i");
my @listed = backup_names($bucket);
for my $case (
	[ 'backup-before-control', 'C8: killed before the control file' ],
	[ 'backup-copied', 'C8: killed after all parts' ],
	[ 'backup-before-label', 'C9: killed after the stop, before the label' ],
	[ 'backup-before-manifest', 'C9: killed after the label' ],
	[ 'backup-before-sentinel', 'C10: killed before the sentinel' ])
{
	my ($point, $what) = @$case;
	arm($point);
	my ($code, $out, $err) = $node->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	ok($code != 0 && !is_armed($point), "$what, who asked is told") or diag("exit code $code: $out$err");
	is(join(' ', backup_names($bucket)), join(' ', @listed), "$what, there is no backup more");
}
push @listed, $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
is(join(' ', backup_names($bucket)), join(' ', @listed), 'C8 C9 C10: the next attempt succeeds');

# The runner holds backup mode: a server process, so the server starts again.
for my $case ([ 'runner-before-stop', 'C8: runner killed before the stop' ], [ 'runner-after-stop', 'C9: runner killed after the stop' ])
{
	my ($point, $what) = @$case;
	arm($point);
	my ($code) = $node->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	isnt($code, 0, "$what, the server starts again");
	fired($point);
	wait_back($node);
	is(join(' ', backup_names($bucket)), join(' ', @listed), "$what, there is no backup more");
}
# Whose WAL waits for the archiver; the postmaster starts it ten seconds after the last one, when something wakes it.
wait_archived($node);
push @listed, $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
is(join(' ', backup_names($bucket)), join(' ', @listed), 'C8 C9: the next attempt succeeds');

# The manifest is written first, and the two name each other: a sentinel without manifest cannot come about.
{
	arm('backup-after-sentinel');
	my ($code) = $node->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	isnt($code, 0, 'C11: killed after the sentinel, who asked is told');
	my ($new) = grep { my $name = $_; !grep { $_ eq $name } @listed } backup_names($bucket);
	ok($new, 'C11: the backup exists');
	my $manifest = sentinel_of($bucket, $new)->{ForgeManifest} // '';
	ok(-f "$bucket/basebackups_005/$new/$manifest", "C11: so does its manifest, \"$manifest\"");
	cli_ok('verify', '--env-dir', $env, $new, 'C11: it is whole');
	same_restored('restored', $node, 't', 'C11: a restore of it has every row', cli => [ '--backup', $new ]);
}

# What the killed ones left: a day old it goes with the garbage, and nothing else does.
{
	my @left = bodies();
	cmp_ok(scalar(@left), '>=', 5, 'C7: bodies without sentinel are left');
	my @whole = grep { my $file = $_; !grep { $file =~ /\Q$_\E/ } @left } tree($bucket);
	cli_ok('delete', 'garbage', 'BACKUPS', '--confirm', '--env-dir', $env, 'C7: garbage is deleted');
	is(scalar(bodies()), scalar(@left), 'C7: what may still be written stays');
	for my $file (map { "$bucket/$_" } split /\n/, `cd $bucket && find basebackups_005 -type f`)
	{
		utime(time() - 2 * 86400, time() - 2 * 86400, $file) if grep { $file =~ /\Q$_\E/ } @left;
	}
	cli_ok('delete', 'garbage', 'BACKUPS', '--confirm', '--env-dir', $env, 'C7: garbage is deleted a day later');
	is(scalar(bodies()), 0, 'C7: what killed backups left is gone');
	is(join("\n", tree($bucket)), join("\n", @whole), 'C7: and nothing else');
}

$node->stop;
done_testing();
