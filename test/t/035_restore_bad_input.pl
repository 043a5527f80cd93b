# What bad input gets on the command line: a message that names the thing and says what to do, the exit code as documented,
# nothing written.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary');
my $env = env_dir_of($node);
my $bucket = bucket_of($node);
my ($backup) = backup_names($bucket);
wait_archived($node);
my ($begin) = $backup =~ /_([0-9A-F]{24})/;
wait_until('WAL of before the backup is removed', sub { !grep { m{wal_005/([0-9A-F]{24})\.} && $1 lt $begin } tree($bucket) });
my $before = join("\n", tree($bucket));
my $target = new_directory('target') . '/data';
my @restore = ('restore', '--target-dir', $target);

# Where: URL, bucket.
for my $url ('ftp://host/dir', 'nonsense', 's3://', 's3:///prefix', 'file://relative/dir', 'file://')
{
	cli_fails('backup-list', '--storage', $url, 1, qr/error: .*\Q$url\E(?s:.*)hint: [A-Z].*\.$/m, "a wrong URL \"$url\" is named, with a hint");
}
my $absent = new_directory('absent') . '/no/where';
cli_fails('backup-list', '--storage', "file://$absent", 1, qr/\Q$absent\E/, 'a store directory that does not exist is named');
ok(!-e $absent, 'and not created by looking');
cli_fails(@restore, '--storage', '', 1, qr/storage/, 'no storage at all is said');

# How: compression, keys.
cli_fails('backup-list', '--env-dir', $env, '--compression', 'zip', 1, qr/"zip"(?s:.*)hint: .*zstd/, 'an unknown compression is named, with the known ones');
my %key = (
	'of wrong length' => write_text(new_directory('key') . '/short', "0011\n", 0600),
	'that is empty' => write_text(new_directory('key') . '/empty', '', 0600),
	'that does not exist' => '/nowhere/key');
for my $what (sort keys %key)
{
	cli_fails(@restore, '--env-dir', $env, '--encryption-key-files', $key{$what},
		1, qr/error: .*\Q$key{$what}\E/, ($what =~ /exist/ ? 'K1' : 'R10') . ": a key file $what is named");
}
my $not_hex = write_text(new_directory('key') . '/nothex', 'z' x 64 . "\n", 0600);
cli_fails(@restore, '--env-dir', env_dir_of($node, WALG_LIBSODIUM_KEY_PATH => $not_hex),
	1, qr/error: .*\Q$not_hex\E.*hex/, 'R10: a key that is not hex where hex is said is named');
SKIP:
{
	skip 'root reads everything', 1 if $> == 0;
	my $closed = write_text(new_directory('key') . '/closed', "$key_hex\n", 0000);
	cli_fails(@restore, '--env-dir', $env, '--encryption-key-files', $closed,
		1, qr/error: .*\Q$closed\E.*(denied|read)/, 'K1: an unreadable key file is named');
}
cli_fails(@restore, '--env-dir', env_dir_of($node, WALG_PGP_KEY => 'x'), 1, qr/WALG_PGP_KEY/, 'a setting that is not supported is refused, not ignored');
cli_fails(@restore, '--env-dir', '/nowhere/env', 1, qr{/nowhere/env}, 'an env directory that does not exist is named');

# What: backup, target.
cli_fails(@restore, '--env-dir', $env, '--backup', 'base_00000001000000000000FFFF', 1, qr/base_00000001000000000000FFFF(?s:.*)hint:.*\Q$backup\E/,
	'an unknown backup is named, with those that exist');
cli_fails('backup-fetch', '--env-dir', $env, $target, 'base_00000001000000000000FFFF', 1, qr/base_00000001000000000000FFFF/,
	'backup-fetch names it as well');
