# A rotation of the encryption key from its beginning to the removal of the old one: under load, with a mounted secret that
# changes by swapping a link, by rekey, which is killed and goes on, beside a server that archives.
use strict;
use warnings;

use ForgeTest;
use Digest::SHA qw(sha256_hex);
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $new_hex = 'f0' x 32;

# As Kubernetes mounts a Secret: the files are links below ..data, which is a link that is replaced at once.
my $mount = new_directory('mount');
sub mount_keys
{
	my ($generation, %files) = @_;
	mkdir "$mount/..$generation" or die "could not create: $!";
	write_text("$mount/..$generation/$_", "$files{$_}\n", 0600) for keys %files;
	symlink("..$generation", "$mount/..data_tmp") or die "could not link: $!";
	rename("$mount/..data_tmp", "$mount/..data") or die "could not swap: $!";
	for (keys %files) { symlink("..data/$_", "$mount/$_") unless -l "$mount/$_"; }
}
mount_keys(1, active => $key_hex, old => $key_hex);
my $ring = "$mount/active, $mount/old";

my $variables = new_directory('variables');
write_text("$variables/WALG_TAR_SIZE_THRESHOLD", 1 << 20);
my $node = forge_node('primary', key => 0, conf => "forge_backup.encryption_key_files = '$ring'\nforge_backup.env_dir = '$variables'\n");
my $bucket = bucket_of($node);
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
$node->safe_psql('postgres', "CREATE TABLE numbers AS SELECT g, md5(g::text) FROM generate_series(1, 200000) g");
my $env = env_dir_of($node);
my @both = ('--env-dir', $env, '--encryption-key-files', $ring);
my ($old_file, $new_file) = (key_file($key_hex), key_file($new_hex));
my @old_alone = ('--env-dir', $env, '--encryption-key-files', $old_file);
my @new_alone = ('--env-dir', $env, '--encryption-key-files', $new_file);
my $begun = wait_archived($node);

# --- another active key, while a base backup is made and WAL is written --------------------------------------------------

$node->safe_psql('postgres', "ALTER SYSTEM SET forge_backup.disk_rate_limit = '6MB'");
$node->reload;
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup(false)');
wait_until('the base backup copies', sub {
		$node->safe_psql('postgres', 'SELECT count(*) FROM forge_backup.progress WHERE bytes_stored > 0') eq '1' });
mount_keys(2, active => $new_hex, old => $key_hex);
my $during;
wait_until('K1: WAL is encrypted with the new key', sub { $during = wait_archived($node); opened_by($new_file, $during) });
is($node->safe_psql('postgres', 'SELECT count(*) FROM forge_backup.progress'), '1', 'while the base backup is being made');
ok(!opened_by($old_file, $during), 'R10: and the old one does not open it');
$node->safe_psql('postgres', "ALTER SYSTEM RESET forge_backup.disk_rate_limit");
wait_until('the base backup is complete', sub { scalar(backup_names($bucket)) == 2 });
my ($first, $second) = backup_names($bucket);
my %parts = map { $_ => parts_opened_by($_, $second) } $old_file, $new_file;
cmp_ok($parts{$old_file}, '>', 0, 'parts of the base backup that were begun before have the old key');
cmp_ok($parts{$new_file}, '>', 0, 'those begun afterwards the new one');
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'without a restart');
like(cli_ok(@both, 'verify', '--all', '--all-wal', 'with both keys all can be read'), qr/no problem found/, 'all of it is fine');

# --- what is said -------------------------------------------------------------------------------------------------------

my $look = decode_json(cli_ok(@both, 'rekey', '--json', 'rekey tells without --confirm'));
my %key = map { $_->{active} ? (new => $_) : (old => $_) } @{ $look->{keys} };
my ($old, $new) = map { $_->{fingerprint} } @key{qw(old new)};
cmp_ok($key{$_}{objects}, '>', 2, "there are objects of the $_ key") for qw(old new);
my $before = digest_of_tree();
cli_ok(@both, 'rekey', 'and again');
is(digest_of_tree(), $before, 'nothing was written');
$node->reload;
wait_until('status() says that the old key is needed', sub { status_value($node, "key.$old") =~ /^old, still needed \| .*needed by (basebackups|wal)_005/ });
like(status_value($node, "key.$new"), qr/^active \| \Q$mount\E\/active; opened \d+ object/, 'and which one is active');
$node->safe_psql('postgres', "SELECT count(*) FROM forge_backup.verify_backup('$first')");
like(status_value($node, "key.$old"), qr/opened [1-9]\d* objects, last at 2/, 'reading is counted');
is($node->safe_psql('postgres', "SELECT detail LIKE 'old key $old is still needed, by%' FROM forge_backup.check() WHERE \"check\" = 'old keys'"), 't', 'check() says the same');
unlike($node->safe_psql('postgres', 'SELECT string_agg(s::text, chr(10)) FROM forge_backup.status() s'), qr/$key_hex|$new_hex/, 'K2: no key is shown');

# --- rekey: refused, killed, taken up ---------------------------------------------------------------------------------

cli_fails(@both, 'rekey', '--confirm', 2, qr/--confirm needs --pgdata/, 'whose storage it is must be said');
cli_fails(@both, 'rekey', '--confirm', '--system-identifier', 12345, 1, qr/belongs to/, 'H4: the storage of another cluster stays as it is');
cli_fails('--env-dir', $env, 'rekey', 1, qr/no encryption key/, 'without a key there is nothing to do');
is(digest_of_tree(), $before, 'H4: nothing was written');

