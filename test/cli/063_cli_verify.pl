# The command verify: a backup of a server and its WAL are read to the end, damage is named, exit codes and JSON say so.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary');
my $bucket = bucket_of($node);
my $env = env_dir_of($node);
my ($backup) = backup_names($bucket);
wait_archived($node);

like(cli_ok('--env-dir', $env, 'verify', 'a new backup'), qr/^verified \d+ objects, [^\n]+: no problem found\n\z/, 'is fine, in one line');
is(cli_ok('--env-dir', $env, '--quiet', 'verify', $backup, 'and by its name, quietly'), '', 'without a word');
like(cli_ok('--env-dir', $env, 'verify', '--all-wal', '--verbose', '--jobs', 2, '--rate-limit', '1G', 'with all WAL'),
	qr/^ok +wal_005\S+ +is the last one that can be reached/m, 'it says where the WAL ends');
my $good = decode_json(cli_ok('--env-dir', $env, 'verify', '--all', '--json', 'as JSON'));
is($good->{problems}, 0, 'there is no problem');
is($good->{objects}, scalar @{ $good->{findings} }, 'and every object has its line');
is_deeply([ grep { $_->{level} ne 'ok' } @{ $good->{findings} } ], [], 'which says ok');
my %seen = map { $_->{object} => $_ } @{ $good->{findings} };
for my $file (grep { -f } glob("$bucket/basebackups_005/$backup/tar_partitions/*"))
{
	my $key = substr($file, length("$bucket/"));
	is($seen{$key}{stored_size}, -s $file, "S14: $key was read");
}

# Damage.
my ($part) = glob("$bucket/basebackups_005/$backup/tar_partitions/part_001*");
my $key = substr($part, length("$bucket/"));
my $content = read_text($part);
damaged('S14: one bit', sub { my $text = $content; substr($text, length($text) / 2, 1) ^= "\x01"; return $text; });
damaged('S15: cut to the header', sub { return substr($content, 0, 24); });
damaged('S15: one byte less', sub { return substr($content, 0, length($content) - 1); });
damaged('S15: nothing', sub { return ''; });
unlink $part or die "could not remove: $!";
my ($code, $table) = forge_cli('--env-dir', $env, 'verify', $backup);
is($code, 1, 'S16: a missing part is found');
like($table, qr/^error +\Q$key\E +is missing$/m, 'S16: named in a line');
like($table, qr/^verified \d+ objects, .*: \d+ problems found$/m, 'S16: and counted');
my $bad = json_of('verify', $backup, '--json');
is_deeply([ map { $_->{detail} } grep { $_->{object} eq $key } @{ $bad->{findings} } ], ['is missing'], 'S16: and named');
ok($bad->{finished}, 'S16: all the rest was read');
write_text($part, $content);

my $segment = substr($backup, length('base_'), 24);
my $wal = "$bucket/wal_005/$segment.zst";
rename($wal, "$bucket/away") or die "could not rename: $!";
$bad = json_of('verify', $backup, '--json');
is_deeply([ map { "$_->{level} $_->{object}" } grep { $_->{level} ne 'ok' } @{ $bad->{findings} } ], ["error wal_005/$segment"],
	'S24: WAL that the backup needs is missed');
rename("$bucket/away", $wal) or die "could not rename: $!";
cli_ok('--env-dir', $env, 'verify', 'put back, all is well again');

# Usage.
cli_fails('--env-dir', $env, 'verify', 'base_000000010000000000000099', 1, qr/does not exist/, 'a backup that is not there is said');
cli_fails('--env-dir', $env, 'verify', '--all', $backup, 2, qr/--all/, 'a name and all of them do not go together');
cli_fails('--env-dir', $env, 'verify', '--rate-limit', 'fast', 2, qr/invalid rate "fast"/, 'a rate is a number');

$node->stop;
done_testing();

sub damaged
{
	my ($what, $damage) = @_;
	write_text($part, $damage->());
	my $found = json_of('verify', $backup, '--json');
	is_deeply([ map { $_->{object} } grep { $_->{level} eq 'error' && $_->{object} =~ m{/} } @{ $found->{findings} } ], [$key], "$what is found and named");
	write_text($part, $content);
	return;
}

# What a command that fails with 1 prints.
sub json_of
{
	my ($status, $out) = forge_cli('--env-dir', $env, '--quiet', @_);
	is($status, 1, "@_ ends with 1");
	return decode_json($out);
}
