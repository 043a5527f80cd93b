# wal-fetch as restore_command: "not there" is said only when the store said so; everything else stops recovery visibly.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary');
my $bucket = bucket_of($node);
my $env = env_dir_of($node);
$node->safe_psql('postgres', 'CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i');
my $segment = wait_archived($node);
my $absent = '0000000100000000000FFFFF' =~ s/FFFFF$/00FFF/r;

# A data directory in recovery as the startup process sees it: working directory, relative target.
my $restore = recovery_directory('recovery.signal');
my $standby = recovery_directory('recovery.signal', 'standby.signal');

my @options = ('--prefetch', 0, '--retry-timeout', 2);
my @fetch = ('wal-fetch', @options, '--env-dir', $env);
cli_ok({ cwd => $restore }, @fetch, $segment, 'pg_wal/RECOVERYXLOG', 'a segment that is there: exit 0');
is(-s "$restore/pg_wal/RECOVERYXLOG", 1048576, 'and the file is whole');
is(join(' ', grep { !/^(\.\.?|RECOVERYXLOG|archive_status)$/ } slurp_dir("$restore/pg_wal")), '',
	'D1: nothing else is put into pg_wal');
exits({ cwd => $restore }, @fetch, $absent, 'pg_wal/X', 74, 'a segment that the store does not have: exit 74');
exits({ cwd => $restore }, @fetch, '00000009.history', 'pg_wal/X', 74, 'a history file that the store does not have: exit 74');
ok(!-e "$restore/pg_wal/X", 'and no file is left');
exits({ cwd => $standby }, @fetch, $absent, 'pg_wal/X', 74, 'the same for a standby');

# WAL that the way of a standby leaves aside.
my $left = recovery_directory('recovery.signal', 'standby.signal');
my $begin = hex(substr($segment, 16, 8)) * 1048576;
write_text("$left/pg_wal/00000002.history", sprintf("1\t0/%X\tbefore a restore\n", $begin + 4096));
cli_ok({ cwd => $left }, @fetch, $segment, 'pg_wal/RECOVERYXLOG', 'a segment in which the way of a standby leaves its timeline');
my $first = read_text("$left/pg_wal/RECOVERYXLOG");
cli_ok({ cwd => $restore }, @fetch, $segment, 'pg_wal/RECOVERYXLOG', 'the same without a way');
ok($first eq substr(read_text("$restore/pg_wal/RECOVERYXLOG"), 0, 4096) . "\0" x (1048576 - 4096), 'goes as far as that point');
write_text("$left/pg_wal/00000002.history", sprintf("1\t0/%X\tbefore a restore\n", $begin));
exits({ cwd => $left }, @fetch, $segment, 'pg_wal/RECOVERYXLOG', 74, 'a segment behind that point is not there');
ok(!-e "$left/pg_wal/RECOVERYXLOG", 'and no file is left');
cli_ok({ cwd => $left }, @fetch, $segment, "pg_wal/$segment", 'pg_rewind, which looks for it, gets it');

# Wrong key: never "not found".
my $wrong = env_dir_of($node, WALG_LIBSODIUM_KEY_PATH => key_file('f' x 64));
exits({ cwd => $restore }, 'wal-fetch', @options, '--env-dir', $wrong, $segment, 'pg_wal/X', 200, 'R10: a wrong key is never "not found"');
ok(!-e "$restore/pg_wal/X", 'R10: and leaves no file');
exits({ cwd => $restore }, 'wal-fetch', @options, '--env-dir', env_dir_of($node, WALG_LIBSODIUM_KEY_PATH => '/nowhere/key'),
	$segment, 'pg_wal/X', 200, 'K1: an unreadable key file is not "not found"');
my $two = write_text(new_directory('key') . '/old', "$key_hex\n\n", 0600);
cli_ok({ cwd => $restore }, 'wal-fetch', @options, '--env-dir', $env, '--encryption-key-files', key_file('f' x 64) . ",$two",
	$segment, 'pg_wal/RECOVERYXLOG', 'R10: the second key of the ring is tried, a newline after it does no harm');

