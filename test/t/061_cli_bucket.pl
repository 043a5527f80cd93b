# The commands on the bucket, on one that WAL-G made: listings byte for byte, wal-verify, backup-mark, delete, and the calls of Spilo's scripts.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = source_dir() . '/test/data/walg';
my ($full, $first, $second) = ('base_000000010000000000000003', 'base_000000010000000000000005_D_000000010000000000000003',
	'base_000000010000000000000007_D_000000010000000000000005');
$ENV{TZ} = 'UTC';
my ($bucket, $env) = golden();

# Listings. Sections of the file begin with "$ command".
my %expected;
my $command;
for my $line (split /^/, read_text("$data/main/expected/listings.txt"))
{
	if ($line =~ /^\$ (.*)/) { $command = $1; next; }
	$expected{$command} .= $line;
}
my @where = ('--timeline', 2, '--lsn', '0/9100000');
for my $listed (sort keys %expected)
{
	my @words = split / /, $listed;
	my $out = cli_ok('--env-dir', $env, @words, ($words[0] eq 'wal-verify' ? @where : ()), "$listed works");
	chomp(my $want = $expected{$listed});
	chomp($out);
	is($out, $want, "$listed prints what WAL-G prints");
}
like(cli_ok('--env-dir', $env, 'backup-list', '--pretty', 'backup-list --pretty'), qr/^\| 0 \| \Q$full\E +\| Sunday, 22-Nov-26 09:17:33 UTC \|/m, 'numbers the rows');
like(cli_ok('--env-dir', $env, 'backup-list', '--json', '--pretty', 'backup-list --json --pretty'), qr/^    \{\n        "backup_name": "\Q$full\E"/m, 'indents by four blanks');
unlike(cli_ok('--env-dir', $env, 'wal-show', '--without-backups', 'wal-show --without-backups'), qr/BACKUPS/, 'has one column less');

# W18: without one metadata.json the rest is still shown. W9: what is no segment does not count as one.
unlink "$bucket/basebackups_005/$first/metadata.json";
like(cli_ok('--env-dir', $env, 'backup-list', '--detail', 'W18: backup-list --detail without one metadata.json'), qr/^\Q$first\E .*\b0\/5000028\b/m, 'W18: shows what the sentinel says');
cli_ok('--env-dir', $env, 'wal-show', 'W18: wal-show without one metadata.json');
unlink "$bucket/wal_005/000000010000000000000006.br";
write_text("$bucket/wal_005/000000010000000000000006.json", '{}');
like(cli_ok('--env-dir', $env, 'wal-show', 'wal-show of a gap'), qr/\| +7 \| +6 \| LOST_SEGMENTS \|/, 'W9: <segment>.json is no segment');
my ($code, $out) = forge_cli('--env-dir', $env, 'wal-verify', 'integrity', @where);
is($code, 1, 'W10: wal-verify fails on a gap');
like($out, qr/status: FAILURE.*\| +1 \| 000000010000000000000006 \| 000000010000000000000006 \| +1 \| +MISSING_LOST \|/s, 'W10: which is lost, however close it is');
($code, $out) = forge_cli('--env-dir', $env, 'wal-verify', 'timeline', '--timeline', 1, '--lsn', '0/9100000');
is($code, 1, 'W10: and where the archive has a newer timeline');
cli_ok('--env-dir', $env, 'wal-verify', 'integrity', '--backup-name', $second, @where, 'it is not looked for before the backup named');
cli_fails('--env-dir', $env, 'wal-verify', '--lsn', '0/1', 2, qr/belong together/, 'half a position is bad usage');

# Marks.
($bucket, $env) = golden();
cli_ok('--env-dir', $env, 'backup-mark', $first, 'backup-mark marks a delta');
is_deeply([ permanent() ], [ $full, $first ], 'with what it builds on');
cli_fails('--env-dir', $env, 'backup-mark', '-i', $full, 1, qr/must stay permanent.*\Q$first\E/, 'the full one stays permanent as long as the delta is');
cli_ok('--env-dir', $env, 'backup-mark', $first, 'marking again succeeds');
cli_fails('--env-dir', $env, 'backup-mark', 'base_0', 1, qr/"base_0" does not exist/, 'a backup that is not there is named');

# Deleting: told first, W4, then done.
my @before = tree($bucket);
cli_fails('--env-dir', $env, 'delete', 'target', $full, '--confirm', 1, qr/is permanent/, 'W4: delete target honours permanence');
cli_fails('--env-dir', $env, 'delete', 'everything', '--confirm', 1, qr/there are permanent backups/, 'W4: delete everything does');
cli_ok('--env-dir', $env, 'delete', 'target', $second, 'delete without --confirm');
is_deeply([ tree($bucket) ], \@before, 'deletes nothing');
my $told = decode_json(cli_ok('--env-dir', $env, 'delete', 'target', $second, '--confirm', '--json', 'with --confirm'));
is($told->{objects}, 6, 'tells what it deletes');
is_deeply([ backup_names($bucket) ], [ $full, $first ], 'and deletes it');
is(scalar(my @left = tree($bucket)), @before - 6, 'with all of its objects, and nothing else');
cli_ok('--env-dir', $env, 'backup-mark', '-i', $_, "the mark of $_ is taken away") for $first, $full;
is_deeply([ permanent() ], [], 'none is permanent now');
cli_fails('--env-dir', $env, 'delete', 'before', $first, '--confirm', 1, qr/delta backup.*hint: .*FIND_FULL/s, 'delete before a delta needs FIND_FULL');
cli_fails('--env-dir', $env, 'delete', 'retain', 'SOME', 3, 2, qr/"SOME" is not known/, 'a wrong modifier is bad usage');
mkdir "$bucket/other";
write_text("$bucket/other/000000010000000000000001", 'foreign');
cli_ok('--env-dir', $env, 'delete', 'everything', '--confirm', 'W16: delete everything');
is_deeply([ tree($bucket) ], ['other/000000010000000000000001'], 'W16: leaves what is not of backups or WAL');
cli_ok('--env-dir', $env, 'delete', 'garbage', '--confirm', 'W17: and no garbage');

# C12: what an interrupted deletion left is finished by the next one.
($bucket, $env) = golden();
unlink "$bucket/basebackups_005/${second}_backup_stop_sentinel.json", "$bucket/basebackups_005/$second/tar_partitions/pg_control.tar.br";
cli_ok('--env-dir', $env, 'delete', 'garbage', '--confirm', 'C12: delete garbage after an interrupted deletion');
ok(!-e "$bucket/basebackups_005/$second", 'C12: finishes it');
ok(!-e "$bucket/wal_005/000000010000000000000002.br", 'and deletes the WAL before the first backup');
ok(-e "$bucket/wal_005/00000002.history.br", 'but no history');

# S21: a store that refuses.
SKIP:
{
	skip 'root may do everything', 3 if $> == 0;
	chmod 0500, "$bucket/basebackups_005/$first/tar_partitions";
	cli_fails('--env-dir', $env, 'delete', 'target', $full, '--confirm', 1, qr/refused to delete 3 objects/, 'S21: what cannot be deleted is counted');
	chmod 0700, "$bucket/basebackups_005/$first/tar_partitions";
	is_deeply([ backup_names($bucket) ], [], 'S21: and the rest is deleted');
	ok(!-e "$bucket/basebackups_005/$full", 'S21: all of it');
}

# The calls of Spilo's scripts, by the name wal-g, with the variables of an envdir.
($bucket, $env) = golden();
my ($program) = grep { -x } map { "$_/forge-backup" } split /:/, $ENV{PATH};
my $links = new_directory('bin');
symlink($program, "$links/wal-g") or die "could not link: $!";
local $ENV{PATH} = "$links:$ENV{PATH}";
my %variable = map { my $name = $_; ($name => read_text("$env/$name") =~ s/\n.*//sr) } grep { !/^\./ } slurp_dir($env);
local @ENV{ keys %variable } = values %variable;
chomp(my @lines = `wal-g backup-list 2>/dev/null`);
like($lines[0], qr/^(backup_)?name\s+(last_)?modified\s/, 'wal-g backup-list has the header the scripts look for');
my @oldest = split ' ', $lines[1];
is_deeply([ @oldest[ 0 .. 2 ] ], [ $full, '2026-11-22T09:17:33Z', '000000010000000000000003' ], 'and the columns');
is(system("wal-g delete before FIND_FULL $second --confirm >/dev/null 2>&1"), 0, 'wal-g delete before FIND_FULL NAME --confirm');
is_deeply([ backup_names($bucket) ], [ $full, $first, $second ], 'keeps the chain');
ok(!-e "$bucket/wal_005/000000010000000000000002.br", 'and deletes older WAL');

done_testing();

# A copy of WAL-G's bucket with the times its objects had, and an env directory for it.
sub golden
{
	my $copy = new_directory('golden') . '/store';
	PostgreSQL::Test::RecursiveCopy::copypath("$data/main/store", $copy);
	for my $line (split /\n/, read_text("$data/main/expected/objects.tsv"))
	{
		my ($key, $time) = split /\t/, $line;
		system_or_bail('touch', '-d', $time, "$copy/$key") if -f "$copy/$key";
	}
	return ($copy, env_dir_of({ forge => { storage => "file://$copy", key_file => key_file() } }));
}

sub permanent
{
	return grep { decode_json(read_text("$bucket/basebackups_005/$_/metadata.json"))->{is_permanent} } backup_names($bucket);
}
