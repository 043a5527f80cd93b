# What a server does takes the time it takes without us, plus a known little, whatever the store does: start, reload, DROP
# DATABASE, switch of archive_library away and back, every way to stop, promotion. A server for each way to fail, and one
# without us to compare; they live side by side, and afterwards their times are looked at.
use strict;
use warnings;

use ForgeFaults;
use ForgeTest;
use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;
use Time::HiRes qw(usleep);

# Upper bounds in seconds, with room for a machine that has much to do.
my @bounds = (
	[ 'start', 10, 'it starts' ],
	[ 'status', 2, 'status() answers' ],
	[ 'drop_database', 2, 'DROP DATABASE returns' ],
	[ 'reload', 2, 'a reload takes effect' ],
	[ 'switch_away', 20, 'another archive_library takes over' ],
	[ 'switch_back', 20, 'and so does ours' ],
	[ 'stop_fast', 10, 'P1: a fast stop is over' ],
	[ 'stop_smart', 10, 'P1: a smart stop is over' ],
	[ 'stop_immediate', 5, 'P1: an immediate stop is over' ],
	[ 'start_standby', 20, 'a standby that looks into the archive starts' ],
	[ 'promote', 20, 'and is promoted' ],
	[ 'left', 5, 'P1: no process of ours is left behind' ]);

my $fake = start_fake();
my %endpoint = (
	'refuses connections' => 'http://127.0.0.1:' . free_port(),
	'accepts and says nothing' => 'http://127.0.0.1:' . black_hole());
my %rule = (
	'resets in the middle of a body' => { close => { at => 'body', after => 20000, reset => \1 } },
	'drips' => { read_rate => 20000, delay => 2, send_rate => 5 },
	'answers 500' => { status => 500, code => 'InternalError' },
	'answers 403' => { status => 403, code => 'AccessDenied' },
	'lies with 200 and HTML' => { status => 200, body => '<html>welcome</html>', headers => { 'Content-Type' => 'text/html' } });
# The rules come last: a bucket begins with none.
my %bucket = map { $_ => $fake->bucket } sort(keys %endpoint, keys %rule);
$fake->script(map { { match => { bucket => "^$bucket{$_}{name}\$" }, do => $rule{$_} } } sort keys %rule);

my $template = forge_node('template', storage => undef, key => 0, conf => "archive_timeout = 0\n");
$template->stop;
$template->backup_fs_cold('all');

my %life;
for my $state ('without us', sort(keys %endpoint, keys %rule))
{
	my $name = $state =~ s/\W/_/gr;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init_from_backup($template, 'all');
	my $conf = $state eq 'without us' ? "archive_library = ''\narchive_command = '/bin/true'\n" : $bucket{$state}->conf;
	$conf .= "forge_backup.s3_endpoint = '$endpoint{$state}'\n" if $endpoint{$state};
	$node->append_conf('postgresql.conf', "port = @{[ $node->port ]}\n$conf");
	my $times = new_directory('times') . '/times';
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		# Of the child only the times are wanted: no end of the test, and no output of its own.
		open(STDOUT, '>', "$times.out");
		open(STDERR, '>&', \*STDOUT);
		my $done = eval { live($node, $state, $times); 1 };
		print $@ unless $done;
		close(STDOUT);
		POSIX::_exit($done ? 0 : 1);
	}
	$life{$state} = { pid => $pid, times => $times, node => $node };
}

for my $state (sort keys %life)
{
	my $life = $life{$state};
	waitpid($life->{pid}, 0);
	is($?, 0, "store $state: the server went through its life") or diag(read_text("$life->{times}.out"));
	my %seconds = map { /^(\S+) (\S+)$/ } split /\n/, read_text($life->{times});
	note("$state: " . join(', ', map { "$_->[0] $seconds{$_->[0]}" } grep { defined $seconds{ $_->[0] } } @bounds));
	cmp_ok($seconds{ $_->[0] } // 'inf', '<', $_->[1], "store $state: $_->[2] in under $_->[1] s") for @bounds;
	next if $state eq 'without us';
	is($seconds{kept}, 1, "store $state: no file was marked as archived");
	log_lacks($life->{node}, 0, qr/PANIC|terminated by signal|TRAP|abnormal/, "store $state: nothing of the server crashed");
}

done_testing();

# One server from its start to its end. Writes "what seconds" lines.
sub live
{
	my ($node, $state, $times) = @_;
	my $ours = $state ne 'without us';
	my @words;
	my $measure = sub {
		my ($what, $code) = @_;
		my $seconds = seconds($code);
		push @words, "$what " . sprintf('%.1f', $seconds);
		write_text($times, join("\n", @words) . "\n");
	};

	$measure->('start', sub { $node->start });
	my @names = map { switch_wal($node) } 1 .. 2;
	# In the middle of an attempt, as far as there is one to be in the middle of.
	wait_until('the archiver tries', sub { child_of(archiver_pid($node)) }) if $ours;
	$measure->('status', sub { $node->psql('postgres', 'SELECT * FROM forge_backup.status()') });
	$node->safe_psql('postgres', 'CREATE DATABASE victim');
	$measure->('drop_database', sub { $node->safe_psql('postgres', 'DROP DATABASE victim') });

	$node->append_conf('postgresql.conf', 'work_mem = 5MB');
	$measure->('reload', sub {
		$node->reload;
		wait_until('the reload', sub { $node->safe_psql('postgres', 'SHOW work_mem') eq '5MB' });
	});

	for my $step ([ 'switch_away', "archive_library = ''\narchive_command = '/bin/false'" ],
		[ 'switch_back', $ours ? "archive_library = 'forge_backup'\narchive_command = ''" : "archive_command = '/bin/true'" ])
	{
		push @names, switch_wal($node);
		my $before = archiver_pid($node);
		$node->append_conf('postgresql.conf', $step->[1]);
		$measure->($step->[0], sub {
			$node->reload;
			# Without a change of the library the archiver stays.
			wait_until('another archiver', sub {
				my $pid = archiver_pid($node);
				return $pid ne '' && (!$ours || $pid ne $before);
			});
		});
	}

	push @names, switch_wal($node);
	wait_until('the archiver tries again', sub { child_of(archiver_pid($node)) }) if $ours;
	$measure->('stop_fast', sub { $node->stop('fast') });
	for my $mode ('smart', 'immediate')
	{
		$node->start;
		push @names, switch_wal($node);
		wait_until('the archiver tries', sub { child_of(archiver_pid($node)) }) if $ours;
		$measure->("stop_$mode", sub { $node->stop($mode) });
	}

	write_text($node->data_dir . '/standby.signal', '');
	$node->append_conf('postgresql.conf',
		$ours ? "archive_mode = always\nrestore_command = 'forge-backup wal-fetch %f %p'" : "restore_command = '/bin/false'");
	$measure->('start_standby', sub { $node->start });
	$measure->('promote', sub { $node->promote; $node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') });
	push @words, 'kept ' . (grep({ archive_state($node, $_) eq 'ready' } @names) == @names ? 1 : 0);
	$node->stop('fast');
	$measure->('left', sub { wait_until('all are gone', sub { !processes_of($node) }) or die "left: " . processes_of($node) });
	return;
}

# The processes that have the data directory as theirs: the server, its children and our helpers.
sub processes_of
{
	my ($node) = @_;
	my $data = $node->data_dir;
	return join(' ', map { m{^/proc/(\d+)} } grep { (readlink($_) // '') eq $data } glob('/proc/[0-9]*/cwd'));
}
