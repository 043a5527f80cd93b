# In a container the postmaster is PID 1 and inherits every orphan. An orphaned helper must not look like a crashed server process.
use strict;
use warnings;

use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my @unshare = ('unshare', '--user', '--map-current-user', '--pid', '--fork', '--mount-proc');
plan skip_all => 'this system does not let users have PID namespaces' 
  unless IPC::Run::run([ @unshare, 'true' ], '>', \my $output, '2>', \my $errors);

my $node = forge_node('primary', start => 0);
$node->append_conf('postgresql.conf', "restart_after_crash = on\n");
my $unshare = fork() // die "could not fork: $!";
if ($unshare == 0)
{
	open(STDOUT, '>>', $node->logfile);
	open(STDERR, '>&', \*STDOUT);
	exec(@unshare, 'postgres', '-D', $node->data_dir);
	die "could not start unshare: $!";
}

# Seen from outside: the postmaster is the only child of unshare. pg_ctl must not be used, postmaster.pid says 1.
my $postmaster = wait_until('the postmaster is there', sub { child_of($unshare) });
END
{
	my $status = $?;
	kill('INT', $postmaster) if $postmaster && $unshare && child_of($unshare);
	$? = $status;
}
wait_until('the server answers', sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 });
is((split /\n/, read_text($node->data_dir . '/postmaster.pid'))[0], '1', 'the postmaster is PID 1 of its namespace');
$node->safe_psql('postgres', 'CREATE EXTENSION forge_backup');
my $segment = wait_archived($node);
ok(-f bucket_of($node) . "/wal_005/$segment.zst", 'it archives');

# The archiver is killed while its helper cannot react: the server restarts once, as it does for any crash, and inherits the helper.
my ($archiver) = grep { cmdline($_) =~ /archiver/ } children_of($postmaster);
my $helper = wait_until('the archiver has a helper', sub { child_of($archiver) });
my $offset = log_size($node);
kill('STOP', $helper);
kill('KILL', $archiver);
wait_until('the server is back', sub {
	log_since($node, $offset) =~ /ready to accept connections/ && ($node->psql('postgres', 'SELECT 1'))[0] == 0;
});
my $running = -d "/proc/$helper" && cmdline($helper) ne '';
is((slurp_file("/proc/$helper/status") =~ /^PPid:\s+(\d+)/m)[0], $postmaster, 'the helper is an orphan that the postmaster has inherited')
  if $running;
kill('CONT', $helper) if $running;
wait_until('the orphan has ended', sub { !-d "/proc/$helper" || cmdline($helper) eq '' });
wait_archived($node);
my @restarts = log_since($node, $offset) =~ /all server processes terminated; reinitializing/g;
is(scalar @restarts, 1, 'the end of the orphan does not restart the server a second time');
log_lacks($node, $offset, qr/server process.*(?:terminated by signal|exited with exit code [2-9])|untracked child process.*(?:terminated by signal|exit code [2-9])/,
	'C16: the orphan has ended with exit code 0 or 1');
ok(-d "/proc/$postmaster", 'the postmaster is still the same');

kill('INT', $postmaster);
ok(wait_until('the server stops', sub { waitpid($unshare, 1) == $unshare }, 30), 'a fast stop works');

done_testing();

sub cmdline
{
	my ($pid) = @_;
	open(my $file, '<', "/proc/$pid/cmdline") or return '';
	my $text = <$file> // '';
	return $text =~ s/\0/ /gr;
}
