# R9: what we write is read by another implementation: WAL-RUS restores our full backups and deltas with our WAL, for
# every method, with a key and without, and a server recovers to the same rows.
use strict;
use warnings;

use File::Path qw(remove_tree);
use ForgeInterop;
use ForgeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('writer', storage => undef, key => 0, conf => "forge_backup.schedule = ''\n");
my $space = fill_database($node);

# Write: the same server goes from store to store.
my @written;
my $round = 0;
for my $combination (combinations())
{
	my ($name, $method, $key) = @$combination;
	my $bucket = new_directory('bucket');
	$node->safe_psql('postgres', "ALTER SYSTEM SET forge_backup.$_->[0] = '$_->[1]'")
	  for [ storage => "file://$bucket" ], [ compression => $method ], [ encryption_key_files => $key // '' ],
	  [ delta_max_steps => 1 ];
	$node->reload;
	wait_until("$name: the first backup makes itself", sub { backup_names($bucket) == 1 });
	change_database($node, ++$round);
	my $delta = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	like($delta, qr/_D_/, "$name: a delta is made");
	cmp_ok(increments_in($bucket, $delta), '>', 3, "$name: with increments");
	change_database($node, ++$round);
	wait_archived($node);
	push @written, { name => $name, method => $method, key => $key, bucket => $bucket, rows => fingerprint($node) };
}
$node->stop;
# WAL-RUS brings the tablespace back to its old place.
rename($space, "$space.source") or die "could not rename \"$space\": $!";

for my $case (@written)
{
	my $script = walrus_script(variables($case->{bucket}, $case->{method}, $case->{key}));
	my ($full, $delta) = backups_of($case->{bucket});
	my $list = walrus_ok($script, 'backup-list', "R9: $case->{name}: WAL-RUS lists the backups");
	ok(index($list, $_) >= 0, "R9: $case->{name}: $_ is listed") for $full, $delta;
	for my $backup ($full, $delta)
	{
		my $restored = PostgreSQL::Test::Cluster->new("r$backup");
		remove_tree($space);
		walrus_ok($script, 'backup-fetch', $restored->data_dir, $backup, "R9: $case->{name}: WAL-RUS fetches $backup");
		is_restored(restored_cluster($restored, "$script wal-fetch %f %p"), $case->{rows}, "R9: $case->{name}: $backup restored by WAL-RUS");
	}
}

done_testing();
