# Encryption keys are rotated in the env directory: a new one in front, later the old one away.
# scenarios: 14
use strict;
use warnings;

use ForgeLab;
use ForgeTest;
use Test::More;
use Time::HiRes qw(time);

my ($old_key, $new_key) = ($key_hex, 'f0' x 32);
my $lab = lab();
$lab->within(60, 'the first base backup', sub { $lab->backups });
my ($old_backup) = $lab->backups;
my ($old) = $lab->switch_segments(1);
$lab->within(30, 'a segment with the old key is stored', sub { $lab->is_stored($old) });

# No signal, no restart: a mounted Secret changes like this.
$lab->write_env({ FORGE_OLD_LIBSODIUM_KEYS => $old_key, WALG_LIBSODIUM_KEY => $new_key });
my $begin = time();
my $new;
$lab->within(60, 'new key: a segment that the old one does not open', sub {
		($new) = $lab->switch_segments(1);
		wait_until('it is stored', sub { $lab->is_stored($new) }, 30);
		(fetch($new, WALG_LIBSODIUM_KEY => $old_key, FORGE_OLD_LIBSODIUM_KEYS => ''))[0] != 0;
	}, $begin);
my $new_backup = $lab->sql('SELECT forge_backup.trigger_basebackup()');
is((fetch($old))[0], 0, 'both keys: the old segment is read');
is((fetch($new))[0], 0, 'both keys: the new segment is read');
is((backup($_))[0], 0, "both keys: $_ is fetched") for $old_backup, $new_backup;

my %alone = (FORGE_OLD_LIBSODIUM_KEYS => undef);
is((fetch($new, %alone))[0], 0, 'new key alone: the new segment is read');
is((backup($new_backup, %alone))[0], 0, 'new key alone: the new backup is fetched');
for my $try ([ fetch($old, %alone) ], [ backup($old_backup, %alone) ])
{
	my ($code, $text) = @$try;
	isnt($code, 0, 'new key alone: what the old one encrypted is refused');
	like($text, qr/\bkey\b/, 'new key alone: and it is the key that is wrong');
	unlike($text, qr/$old_key|$new_key/, 'no key is shown');
}
cmp_ok((fetch($old, %alone))[0], '>=', 128, 'new key alone: a restore stops at the old segment, and does not take it for the end');

# What the old key is needed for is encrypted anew, beside the running cluster; then the old key goes.
my $leader = $lab->leader;
my $begun = time();
my ($told, $said, $failed) = $lab->cli({}, 'forge-backup', 'rekey', '--json');
is($told, 0, 'rekey tells') or diag($failed);
my ($active, $former) = map { $_->{fingerprint} } @{ decode_json($said)->{keys} };
my ($code, $text, $errors) = $lab->cli({}, 'forge-backup', 'rekey', '--confirm', '--pgdata', $leader->{data});
is($code, 0, 'rekey ends well') or diag("$text$errors");
like($text, qr/^old key $former is no longer needed: you may remove it$/m, 'the old key may go');
my ($later) = $lab->switch_segments(1);
$lab->within(30, 'archiving goes on', sub { $lab->is_stored($later) }, $begun);
is((fetch($_, %alone))[0], 0, "new key alone: $_ is read now") for $old, $new, $later;
is((backup($_, %alone))[0], 0, "new key alone: $_ is fetched now") for $old_backup, $new_backup;
my ($verified, $findings) = $lab->cli({ env_dir => changed_env(%alone) }, 'forge-backup', 'verify', '--all', '--all-wal');
is($verified, 0, 'new key alone: everything is verified') or diag($findings);
$lab->sql('SELECT pg_reload_conf()');
$lab->within(60, 'status() says that the old key may go', sub {
		$lab->sql("SELECT value FROM forge_backup.status() WHERE name = 'key.$former'") eq 'old, no longer needed' });
$lab->write_env({ FORGE_OLD_LIBSODIUM_KEYS => undef });
$lab->within(60, 'the old key is gone', sub {
		my ($segment) = $lab->switch_segments(1);
		wait_until('it is stored', sub { $lab->is_stored($segment) }, 30);
		$lab->sql("SELECT string_agg(name, ' ') FROM forge_backup.status() WHERE name LIKE 'key.%'") eq "key.$active" });
$lab->stop;
done_testing();

# With the env directory as it is, but for some variables.
sub changed_env
{
	my (%change) = @_;
	my $directory = new_directory('env');
	write_text("$directory/" . s{.*/}{}r, read_text($_), 0600) for glob("$lab->{env_dir}/*");
	$lab->write_env(\%change, $directory);
	return $directory;
}

# As a server that restores asks for a segment.
sub fetch
{
	my ($segment, %change) = @_;
	my $data = new_directory('data');
	mkdir "$data/pg_wal";
	write_text("$data/$_", "15\n") for qw(PG_VERSION recovery.signal);
	my ($code, $stdout, $stderr) = $lab->cli({ env_dir => changed_env(%change) }, 'forge-backup', 'wal-fetch', '--retry-timeout', 2,
		'--prefetch', 0, $segment, "$data/pg_wal/RECOVERYXLOG");
	return ($code, "$stdout$stderr");
}

sub backup
{
	my ($name, %change) = @_;
	my ($code, $stdout, $stderr) =
	  $lab->cli({ env_dir => changed_env(%change) }, 'forge-backup', 'backup-fetch', new_directory('fetched'), $name);
	return ($code, "$stdout$stderr");
}
