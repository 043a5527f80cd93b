# C10: rekey killed anywhere: every object can be read with the ring, and the same command goes on to the end.
use strict;
use warnings;

use ForgeCrash;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = crash_node('primary');
my $bucket = bucket_of($node);
$node->safe_psql('postgres', 'CREATE TABLE numbers AS SELECT g, md5(g::text) FROM generate_series(1, 20000) g');
wait_archived($node) for 1 .. 3;
my $env = env_dir_of($node);
my ($old, $new) = ($node->{forge}{key_file}, key_file('f0' x 32));
my @both = ('--env-dir', $env, '--encryption-key-files', "$new,$old");
my @rekey = ('rekey', @both, '--confirm', '--pgdata', $node->data_dir, '--jobs', 1);
my ($total) = left();

for my $point ('rekey-before-replace', 'file-exchanged', 'rekey-replaced')
{
	for my $passage (1, 2)
	{
		die_at($point, $passage, @rekey);
		cli_ok(@both, 'verify', '--all', '--all-wal', "C10: killed at $point, passage $passage: all can be read");
	}
}
my $left = left();
cmp_ok($left, '<', $total, 'C10: what was done is done');
cmp_ok($left, '>', 0, 'C10: and there is something to go on with');
like(cli_ok(@rekey, 'C10: the same command goes on'), qr/^old key \w+ is no longer needed/m, 'C10: to the end');
is(left(), 0, 'C10: nothing is left');
cli_ok('--env-dir', $env, '--encryption-key-files', $new, 'verify', '--all', '--all-wal', 'C10: with the new key alone all can be read');
$node->stop;
done_testing();

# Objects that need the old key.
sub left
{
	my $told = decode_json(cli_ok(@both, 'rekey', '--json', 'rekey tells'));
	return (grep { !$_->{active} } @{ $told->{keys} })[0]{objects};
}
