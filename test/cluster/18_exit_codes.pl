# What Patroni's members make of the exit codes of restore_command, and which codes wal-fetch gives them.
# scenarios: 18
use strict;
use warnings;

use ForgeLab;
use ForgeTest;
use Test::More;
use Time::HiRes qw(time);

# Stands before wal-fetch: ends with a code of its own if there is one, else writes down code and seconds of wal-fetch.
my $directory = new_directory('probe');
my $probe = write_text("$directory/probe", <<"END", 0755);
#!/bin/bash
if [ -s $directory/code ]; then
    echo "\$1 \$(cat $directory/code)" >>$directory/told
    code=\$(cat $directory/code)
    [ \$code != TERM ] || kill -TERM \$\$
    exit \$code
fi
begin=\$(date +%s%N)
envdir \$3 forge-backup wal-fetch "\$1" "\$2"
code=\$?
echo "\$1 \$code \$(( (\$(date +%s%N) - begin) / 1000000 ))" >>$directory/calls
exit \$code
END
write_text("$directory/$_", '') for qw(calls code told);
my $lab = lab(members => 2, postgresql => { recovery_conf => { restore_command => qq{$probe "%f" "%p" "}
		  . '$HOME/env' . '"' } });
my ($standby) = $lab->replicas;

sub restart
{
	my ($limit) = @_;
	$lab->stop_members(members => [$standby]);
	write_text("$directory/$_", '') for qw(calls told);
	$lab->start_member($standby);
	return;
}

# 1 to 125 are "no such file": the standby goes on to stream.
for my $code (1, 74, 124, 125)
{
	write_text("$directory/code", $code);
	restart();
	$lab->within(30, "exit code $code: the standby streams", sub { $lab->all_running });
	cmp_ok(-s "$directory/told", '>', 0, "exit code $code: it had asked");
}

# Everything above ends the start.
for my $code (126, 127, 200, 143, 'TERM')
{
	write_text("$directory/code", $code);
	my $offset = -s $standby->{log};
	restart();
	$lab->within(30, "exit code $code: the start fails",
		sub { substr($lab->log_of($standby), $offset) =~ /startup process \(PID \d+\) exited with exit code 1/ });
	ok(!$lab->is_running($standby), "exit code $code: the standby does not run");
}
write_text("$directory/code", '');
$lab->within(60, 'exit code as wal-fetch gives it: the standby runs', sub { $lab->all_running });

# wal-fetch itself never gives a standby one of those.
my $store = $lab->{store};
my @dead = (
	[ 'well' => undef ],
	[ 'silent' => { stall => { at => 'before_body' } } ],
	[ 'cut' => { close => { at => 'answer', after => 0 } } ],
	[ '403' => { status => 403, code => 'AccessDenied' } ],
	[ '404 of the bucket' => { status => 404, code => 'NoSuchBucket' } ],
	[ '500' => { status => 500, code => 'InternalError' } ],
	[ 'a web page' => { status => 200, body => '<html>Please log in</html>' } ]);
for (@dead)
{
	my ($what, $do) = @$_;
	$store->script($do ? { do => $do } : ());
	restart();
	$lab->within(30, "store $what: the standby runs", sub { $lab->all_running });
	my @calls = map { [ split / / ] } split /\n/, read_text("$directory/calls");
	cmp_ok(scalar @calls, '>=', 1, "store $what: wal-fetch was called");
	is(join(' ', grep { !/^(0|1|74)$/ } map { $_->[1] } @calls), '', "store $what: it gives 0, 1 or 74");
	my ($slowest) = sort { $b <=> $a } map { $_->[2] } @calls;
	cmp_ok($slowest, '<', 10_000, "store $what: each call ends within 10 s");
	note_time("store $what: slowest call of wal-fetch", $slowest / 1000, 10);
}
$lab->stop;
done_testing();
