# The leader is killed with WAL that could not be stored: the next one has it, and stores it. Once with an archive_command that Patroni
# can use for what a dead server left, once without.
# scenarios: 6 7 20
# ways: preload patroni4
use strict;
use warnings;

use ForgeLab;
use ForgeTest;
use Test::More;
use Time::HiRes qw(time);

crash('with archive_command', scope => 'six');
crash('without archive_command', scope => 'seven', local => { archive_command => '' });
done_testing();

sub crash
{
	my ($what, %option) = @_;
	my $lab = lab(%option);
	my $store = $lab->{store};
	$lab->within(60, "$what: a base backup", sub { $lab->backups });
	my ($first) = $lab->switch_segments(1);
	$lab->within(60, "$what: WAL behind it", sub { $lab->is_stored($first) });

	$store->script({ match => { method => 'PUT' }, do => { status => 503, code => 'ServiceUnavailable' } });
	$lab->sql('CREATE TABLE kept AS SELECT i FROM generate_series(1, 1000) i');
	my @waiting = $lab->switch_segments(2);
	my $old = $lab->leader;
	$lab->within(30, "$what: the replicas have it all",
		sub { $lab->sql($old, 'SELECT bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication') eq 't' });
	my $begin = time();
	$lab->kill_member($old);
	$lab->within(60, "$what: another member leads", sub { $lab->leader }, $begin);
	is($lab->sql('SELECT count(*) FROM kept'), 1000, "$what: it has the rows");

	$begin = time();
	$lab->start_member($old);
	$lab->within(120, "$what: the killed member runs again, the store still refusing", sub { $lab->all_running }, $begin);

	my (undef, $last) = $lab->switch_segments(2);
	ok($lab->missing_wal($first, $last), "$what: and nothing could be stored");
	$begin = time();
	$store->script();
	$lab->within(120, "$what: store back: no segment is missing", sub { !$lab->missing_wal($first, $last) }, $begin)
	  or diag('missing: ' . join(' ', $lab->missing_wal($first, $last)));
	$lab->stop;
	return;
}
