# C12: a deletion that is killed anywhere never leaves a backup in the listing that cannot be restored, and running it again
# finishes it.
use strict;
use warnings;

use ForgeCrash;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = crash_node('primary', conf => "forge_backup.delta_max_steps = 1\n");
my $bucket = bucket_of($node);
$node->safe_psql('postgres', 'CREATE TABLE t (i int)');
for my $i (1 .. 3)
{
	$node->safe_psql('postgres', "INSERT INTO t VALUES ($i)");
	wait_archived($node) for 1 .. 2;
	$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
}
wait_archived($node);
my $last = wait_archived($node);
$node->stop;
# What retention removes is not of today: a young body without sentinel counts as a backup that is being made.
for my $file (map { "$bucket/$_" } tree($bucket))
{
	my $then = (stat $file)[9] - 2 * 86400;
	utime($then, $then, $file);
}
my @backups = sort { (stat "$bucket/basebackups_005/${a}_backup_stop_sentinel.json")[9] <=> (stat "$bucket/basebackups_005/${b}_backup_stop_sentinel.json")[9]
	  || substr($a, 5, 24) cmp substr($b, 5, 24) } backup_names($bucket);
is(scalar(grep { /_D_/ } @backups), 2, 'full, delta, full, delta: ' . join ' ', @backups);

sub copy_of_bucket
{
	my $copy = new_directory('bucket') . '/b';
	system_or_bail('cp', '-a', $bucket, $copy);
	return $copy;
}
sub env_of { return env_dir_of({ forge => { storage => "file://$_[0]", key_file => $node->{forge}{key_file} } }); }
my @delete = ('delete', 'retain', 'FULL', '1', '--confirm');

# Everything in the listing can be restored, to the end of the archive.
sub check_listing
{
	my ($copy, $text) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $env = env_of($copy);
	my %wal = map { ($_ => 1) } wal_names($copy);
	my @problems;
	for my $backup (backup_names($copy))
	{
		my ($code, $out, $err) = forge_cli('verify', '--env-dir', $env, $backup);
		push @problems, "$backup: $out$err" if $code != 0;
		for (my $name = substr($backup, 5, 24); $name le $last; $name = name_after($name, 1))
		{
			push @problems, "$backup: $name is missing" unless $wal{$name};
		}
	}
	return is(join("\n", @problems), '', $text);
}

my $reference = copy_of_bucket();
cli_ok(@delete, '--env-dir', env_of($reference), 'C12: deleted without a kill');
my $expected = join("\n", tree($reference));
my @kept = backup_names($reference);
is(scalar(@kept), 2, 'C12: the newer full backup and its delta stay');
my $removed = tree($bucket) - tree($reference);
note("$removed files are removed");

my @places = (
	[ 'delete-backup-unlisted', 1 ], [ 'delete-backup-unlisted', 2 ],
	[ 'delete-in-folder', 1 ], [ 'delete-in-folder', 2 ], [ 'delete-in-folder', 4 ],
	# Between any two files: sentinels, the folders, WAL.
	map { [ 'file-removed', $_ ] } 4, 6, $removed - 6, $removed - 1, $removed);
for my $place (@places)
{
	my ($point, $passage) = @$place;
	my $copy = copy_of_bucket();
	my $env = env_of($copy);
	die_at($point, $passage, @delete, '--env-dir', $env);
	check_listing($copy, "C12: killed at $point $passage, what is listed can be restored");
	cli_ok(@delete, '--env-dir', $env, "C12: killed at $point $passage, the same command runs again");
	cli_ok('delete', 'garbage', '--confirm', '--env-dir', $env, "C12: killed at $point $passage, and the garbage");
	is(join("\n", tree($copy)), $expected, "C12: killed at $point $passage, both together finish the deletion");
}
check_listing($reference, 'C12: what stays can be restored');

done_testing();
