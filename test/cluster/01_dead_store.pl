# The store is dead, and the cluster lives: restart, a new replica, wrong credentials, repair.
# scenarios: 1 2 3 4 20
# ways: preload reload patroni4
use strict;
use warnings;

use ForgeLab;
use ForgeTest;
use Test::More;
use Time::HiRes qw(time);

my $lab = lab();
my $store = $lab->{store};
$lab->within(60, 'segments of a new cluster are stored', sub { $lab->is_stored($lab->{first} //= ($lab->switch_segments(1))[0]) });
my $endpoint = $lab->{pod}{AWS_ENDPOINT};

# Ends all members and starts them, with a segment that waits for the store.
sub restart_all
{
	my ($what) = @_;
	$lab->switch_segments(1);
	my $begin = time();
	ok($lab->stop_members(limit => 60), "$what: all members end");
	note_time("$what: stop", time() - $begin, 60);
	$begin = time();
	$lab->start_members;
	$lab->within(30, "$what: leader", sub { $lab->leader }, $begin);
	$lab->within(60, "$what: all members run", sub { $lab->all_running }, $begin);
	return;
}

my @dead = (
	[ 'silent' => { stall => { at => 'before_body' } } ],
	[ 'reset' => { close => { at => 'before_body', reset => JSON::PP::true } } ],
	[ '403' => { status => 403, code => 'AccessDenied' } ],
	[ '500' => { status => 500, code => 'InternalError' } ],
	[ 'refused' => undef, 'http://127.0.0.1:' . ForgeFaults::free_port() ],
	[ 'no such host' => undef, 'http://store.invalid:9000' ]);
for (@dead)
{
	my ($what, $do, $address) = @$_;
	$store->script($do ? { do => $do } : ());
	$lab->write_env({ AWS_ENDPOINT => $address }) if $address;
	restart_all("store dead ($what)");
	$lab->write_env({ AWS_ENDPOINT => $endpoint });
}

$store->script({ do => { stall => { at => 'before_body' } } });
$lab->remake(90, 'store dead (silent): a replica is made anew', ($lab->replicas)[0]);

# A key that the store does not know.
$store->script({ match => { header => { authorization => 'Credential=wrong/' } }, do => { status => 403, code => 'InvalidAccessKeyId' } });
$lab->write_env({ AWS_ACCESS_KEY_ID => 'wrong' });
restart_all('wrong credentials');
my ($waiting) = $lab->switch_segments(1);
$lab->within(60, 'wrong credentials: the server says so', sub { says_credentials($lab->leader) });
ok(!$lab->is_stored($waiting), 'wrong credentials: nothing is stored');
my $archived = $lab->sql('SELECT archived_count FROM pg_stat_archiver');

$lab->write_env({ AWS_ACCESS_KEY_ID => 'key' });
my $begin = time();
$lab->within(60, 'one file rewritten, no signal: WAL is archived again', sub { $lab->is_stored($waiting) }, $begin);
$lab->within(60, 'one file rewritten: pg_stat_archiver counts it',
	sub { $lab->sql('SELECT archived_count FROM pg_stat_archiver') > $archived }, $begin);

# Without shared memory only the log can tell.
sub says_credentials
{
	my ($member) = @_;
	return $lab->log_of($member) =~ /archiver WARNING: .*does not know the access key/ unless preloads();
	return $lab->sql($member, "SELECT problem_kind || ': ' || problem FROM forge_backup.archive_status") =~ /^denied: .*does not know the access key/;
}

$lab->stop;
done_testing();
