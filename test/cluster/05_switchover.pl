# The leader changes while uploads hang; nothing is lost for the archive.
# scenarios: 5
use strict;
use warnings;

use ForgeLab;
use ForgeTest;
use Test::More;
use Time::HiRes qw(time);

my $lab = lab();
my $store = $lab->{store};
$lab->within(60, 'a base backup', sub { $lab->backups });
my ($first) = $lab->switch_segments(1);
$lab->within(60, 'WAL behind it', sub { $lab->is_stored($first) });

$store->script({ match => { method => 'PUT' }, do => { stall => { at => 'before_answer' } } });
my @waiting = $lab->switch_segments(2);
$lab->within(30, 'an upload hangs', sub { grep { !$_->{done} && $_->{key} =~ /$waiting[0]/ } $store->requests });
my $old = $lab->leader;
my ($new) = $lab->replicas;
my $begin = time();
$lab->switchover($old, $new);
$lab->within(30, 'archiver stuck: the other member leads', sub { ($lab->leader // {})->{name} eq $new->{name} }, $begin);
$lab->within(30, 'archiver stuck: the old leader runs again', sub { $lab->is_running($old) && $lab->all_running }, $begin);

$store->script();
my (undef, $last) = $lab->switch_segments(2);
$begin = time();
$lab->within(60, 'store back: WAL of the new leader is stored', sub { $lab->is_stored($last) }, $begin);
$lab->within(90, 'store back: no segment is missing', sub { !$lab->missing_wal($first, $last) }, $begin)
  or diag('missing: ' . join(' ', $lab->missing_wal($first, $last)));
$lab->stop;
done_testing();