# Damaged objects.
my $object = "$bucket/wal_005/$segment.zst";
my $whole = read_text($object);
for my $damage (
	[ 'a flipped bit', sub { my $t = $whole; substr($t, length($t) / 2, 1) ^= "\x01"; $t }, 'R4 S14' ],
	[ 'a missing end', sub { substr($whole, 0, length($whole) - 20) }, 'S15' ],
	[ 'only a header', sub { substr($whole, 0, 24) }, 'S15' ],
	[ 'no bytes', sub { '' }, 'S15' ])
{
	my ($what, $make, $ids) = @$damage;
	write_text($object, $make->());
	exits({ cwd => $restore }, @fetch, $segment, 'pg_wal/X', 200, "$ids: an object with $what is refused, not \"not found\"", qr/\Q$segment\E/);
	ok(!-e "$restore/pg_wal/X", "$ids: and leaves no file");
}
write_text($object, $whole);

# A dead store, a wrong store.
my $port = black_hole();
my $free = PostgreSQL::Test::Cluster::get_free_port();
my %dead = (
	'that nobody serves' => [ "http://127.0.0.1:$free", 'N1' ],
	'that never answers' => [ "http://127.0.0.1:$port", 'N2' ]);
for my $what (sort keys %dead)
{
	my ($endpoint, $id) = @{ $dead{$what} };
	my $dead = new_directory('env');
	my %variable = (WALG_S3_PREFIX => 's3://bucket/prefix', AWS_ENDPOINT => $endpoint, AWS_REGION => 'us-east-1',
		AWS_ACCESS_KEY_ID => 'key', AWS_SECRET_ACCESS_KEY => 'words', AWS_S3_FORCE_PATH_STYLE => 'true');
	write_text("$dead/$_", "$variable{$_}\n", 0600) for keys %variable;
	my $took = seconds(sub {
		exits({ cwd => $standby }, 'wal-fetch', @options, '--env-dir', $dead, $segment, 'pg_wal/X', 1,
			"$id: a store $what: a standby is told to go on");
	});
	cmp_ok($took, '<', 11, "$id: within 10 s");
	exits({ cwd => $restore, limit => 60 }, 'wal-fetch', @options, '--env-dir', $dead, $segment, 'pg_wal/X', 200,
		"R3 $id: a store $what: a restore stops visibly instead of opening the database");
}
{
	# What a promotion asks for when both signal files are removed already.
	my $promoting = recovery_directory();
	write_text("$promoting/pg_wal/00000007.history", "6\t0/3000000\tno recovery target specified\n");
	my @silent = ('wal-fetch', '--s3-endpoint', "http://127.0.0.1:$port", '--storage', 's3://bucket/prefix', '--retry-timeout', 2);
	my %keys = (AWS_ACCESS_KEY_ID => 'key', AWS_SECRET_ACCESS_KEY => 'words');
	cmp_ok(seconds(sub {
		exits({ cwd => $promoting, env => \%keys }, @silent, '00000001.history', 'pg_wal/X', 74, 'N2: the first timeline has no history');
		exits({ cwd => $promoting, env => \%keys }, @silent, '00000007.history', 'pg_wal/X', 74,
			'N2: a promotion has the history of its timeline in pg_wal');
	}), '<', 4, 'N2: a silent store does not hold up a promotion');
	exits({ cwd => $promoting, env => \%keys }, @silent, '00000008.history', 'pg_wal/X', 200,
		'N2: a history that nobody has at hand is not "not found"');
}
exits({ cwd => $restore }, 'wal-fetch', $segment, 200, 'bad usage of a restore_command is not "not found" either');

# The whole of it: a server in recovery with the wrong key stops, it does not promote.
wait_archived($node);
my $restored = restore_node('restored', $node, cli => [ '--target-action', 'promote' ]);
my $conf = $restored->data_dir . '/postgresql.auto.conf';
$restored->append_conf('postgresql.auto.conf', "restore_command = 'forge-backup wal-fetch --env-dir $wrong %f %p'\n");
ok(!$restored->start(fail_ok => 1), 'R10: a server that restores with the wrong key does not come up');
like(slurp_file($restored->logfile), qr/FATAL: .*restore/, 'R10: it stops with FATAL');
ok(-e $restored->data_dir . '/recovery.signal', 'R10: and has not promoted');

done_testing();

sub exits
{
	my ($pattern) = ref $_[-1] eq 'Regexp' ? pop : undef;
	my $text = pop;
	my $expected = pop;
	my ($code, $stdout, $stderr) = forge_cli(@_);
	is($code, $expected, $text) or diag("$stdout$stderr");
	like($stderr, $pattern, "$text: the message names it") if $pattern;
	return;
}

sub recovery_directory
{
	my $directory = new_directory('data');
	mkdir "$directory/$_" for qw(pg_wal pg_wal/archive_status global);
	write_text("$directory/$_", '') for @_;
	write_text("$directory/PG_VERSION", "15\n");
	return $directory;
}
