# Kills at named points (core/base/crash_point.h). The programs that "./dev test crash" runs pass them; a point that a test
# has armed ends the process that passes it, once.
package ForgeCrash;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(crash_node arm is_armed fired die_at wait_back content_of stored_as whole_or_absent same_restored);

# Servers hand it to their helpers, and the command line has it from here.
my $points = abs_path(new_directory('points'));
$ENV{FORGE_CRASH_POINTS} = $points;

# A forge_node() that runs the programs with points, starts again by itself when a process of it was killed, and keeps its
# WAL for comparison.
sub crash_node
{
	my ($name, %option) = @_;
	chomp(my $bin = `pg_config --bindir`);
	$option{conf} = "restart_after_crash = on\nwal_keep_size = 1GB\nforge_backup.helper_path = '$bin/forge-backup'\n" . ($option{conf} // '');
	return forge_node($name, %option);
}

# The next process that passes the point is killed there; or the n-th passage of all processes.
sub arm
{
	my ($name, $passage) = @_;
	# Whole at once, since somebody may look at any moment.
	write_text("$points/.$name", $passage // 1);
	rename("$points/.$name", "$points/$name") or die "could not arm \"$name\": $!";
	return;
}

sub is_armed { return -e "$points/$_[0]"; }

# Waits until somebody was killed there.
sub fired
{
	my ($name) = @_;
	return wait_until("a process ends at \"$name\"", sub { !is_armed($name) });
}

# Runs a command that is killed at the point.
sub die_at
{
	my ($name, $passage, @command) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	arm($name, $passage);
	my ($code, $out, $err) = forge_cli(@command);
	ok($code == 128 + 9 && !is_armed($name), "killed at \"$name\", passage $passage") or diag("exit code $code\n$out$err");
	return;
}

# The server is there again after a process of it was killed.
sub wait_back
{
	my ($node) = @_;
	return wait_until('the server is back', sub { ($node->psql('postgres', 'SELECT 1'))[0] == 0 });
}

# A WAL file as the archive gives it back; undef where the archive says that it has none. $env is an env directory, or the
# words of options.
sub content_of
{
	my ($env, $name) = @_;
	my $file = new_directory('fetch') . '/file';
	my ($code, $out, $err) = forge_cli('wal-fetch', ref $env ? @$env : ('--env-dir', $env), '--prefetch', 0, '--retry-timeout', 1, $name, $file);
	return read_text($file) if $code == 0;
	note("$out$err") if $code != 74;
	return $code == 74 ? undef : "exit code $code";
}

# The archive has this file of the server, byte for byte.
sub stored_as
{
	my ($node, $env, $name, $text) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $there = content_of($env, $name) // 'nothing';
	return ok($there eq read_text($node->data_dir . "/pg_wal/$name"), $text) || diag(length($there) . ' bytes');
}

# What is visible under the final name is the whole file, or nothing.
sub whole_or_absent
{
	my ($node, $env, $name, $text) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $there = content_of($env, $name);
	return ok(!defined $there || $there eq read_text($node->data_dir . "/pg_wal/$name"), $text);
}

# A restore from the store has the rows that the server has.
sub same_restored
{
	my ($name, $node, $table, $text, %option) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_archived($node);
	my $restored = restore_node($name, $node, %option);
	return fail($text) unless start_restored($restored);
	is(table_checksum($restored, $table), table_checksum($node, $table), $text);
	$restored->stop;
	return;
}

1;
