# Whatever stands in the configuration: the server starts, runs, keeps its WAL, and status() says what is wrong.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $bucket = new_directory('bucket');
my $node = forge_node('primary', storage => undef, key => 0, start => 0);
my $good_key = key_file();
my $bad = $node->data_dir . '/bad.conf';
write_text($bad, "forge_backup.storage = 'ftp://host/dir'\n");
$node->append_conf('postgresql.conf', <<"END");
forge_backup.storage = 'file://$bucket'
forge_backup.encryption_key_files = '$good_key'
include 'bad.conf'
END
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION forge_backup');

my $short = write_text(new_directory('key') . '/short', "0011\n", 0600);
my $not_hex = write_text(new_directory('key') . '/nothex', 'z' x 64 . "\n", 0600);
my $absent = new_directory('absent') . '/no/where';
my $env = new_directory('env');
write_text("$env/WALG_LIBSODIUM_KEY_PATH", "$not_hex\n");
write_text("$env/WALG_LIBSODIUM_KEY_TRANSFORM", "hex\n");
my $file = write_text(new_directory('file') . '/file', 'not a directory');

# Setting, what status() must show.
my @table = (
	[ 'wrong URL', "storage = 'ftp://host/dir'", qr{ftp://host/dir} ],
	[ 'no URL', "storage = 'nonsense'", qr/nonsense/ ],
	[ 'URL without a bucket', "storage = 's3://'", qr{s3://|bucket} ],
	[ 'missing directory', "storage = 'file://$absent'", qr/\Q$absent\E/ ],
	[ 'file instead of a directory', "storage = 'file://$file'", qr/\Q$file\E/ ],
	[ 'unknown compression', "compression = 'zip'", qr/zip/ ],
	[ 'K1: missing key file', "encryption_key_files = '/nowhere/key'", qr{/nowhere/key} ],
	[ 'R10: key of wrong length', "encryption_key_files = '$short'", qr/\Q$short\E/ ],
	[ 'R10: key file with a mistyped key', "encryption_key_files = '$not_hex'", qr/\Q$not_hex\E.*64 hex digits/ ],
	[ 'R10: key that is not hex', "encryption_key_files = ''\nforge_backup.env_dir = '$env'", qr/\Q$not_hex\E.*hex/ ],
	[ 'missing CA file', "storage = 's3://bucket/x'\nforge_backup.s3_endpoint = 'https://127.0.0.1:1'\nforge_backup.s3_ca_file = '/nowhere/ca.pem'",
		qr{/nowhere/ca\.pem|credentials|AWS_ACCESS_KEY_ID} ],
	[ 'wrong schedule', "schedule = 'every now and then'", qr/every now and then/, 'still archives' ],
	[ 'unknown time zone', "schedule_timezone = 'Mars/Olympus'", qr{Mars/Olympus}, 'still archives' ]);

my @waiting;
for my $row (@table)
{
	my ($what, $line, $pattern, $still_archives) = @$row;
	$node->stop;
	write_text($bad, "forge_backup.$line\n");
	ok($node->start(fail_ok => 1), "$what: the server starts") or next;
	my $said = wait_until("$what: status() says so", sub {
		my $status = $node->safe_psql('postgres', 'SELECT string_agg(s::text, chr(10)) FROM forge_backup.status() s');
		return $status =~ $pattern ? $status : undef;
	}, 20);
	ok($said, "$what: status() says so") or diag($node->safe_psql('postgres', 'SELECT * FROM forge_backup.status()'));
	unlike($said // '', qr/$key_hex/, "K2: $what: no key in status()");
	next if $still_archives;
	my $segment = switch_wal($node);
	is(archive_state($node, $segment), 'ready', "$what: WAL stays in the queue");
	push @waiting, $segment;
}

# Mended by a reload: everything goes out, the first backup is made.
write_text($bad, '');
$node->reload;
$node->safe_psql('postgres', "SELECT pg_switch_wal() FROM pg_logical_emit_message(false, 'a', 'b')");
wait_archived($node, $_) for @waiting;
is(scalar(grep { !-f "$bucket/wal_005/$_.zst" } @waiting), 0, 'after the mistake is mended every segment is in the store');
ok(wait_first_backup($node), 'and the first base backup is made');
log_lacks($node, 0, qr/PANIC|terminated by signal|$key_hex/, 'the log of all this has neither a crash nor a key');

# Settings that are no settings of ours.
my ($code, $stdout, $stderr) = $node->psql('postgres', "SET forge_backup.nonsense = '1'");
isnt($code, 0, 'an unknown setting with our prefix is refused');
($code, $stdout, $stderr) = $node->psql('postgres', "SET forge_backup.storage = 'file:///tmp'");
like($stderr, qr/cannot be changed now|permission denied/, 'a session cannot change where WAL goes');

done_testing();
