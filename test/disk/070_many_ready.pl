# Very many files that wait: what our part does for a segment costs the same, however many others there are.
use strict;
use warnings;

use ForgeDisk;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = forge_node('primary', prepare => sub { mount_at($_[0]->data_dir, '600m') }, conf => "max_wal_size = 2GB\nwal_keep_size = 64MB\n");
my $status = $node->data_dir . '/pg_wal/archive_status';
my $store = $node->{forge}{storage} =~ s{^file://}{}r;
wait_archived($node);

# Nanoseconds of processor time of all threads of a process.
sub cpu_time
{
	my ($pid) = @_;
	my $sum = 0;
	$sum += (split ' ', read_text($_))[0] for glob("/proc/$pid/task/*/schedstat");
	return $sum;
}

# Processor time of the helper for ten segments, and seconds of a look at the view, beside so many that wait.
sub measure
{
	my ($count) = @_;
	my $far = name_after(switch_wal($node), 4096);
	rename($store, "$store.gone") or die $!;
	my @segments = map { switch_wal($node) } 1 .. 10;
	for my $i (0 .. $count - 1)
	{
		my $waiting = name_after($far, $i);
		write_text("$status/$waiting.ready", '');
		# One that has no file would be taken for a leftover.
		symlink($segments[0], $node->data_dir . "/pg_wal/$waiting");
	}
	my $begin = time;
	is(archive_value($node, 'backlog_files') >= $count ? 'all' : 'fewer', 'all', "D8: $count waiting files are counted");
	my $look = time - $begin;
	my $helper = helper_pid($node);
	my $before = cpu_time($helper);
	rename("$store.gone", $store) or die $!;
	$node->reload;
	# The last ones wait for a helper of the same settings.
	wait_until("$segments[-1] is archived", sub { archive_state($node, $segments[-1]) eq 'done' });
	my $spent = cpu_time($helper) - $before;
	is(helper_pid($node), $helper, 'D8: by one helper');
	$node->stop('immediate');
	unlink map { ("$status/" . name_after($far, $_) . '.ready', $node->data_dir . '/pg_wal/' . name_after($far, $_)) } 0 .. $count - 1;
	$node->start;
	wait_archived($node);
	return ($spent / 1e9, $look);
}

my ($few, $few_look) = measure(10_000);
my ($many, $many_look) = measure(100_000);
note(sprintf('10 segments beside 10 000 that wait: %.3f s, view %.3f s; beside 100 000: %.3f s, view %.3f s', $few, $few_look, $many, $many_look));
cmp_ok($many, '<', 3 * $few + 0.2, 'D8: ten segments cost the helper the same beside ten times as many');
cmp_ok($many_look, '<', 30 * $few_look + 0.5, 'D8: and the count of all grows no more than they do');
$node->stop;

done_testing();
