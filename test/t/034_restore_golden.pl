# Reads what WAL-G wrote: the bucket under test/data/walg, made by WAL-G itself.
use strict;
use warnings;

use Digest::SHA;
use ForgeGolden qw(is_its_server);
use ForgeTest;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = source_dir() . '/test/data/walg';
my $full = 'base_000000010000000000000003';
my $bucket = new_directory('golden') . '/store';
PostgreSQL::Test::RecursiveCopy::copypath("$data/main/store", $bucket);
# LATEST means the newest modification time, which a checkout does not keep.
for my $line (split /\n/, read_text("$data/main/expected/objects.tsv"))
{
	my ($key, $time) = split /\t/, $line;
	system_or_bail('touch', '-d', $time, "$bucket/$key") if -f "$bucket/$key";
}
my $golden = { forge => { storage => "file://$bucket", key_file => key_file() } };
my $env = env_dir_of($golden, WALG_COMPRESSION_METHOD => 'brotli');
$ENV{PGUSER} = 'postgres';    # the superuser of the fixture

# Listed.
my ($expected) = read_text("$data/main/expected/listings.txt") =~ /(^(?:backup_name|name)\s.*?\n(?:base_.*\n)+)/m;
my $list = cli_ok('backup-list', '--env-dir', $env, 'R8: the backups of WAL-G are listed');
my @listed = $list =~ /^(base_\S+)/mg;
is_deeply(
	\@listed,
	[ $full, 'base_000000010000000000000005_D_000000010000000000000003', 'base_000000010000000000000007_D_000000010000000000000005' ],
	'R8: all three, oldest first');
my $json = decode_json(cli_ok('backup-list', '--json', '--env-dir', $env, 'R8: as JSON'));
is($json->[0]{wal_file_name}, '000000010000000000000003', 'R8: with the first segment');

# Fetched.
my $space = new_directory('space');
my $fetched = new_directory('fetched') . '/data';
cli_ok('backup-fetch', '--env-dir', $env, '--tablespace-mapping', "16384=$space", $fetched, $full,
	'R8: the full backup F is fetched');
ok(-f "$fetched/global/pg_control" && -f "$fetched/backup_label" && -f "$fetched/PG_VERSION", 'R8: it is complete');
is(readlink("$fetched/pg_tblspc/16384"), $space, 'R8: its tablespace lies where the mapping says');
cli_fails('backup-fetch', '--env-dir', $env, '--tablespace-mapping', '16384=' . new_directory('space'), $fetched, $full,
	1, qr/\Q$fetched\E.*empty|empty.*\Q$fetched\E|not empty/, 'R6: a directory that is not empty is refused');

# Recovered.
my $query = <<'END';
SELECT md5(string_agg(t||'|'||k||'|'||v, E'\n' ORDER BY t COLLATE "C", k))
FROM (SELECT 'acc' AS t, id AS k, v FROM acc
      UNION ALL SELECT 'shrink', id, v FROM shrink
      UNION ALL SELECT 'tbl_ts', id, v FROM tbl_ts
      UNION ALL SELECT 'toasty', id, v FROM toasty) s;
END
recovers('F', '2185508a4be8f582262bcd9a5c919a0e', '--target', 'immediate');
recovers('A', 'b0d5f925edc083ad2f326edcf2ca43ff', '--target-timeline', 'current', '--target-action', 'promote');
recovers('B', 'f846c89df952bab057ec207f4de9899a', '--target-timeline', 'latest', '--target-action', 'promote');
recovers('A by restore point', 'b0d5f925edc083ad2f326edcf2ca43ff', '--target-name', 'rp_tl1', '--target-timeline', 'current');
recovers('B by restore point', 'f846c89df952bab057ec207f4de9899a', '--target-name', 'rp_tl2');

# A wrong key says so.
cli_fails('backup-fetch', '--env-dir', env_dir_of($golden, WALG_LIBSODIUM_KEY_PATH => key_file('e' x 64)),
	'--tablespace-mapping', '16384=' . new_directory('space'), new_directory('wrong') . '/data', $full,
	1, qr/key|decrypt/, 'R10: a wrong key is said, and is not "backup not found"');

# Every codec and form of key, through the command line.
my %sha = (
	'00000001000000000000000B' => 'e80e01865976ed0899c35549632a775fc0a692658111fb55b56961abeb953efc',
	'00000002.history' => 'bba070683d728fe28dccdb22f0482f2f1c3bc51be8f84c1b84254dea50fb7da6');
my %key = (
	'plain' => [],
	'sodium-base64' => [ WALG_LIBSODIUM_KEY => 'ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=', WALG_LIBSODIUM_KEY_TRANSFORM => 'base64' ],
	'sodium-hex' =>
	  [ WALG_LIBSODIUM_KEY => '0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20', WALG_LIBSODIUM_KEY_TRANSFORM => 'hex' ],
	'sodium-none-padded' => [ WALG_LIBSODIUM_KEY => 'short-passphrase-25-chars', WALG_LIBSODIUM_KEY_TRANSFORM => 'none' ],
	'sodium-none-truncated' =>
	  [ WALG_LIBSODIUM_KEY => 'a-passphrase-that-is-longer-than-32-bytes', WALG_LIBSODIUM_KEY_TRANSFORM => 'none' ]);
for my $variant (grep { !/wal-delta/ } map { s{.*/}{}r } sort glob("$data/variants/*"))
{
	my ($form) = grep { $variant =~ /^\Q$_\E/ } sort { length $b <=> length $a } keys %key;
	my $variables = env_dir_of({ forge => { storage => "file://$data/variants/$variant" } }, @{ $key{$form} });
	for my $name (sort keys %sha)
	{
		next unless glob("$data/variants/$variant/wal_005/$name*");
		my $to = new_directory('fetched');
		cli_ok({ cwd => $to }, 'wal-fetch', '--env-dir', $variables, $name, "$to/file", "R8: $variant: $name is fetched");
		is(Digest::SHA->new(256)->addfile("$to/file")->hexdigest, $sha{$name}, "R8: $variant: $name is the same byte for byte")
		  if -f "$to/file";
	}
}

done_testing();

sub recovers
{
	my ($state, $md5, @cli) = @_;
	my $name = 'state_' . $state =~ s/ /_/gr;
	my $node = restore_node($name, $golden, env_dir => $env,
		cli => [ '--backup', $full, '--tablespace-mapping', '16384=' . new_directory('space'), @cli ]);
	is($node->{forge}{exit}, 0, "state $state is restored");
	if (!is_its_server($node)) { note('not started, it is of PostgreSQL 15'); }
	elsif (start_restored($node))
	{
		is($node->safe_psql('postgres', $query), $md5, "R8: backup F recovered to state $state has its checksum");
		$node->stop;
		$node->command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], "R8: state $state has no bad page");
	}
	else
	{
		fail("R8: state $state starts");
		diag(slurp_file($node->logfile)) if -f $node->logfile;
	}
	$node->clean_node;
	return;
}
