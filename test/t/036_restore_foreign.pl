# What other versions of WAL-G, its options and other programs write into the same layout: real variants of the golden
# bucket, made by test/tools/foreign_bucket with other libraries than ours. Each is restored to a server in the exact
# state, or refused by name.
use strict;
use warnings;

use ForgeGolden;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

# Variant, and what to restore of it: backup => state, options.
restores('remote', [ $full => 'F' ]);
restores('remote_bare', [ $full => 'F' ]);
restores('mixed', [ $full => 'B', '--target-timeline', 'latest' ], [ $delta2 => 'D2' ]);
restores('streams', [ $full => 'F' ]);
restores('unlisted_by_choice', [ $full => 'F' ]);
restores('gaps', [ $full => 'F' ], [ $delta1 => 'D1' ]);
restores('old_sentinels', [ $full => 'F' ], [ $delta1 => 'D1' ], [ $delta2 => 'D2' ]);
restores('minimal', [ $full => 'F' ], [ $delta2 => 'D2' ]);
restores('minimal_no_metadata', [ $delta2 => 'D2' ]);
restores('other_keys', [ $full => 'F' ], [ $delta2 => 'D2' ]);
restores('offsets', [ $delta2 => 'D2' ]);
restores('renamed_delta', [ $delta2_renamed => 'D2' ]);
restores('empty_increments', [ $delta1 => 'D1' ], [ $delta2 => 'D2' ]);
restores('whole_and_increment', [ $delta1 => 'D1' ], [ $delta2 => 'D2' ]);

# Long names and other letters come back too.
{
	my $node = restore_golden(golden_bucket('tar_forms'), $full);
	my $data = $node->data_dir;
	my $long = 'extra/' . 'd' x 120 . '/' . 'e' x 130 . '/' . 'f' x 200;
	for my $form ('', '.gnu')
	{
		is(content("$data/$long$form"), 'long', "a name of 458 letters$form");
		is(content("$data/extra/gr\xc3\xb6\xc3\x9fe \xe6\x95\xb0$form"), 'letters', "a name in UTF-8$form");
		is(content("$data/extra/" . 'g' x 101 . $form), 'hundred and one', "a name of 108 letters$form");
	}
	is_state($node, 'F', 'R8: tar_forms');
}

# Nothing says what belongs to the backup: only on demand, and never for a delta.
{
	my $bucket = golden_bucket('unlisted_full');
	refuses($bucket, $full, qr/files_metadata\.json.*--allow-unlisted/s, 'a full backup without its list of files');
	is_state(restore_golden($bucket, $full, cli => [ '--target', 'immediate', '--allow-unlisted' ]),
		'F', 'R8: a full backup without its list of files, when that is accepted');
	$bucket = golden_bucket('unlisted_delta');
	refuses($bucket, $delta1, qr/files_metadata\.json/, 'W2: a delta without its list of files');
	refuses($bucket, $delta1, qr/files_metadata\.json/, 'W2: also when that is accepted of full backups', '--allow-unlisted');
	refuses($bucket, $delta2, qr/files_metadata\.json/, 'W2: a delta of such a delta', '--allow-unlisted');
	is_state(restore_golden($bucket, $full), 'F', 'R8: the full backup is not affected');
	refuses(golden_bucket('unlisted_delta_by_choice'), $delta1, qr/\Q$delta1\E/, 'W2: a delta that says it has no list of files');
}

# Broken in a way that a reader can see.
refuses(golden_bucket('no_parent'), $delta2, qr/\Q$delta1\E/, 'a chain with a hole');
refuses(golden_bucket('circle'), $delta2, qr/\Q$delta1\E|\Q$delta2\E/, 'a chain that is a circle');
refuses(golden_bucket('no_delta_from'), $delta1, qr/\Q$delta1\E/, 'a delta that does not say what it builds on');
refuses(golden_bucket('other_system'), $delta1, qr/\Q$full\E/, 'a parent of another cluster');
refuses(golden_bucket('increment_without_file'), $delta1, qr{base/5/16385}, 'an increment of a file that is nowhere');
refuses(golden_bucket('foreign_object'), $full, qr/part_007\.tar\.xz/, 'an object with an unknown extension among the parts');
refuses(golden_bucket('increment_version'), $delta1, qr{base/5/16385}, 'an increment of an unknown version');
refuses(golden_bucket('increment_trailing'), $delta1, qr{base/5/16385}, 'an increment with bytes after its last page');
refuses(golden_bucket('increment_only_listed'), $delta1, qr{base/5/16424}, 'a whole file that is listed as an increment');
refuses(golden_bucket('no_control'), $full, qr/pg_control/, 'W5: no pg_control');
refuses(golden_bucket('no_label'), $full, qr/backup_label/, 'W5: no backup_label');

done_testing();

sub content { return -f $_[0] ? read_text($_[0]) : "no file $_[0]"; }

sub restores
{
	my ($variant, @cases) = @_;
	my $bucket = golden_bucket($variant);
	for my $case (@cases)
	{
		my ($backup, $state, @cli) = @$case;
		my $node = restore_golden($bucket, $backup, @cli ? (cli => \@cli) : ());
		is_state($node, $state, "R8: $variant: state $state from $backup");
	}
	return;
}

# Refused by a message, and what is left cannot be started by mistake.
sub refuses
{
	my ($bucket, $backup, $message, $text, @cli) = @_;
	my $to = new_directory('refused') . '/data';
	cli_fails('restore', '--env-dir', golden_env($bucket), '--target-dir', $to, '--backup', $backup, '--target', 'immediate',
		'--tablespace-mapping', '16384=' . new_directory('space'), @cli, 1, $message, "$text is refused");
	ok(!-e "$to/global/pg_control", "$text: nothing that starts is left");
	return;
}
