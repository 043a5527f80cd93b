# C13: a rotation of the key that is interrupted anywhere: what was written before and after can be read with the ring in
# either order. The product writes no key: which one encrypts is decided by one setting, and the server replaces the
# file of that at once.
use strict;
use warnings;

use ForgeCrash;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = crash_node('primary');
my $bucket = bucket_of($node);
my $old = $node->{forge}{key_file};
my $new = key_file('ff' x 32);
my @names;

sub with
{
	return [ '--storage', $node->{forge}{storage}, '--encryption-key-files', join(',', @_) ];
}
sub rotate_to
{
	$node->safe_psql('postgres', "ALTER SYSTEM SET forge_backup.encryption_key_files = '" . join(',', @_) . "'");
}
sub only_with
{
	my ($name, $key, $other, $text) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	stored_as($node, with($key), $name, "$text: by its key");
	is(content_of(with($other), $name), 'exit code 200', "$text: and by no other");
}

wait_archived($node);
push @names, wait_archived($node);
only_with($names[-1], $old, $new, 'C13: before');

# The new key's file is there, half: nothing is written with half a key, and nothing is lost.
{
	my $half = write_text(new_directory('key') . '/key', 'ff' x 20, 0600);
	rotate_to($half, $old);
	$node->reload;
	my $name = switch_wal($node);
	wait_until('status() tells', sub { $node->safe_psql('postgres', 'SELECT string_agg(s::text, chr(10)) FROM forge_backup.status() s') =~ /key/ && $node->safe_psql('postgres', 'SELECT failed_count > 0 FROM pg_stat_archiver') eq 't' });
	is(archive_state($node, $name), 'ready', 'C13: with half a key nothing is archived');
	push @names, $name;
}

# Stored under the old key, and the answer lost; the rotation comes between.
{
	rotate_to($old);
	$node->reload;
	wait_archived($node, $names[-1]);
	arm('wal-after-put');
	my $name = switch_wal($node);
	rotate_to($new, $old);
	fired('wal-after-put');
	$node->reload;
	wait_archived($node, $name);
	only_with($name, $old, $new, 'C13: stored under the old key before the rotation, accepted after it');
	push @names, $name;
}

# Killed between the setting and its use.
{
	rotate_to($new, $old);
	$node->stop('immediate');
	$node->start;
	my $name = wait_archived($node);
	only_with($name, $new, $old, 'C13: killed after the setting was written, the new key is used');
	push @names, $name;
}

# Killed with an object of the new key on its way, and turned back.
{
	arm('file-written');
	my $name = switch_wal($node);
	fired('file-written');
	rotate_to($old, $new);
	$node->reload;
	wait_archived($node, $name);
	push @names, $name;
}

for my $ring ([ $old, $new ], [ $new, $old ])
{
	stored_as($node, with(@$ring), $_, "C13: $_ can be read") for @names;
}
$node->stop;
done_testing();