my %plain = plain_digests();
my @rekey = ('forge-backup', @both, 'rekey', '--confirm', '--pgdata', $node->data_dir, '--rate-limit', '400k', '--jobs', 2);
my ($out, $err) = ('', '');
my $running = IPC::Run::start([@rekey], '<', \undef, '>', \$out, '2>', \$err);
wait_until('rekey is at work', sub { -e "$bucket/forge_rekey.json" && opened_by($new_file, $begun) });
my $meanwhile = wait_archived($node);
$running->kill_kill(grace => 0);
isnt($?, 0, 'C10: rekey is killed');
like(cli_ok(@both, 'verify', '--all', '--all-wal', 'C10: everything can be read all the same'), qr/no problem found/, 'C10: and is fine');
cmp_ok(decode_json(cli_ok(@both, 'rekey', '--json', 'C10: it is told what is left'))->{keys}[1]{objects}, '>', 0, 'C10: which is something');

$running = IPC::Run::start([@rekey[0 .. $#rekey - 4]], '<', \undef, '>', \$out, '2>', \$err);
my $beside = wait_archived($node);
$running->finish;
is($?, 0, 'the same command goes on to the end') or diag("$out$err");
like($out, qr/^old key $old is no longer needed: you may remove it$/m, 'and says that the old key may go');
ok(opened_by($new_file, $_), "$_ was archived meanwhile") for $meanwhile, $beside;

# --- the old key goes ----------------------------------------------------------------------------------------------------

like(cli_ok(@new_alone, 'verify', '--all', '--all-wal', 'with the new key alone all can be read'), qr/no problem found/, 'and is fine');
my ($code) = forge_cli(@old_alone, 'verify', '--all');
is($code, 1, 'R10: with the old key alone nothing can');
my %plain_now = plain_digests();
is_deeply([ map { "$_ $plain_now{$_}" } sort keys %plain ], [ map { "$_ $plain{$_}" } sort keys %plain ],
	'every object has the content that it had, as another library decrypts it');
$node->reload;
wait_until('status() says that the old key may go', sub { status_value($node, "key.$old") =~ /^old, no longer needed .*needed by none of \d+ objects: you may remove it/ });
is($node->safe_psql('postgres', "SELECT hint FROM forge_backup.check() WHERE \"check\" = 'old keys'"), 'You may remove it.', 'check() says the same');
mount_keys(3, active => $new_hex, old => $new_hex);
wait_until('the old key is forgotten', sub { wait_archived($node); status_value($node, "key.$old") eq '' });
my $restored = restore_node('restored', $node, env_dir => env_dir_of($node, WALG_LIBSODIUM_KEY_PATH => $new_file, WALG_LIBSODIUM_KEY_TRANSFORM => 'hex'));
start_restored($restored);
is(table_checksum($restored, 'numbers'), table_checksum($node, 'numbers'), 'a restore with the new key alone is exact');
$restored->stop;

# Times of objects say nothing any more: with a second timeline nobody knows which is the server's.
cli_ok(@new_alone, 'delete', 'retention-policy', 'one timeline needs no server to be told');
write_text("$bucket/wal_005/000000020000000000000001.zst", 'x');
my (undef, undef, $said) = forge_cli(@new_alone, 'delete', 'retention-policy');
like($said, qr/nothing is deleted: rekey has changed the times/, 'of two it does not decide by the times that rekey changed');
like($said, qr/--pgdata/, 'and says what to do');
$node->stop;
done_testing();

sub opened_by
{
	my ($file, $segment) = @_;
	return (forge_cli('wal-fetch', '--env-dir', $env, '--encryption-key-files', $file, '--prefetch', 0, '--retry-timeout', 1, $segment,
			new_directory('fetch') . '/file'))[0] == 0;
}

sub digest_of_tree
{
	return join("\n", map { "$_ " . sha256_hex(read_text("$bucket/$_")) } tree($bucket));
}

# Object -> digest of what is in it, decrypted by PyNaCl with whichever key fits.
sub plain_digests
{
	my $script = write_text(new_directory('script') . '/digests.py', <<'END');
import hashlib, os, sys
import nacl.bindings as sodium

def decrypt(data, key):
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, data[:24], key)
    digest = hashlib.sha256()
    for at in range(24, len(data), 8209):
        plain, tag = sodium.crypto_secretstream_xchacha20poly1305_pull(state, data[at:at + 8209])
        digest.update(plain)
    assert tag == 3
    return digest.hexdigest()

root, keys = sys.argv[1], [bytes.fromhex(key) for key in sys.argv[2:]]
for folder, _, names in os.walk(root):
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith(".json") or ".tmp." in name:
            continue
        data = open(path, "rb").read()
        for key in keys:
            try:
                print(os.path.relpath(path, root), len(data), decrypt(data, key))
            except RuntimeError:
                pass
END
	my ($out, $err) = run_command([ '/usr/bin/python3', $script, $bucket, $key_hex, $new_hex ]);
	my %digests = map { /^(\S+) (.*)/ ? ($1 => $2) : () } split /\n/, $out;
	cmp_ok(scalar keys %digests, '>', 10, 'another library decrypts the bucket') or diag($err);
	return %digests;
}

sub parts_opened_by
{
	my ($file, $backup) = @_;
	my (undef, $json) = forge_cli('--env-dir', $env, '--encryption-key-files', $file, 'verify', $backup, '--json');
	return scalar grep { $_->{object} =~ m{/tar_partitions/} && $_->{level} eq 'ok' } @{ decode_json($json)->{findings} };
}
