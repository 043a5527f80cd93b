# Chains of deltas that WAL-G wrote: every state of the golden bucket from every backup that leads to it.
use strict;
use warnings;

use ForgeGolden;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $bucket = golden_bucket('golden');

# The end of each backup.
for my $case ([ F => $full ], [ D1 => $delta1 ], [ D2 => $delta2 ])
{
	my ($state, $backup) = @$case;
	is_state(restore_golden($bucket, $backup), $state, "R8: $backup by itself is state $state");
}

# Further on by WAL: to the end of timeline 1, to the end of timeline 2, to the restore points.
for my $backup ($delta1, $delta2)
{
	is_state(restore_golden($bucket, $backup, cli => [ '--target-timeline', 'current' ]), 'A', "R8: $backup and WAL to state A");
	is_state(restore_golden($bucket, $backup, cli => [ '--target-timeline', 'latest' ]), 'B', "R8: $backup and WAL to state B");
}
is_state(restore_golden($bucket, $delta2, cli => [ '--target-name', 'rp_tl1', '--target-timeline', 'current' ]),
	'A', 'R8: a chain and a restore point on timeline 1');
is_state(restore_golden($bucket, $delta1, cli => [ '--target-name', 'rp_tl2' ]), 'B', 'R8: a chain and a restore point on timeline 2');

# The unarchived tail of timeline 1 that only the .partial object has, put into pg_wal by hand.
for my $backup ($delta1, $delta2)
{
	my $node = restore_golden($bucket, $backup, cli => [ '--target-timeline', 'current' ]);
	my $segment = $node->data_dir . '/pg_wal/000000010000000000000009';
	cli_ok('wal-fetch', '--env-dir', golden_env($bucket), '000000010000000000000009.partial', $segment,
		'P3: the .partial is fetched by its own name');
	is_state($node, 'P', "R8: $backup, WAL and the .partial to state P");
}

# Into a directory by WAL-G's command, with WAL-G's file for the places of tablespaces.
my $space = new_directory('space');
my $to = new_directory('fetched') . '/data';
my $spec = write_text(new_directory('spec') . '/spec.json',
	qq({"base_prefix":"$to","tablespaces":["16384"],"16384":{"loc":"$space","link":"pg_tblspc/16384"}}));
cli_ok('backup-fetch', '--env-dir', golden_env($bucket), '--restore-spec', $spec, $to, $delta2, 'R8: backup-fetch of a chain');
is(readlink("$to/pg_tblspc/16384"), $space, 'R7: the tablespace lies where the file says');
ok(!-e "$to/base/5/" . dropped_file(), 'a file that the deltas do not have any more is not there');

done_testing();

# Name of a file below base/5 that the full backup lists and the last delta does not.
sub dropped_file
{
	my ($old, $new) = map { decode_json(read_text("$bucket/basebackups_005/$_/files_metadata.json"))->{Files} } $full, $delta2;
	my @dropped = sort grep { m{^/base/5/\d+$} && !exists $new->{$_} } keys %$old;
	cmp_ok(scalar @dropped, '>', 0, 'the deltas lack files of the full backup');
	return $dropped[0] =~ s{.*/}{}r;
}