for my $bad ([ '--target-time', 'yesterday' ], [ '--target-time', '2026-11-22 10:00:00' ], [ '--target-lsn', '12' ], [ '--target-xid', 'x' ])
{
	my ($code, $stdout, $stderr) = forge_cli(@restore, '--env-dir', $env, @$bad);
	ok($code == 1 || $code == 2, "$bad->[0] '$bad->[1]' fails");
	like($stderr, qr/\Q$bad->[1]\E/, 'and the message names it');
}
cli_fails(@restore, '--env-dir', $env, '--target-time', '2026-11-22 10:00:00+00', '--target-lsn', '0/3000000', 2, qr/--target-/, 'two targets are bad usage');
cli_fails('restore', '--env-dir', $env, 2, qr/--?target-dir/, 'a restore without a directory is bad usage');
cli_fails('nonsense', 2, qr/"nonsense"(?s:.*)hint/, 'an unknown command is named, with a hint');

# Where to: directory.
my $full = new_directory('full');
write_text("$full/precious", 'do not touch');
cli_fails('restore', '--env-dir', $env, '--target-dir', $full, 1, qr/"\Q$full\E".*not empty(?s:.*)hint/, 'R6: a directory that is not empty is refused');
is(join(' ', grep { !/^\./ } slurp_dir($full)), 'precious', 'R6: and left as it is');
cli_fails('restore', '--env-dir', $env, '--target-dir', $node->data_dir, 1, qr/not empty|running/, 'R6: so is the directory of a running server');
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'R6: which goes on running');

# Another major version: the sentinel says 14.
my $sentinel = "$bucket/basebackups_005/${backup}_backup_stop_sentinel.json";
my $metadata = "$bucket/basebackups_005/$backup/metadata.json";
my %text = map { $_ => read_text($_) } $sentinel, $metadata;
write_text($_, $text{$_} =~ s/("PgVersion"|"pg_version"):\d+/$1:140005/r) for keys %text;
my ($code, $stdout, $stderr) = forge_cli(@restore, '--env-dir', $env, '--pg-bindir', $node->config_data('--bindir'));
is($code, 1, 'R6: a backup of another major version is refused');
like($stderr, qr/PostgreSQL 14.* of ${\$node->pg_version->major}(?s:.*)hint/, 'R6: and the message names both versions');
ok(!-e "$target/global/pg_control", 'R6: and nothing that could be started is written');
write_text($_, $text{$_}) for keys %text;

# A part is missing, cut, or from another backup: refused by name, nothing startable is left. (S15, S16)
my $part = "$bucket/basebackups_005/$backup/tar_partitions/part_001.tar.zst";
my $whole = read_text($part);
for my $damage ([ 'is missing', 'S16', sub { unlink $part } ], [ 'is cut', 'S15', sub { write_text($part, substr($whole, 0, length($whole) / 2)) } ],
	[ 'has a flipped bit', 'S14', sub { my $t = $whole; substr($t, length($t) / 3, 1) ^= "\x10"; write_text($part, $t) } ],
	[ 'is empty', 'S15', sub { write_text($part, '') } ])
{
	my ($what, $id, $make) = @$damage;
	my $into = new_directory('damaged') . '/data';
	$make->();
	($code, $stdout, $stderr) = forge_cli('restore', '--env-dir', $env, '--target-dir', $into);
	is($code, 1, "$id: a backup of which a part $what is not restored");
	like($stderr, qr/part_001|PG_VERSION|\bfile\b/, "$id: the message names the object or file");
	ok(!-e "$into/global/pg_control", "$id: and what is left cannot be started by mistake");
}
write_text($part, $whole);

is(join("\n", tree($bucket)), $before, 'none of all this has changed the store');
ok(!-e $target || !grep({ !/^\./ } slurp_dir($target)), 'or written into the target directory');
cli_ok(@restore, '--env-dir', $env, 'and with good input the same command works');

# Help teaches.
my $help = cli_ok('--help', 'forge-backup --help');
like($help, qr/^\s+$_\b/m, "the overview lists $_") for qw(restore plan backup-list backup-push backup-fetch wal-push wal-fetch check);
like(cli_ok('restore', '--help', 'restore --help'), qr/--target-time/, 'restore --help explains the targets');
like(cli_ok('--version', 'forge-backup --version'), qr/^forge-backup \d+\.\d+/, '--version');

done_testing();
