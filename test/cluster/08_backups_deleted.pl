# Somebody deletes the base backups of a running cluster.
# scenarios: 8
use strict;
use warnings;

use ForgeLab;
use ForgeTest;
use Test::More;
use Time::HiRes qw(time);

my $lab = lab(parameters => { 'forge_backup.check_interval' => '10s' });
my ($segment) = $lab->switch_segments(1);
$lab->within(60, 'a base backup, and WAL behind it', sub { $lab->backups && $lab->is_stored($segment) });
my ($old) = $lab->backups;
$lab->sql("SELECT pg_logical_emit_message(true, 'lab', 'a new backup starts elsewhere')");
$lab->switch_segments(2);

my $started = $lab->sql('SELECT pg_postmaster_start_time()');
my $begin = time();
$lab->remove_stored($lab->stored(qr/^basebackups_005/));
is(scalar $lab->backups, 0, 'all base backups are gone');
$lab->within(40, 'a new base backup, with a look every 10 s', sub { $lab->backups }, $begin);
isnt(($lab->backups)[0], $old, 'it is another one');
is($lab->sql('SELECT pg_postmaster_start_time()'), $started, 'nothing was restarted');
like($lab->log_of($lab->leader), qr/scheduler WARNING: .*the base backups are gone/, 'the log tells of it');
$lab->stop;
done_testing();
