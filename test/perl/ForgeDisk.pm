# Disks that are full, broken or read-only, for the tests below test/disk: small file systems, which test/disk/with_mounts
# mounts, and system calls of forge-backup that fail by a script (test/faulty_libc).
package ForgeDisk;

use strict;
use warnings;

use Exporter qw(import);
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(mount_at small_disk free_disk read_only writable fill_disk faults no_faults used archive_value in_backup_mode);

my $asked = 0;
my $faults;

# Without the stage's own set-up nothing here can run.
BAIL_OUT('run this by ./dev test disk') unless $ENV{FAULTY_LIBC} && -p "$ENV{TESTDIR}/mounts";

# --- file systems ----------------------------------------------------------------------------------------------------

sub ask
{
	my (@words) = @_;
	my $answer = new_directory('asked') . '/' . ++$asked;
	open(my $servant, '>', "$ENV{TESTDIR}/mounts") or die "nobody mounts: $!";
	syswrite($servant, join(' ', $answer, @words) . "\n");
	close($servant);
	wait_until("@words", sub { -e $answer });
	my $said = read_text($answer);
	die "@words: $said" if $said ne "ok\n";
	return;
}

# A new file system of that size at a directory; it lasts as long as the stage.
sub mount_at
{
	my ($directory, $size) = @_;
	ask('mount', $directory, $size);
	return $directory;
}

sub small_disk { return mount_at("$ENV{TESTDIR}/disk$$." . ++$asked, $_[0]); }

# Kilobytes that are free.
sub free_disk
{
	my ($directory) = @_;
	my ($out) = run_command([ 'df', '--output=avail', '-k', $directory ]);
	return (split /\n/, $out)[1] + 0;
}

sub read_only { return ask('read_only', $_[0]); }
sub writable { return ask('writable', $_[0]); }

# Takes all the space but so many kilobytes; returns the file to remove.
sub fill_disk
{
	my ($directory, $left) = @_;
	my $file = "$directory/filler";
	open(my $out, '>>', $file) or die "could not write \"$file\": $!";
	my $size = free_disk($directory) - ($left // 0);
	while ($size > 0)
	{
		my $piece = $size > 1024 ? 1024 : $size;
		last unless syswrite($out, "\0" x ($piece * 1024));
		$size -= $piece;
	}
	close($out);
	return $file;
}

# --- system calls ----------------------------------------------------------------------------------------------------

# What fails from now on, as lines of the script (test/faulty_libc); servers that start now, and commands, follow it.
sub faults
{
	my (@lines) = @_;
	if (!$faults)
	{
		$faults = new_directory('faults');
		$ENV{LD_PRELOAD} = $ENV{FAULTY_LIBC};
		$ENV{FAULTY_LIBC_DIR} = $faults;
	}
	unlink glob("$faults/used.*");
	write_text("$faults/new", join('', map { "$_\n" } @lines));
	rename("$faults/new", "$faults/script") or die "could not rename: $!";
	return;
}

sub no_faults { return faults(); }

# How often a line of the script, counted from 0, was used.
sub used { return -s "$faults/used.$_[0]" // 0; }

# --- servers ---------------------------------------------------------------------------------------------------------

# Value of a column of forge_backup.archive_status.
sub archive_value
{
	my ($node, $expression) = @_;
	return $node->safe_psql('postgres', "SELECT $expression FROM forge_backup.archive_status");
}

# The server forces full pages into its WAL while a backup runs, whatever the setting says. Wants full_page_writes = off.
sub in_backup_mode
{
	my ($node) = @_;
	$node->safe_psql('postgres', 'CREATE TABLE IF NOT EXISTS written AS SELECT 1 AS n; CHECKPOINT');
	my $from = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	$node->safe_psql('postgres', 'UPDATE written SET n = n + 1');
	my $to = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
	my ($out, $err) = run_command([ 'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-s', $from, '-e', $to, '-w' ]);
	die "pg_waldump: $err" if $err ne '';
	return $out =~ /FPW/;
}

1;
