# Backups are switched on and off by the bucket's name, as Spilo has it.
# scenarios: 15
use strict;
use warnings;

use ForgeLab;
use ForgeTest;
use Test::More;
use Time::HiRes qw(time);

my $lab = lab(pod => { WAL_S3_BUCKET => '' });
ok(!-e $lab->{env_dir}, 'without a bucket Spilo makes no env directory');
my $leader = $lab->leader;

sub backlog { return $lab->sql($leader, "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"); }

$lab->switch_segments(4);
$lab->within(20, 'off: no segment waits', sub { backlog() == 0 });
is($lab->sql('SELECT failed_count FROM pg_stat_archiver'), 0, 'off: no attempt failed');
like($lab->status_of($leader, 'state'), qr/^off/, 'off: status() says so');

$lab->{pod}{WAL_S3_BUCKET} = 'forge';
my $begin = time();
$lab->write_env(spilo_env(%{ $lab->{pod} }));

$lab->within(90, 'on: a base backup first of all, without a signal', sub { $lab->backups }, $begin);
my ($segment) = $lab->switch_segments(1);
$lab->within(30, 'on: WAL is stored', sub { $lab->is_stored($segment) });

$begin = time();
$lab->write_env({ WALG_S3_PREFIX => undef, WALE_S3_PREFIX => undef });
$lab->within(60, 'off again: status() says so at the next segments', sub {
		$lab->switch_segments(1);
		$lab->status_of($leader, 'state') =~ /^off/;
	}, $begin);
my @dropped = $lab->switch_segments(4);
$lab->within(20, 'off again: no segment waits', sub { backlog() == 0 });
ok(!(grep { $lab->is_stored($_) } @dropped), 'off again: and none is stored');

my $old = $lab->backups;
$begin = time();
$lab->write_env(spilo_env(%{ $lab->{pod} }));
$lab->within(90, 'on again: a new base backup, since WAL is missing', sub { $lab->backups > $old }, $begin);
$lab->stop;
done_testing();
