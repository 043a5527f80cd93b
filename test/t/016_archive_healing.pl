# The archive heals itself: holes after a failover, base backups that are deleted, damaged, of another lineage, or overdue.
use strict;
use warnings;

use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

sub value_of { my ($node, $query) = @_; return $node->safe_psql('postgres', $query); }
sub has_row { my ($node, $name) = @_; return status_value($node, $name); }

my $primary = forge_node('primary', conf => "forge_backup.check_interval = '1s'\n");
my $bucket = bucket_of($primary);
$primary->safe_psql('postgres', 'CREATE TABLE t (i int)');
my $standby = forge_standby($primary, 'standby', conf => "wal_keep_size = '64MB'\n");

sub in_store { my ($name) = @_; return -f "$bucket/wal_005/$name.zst"; }

# --- failover with a backlog -------------------------------------------------------------------------------------------

wait_archived($primary);
my $away = "$bucket.away";
rename($bucket, $away) or die "$bucket: $!";
write_text($bucket, 'no directory');    # nothing can be stored
$primary->safe_psql('postgres', 'INSERT INTO t VALUES (1)');
my @names = map { switch_wal($primary) } 1 .. 3;
$primary->safe_psql('postgres', 'INSERT INTO t VALUES (2)');
$primary->wait_for_catchup($standby);
$primary->stop('immediate');
is(archive_state($standby, $names[0]), 'done', 'a standby has what it streamed marked as archived');
unlink($bucket);
rename($away, $bucket) or die "$away: $!";
ok(!in_store($names[0]), 'the store does not have it');
$standby->promote;
ok(wait_until('the hole is filled', sub { !grep { !in_store($_) } @names }, 90), 'P3: what only the old primary could have archived comes from the new one');
wait_archived($standby);
like(log_since($standby, 0), qr/forge_backup: \d files missing in the store are archived again, from "$names[0]" on/, 'and the log says so');
cmp_ok(has_row($standby, 'healed_wal') =~ /^(\d+)/ ? $1 : 0, '>=', 3, 'so does status()');
is(value_of($standby, 'SELECT count(*) FROM forge_backup.gaps'), 0, 'nothing is lost');
is(scalar backup_names($bucket), 1, 'so no new base backup is needed');
my $checksum = table_checksum($standby, 't');
my $restored = restore_node('restored', $standby, cli => [ '--target-action', 'promote' ]);
if (start_restored($restored))
{
	wait_until('promoted', sub { value_of($restored, 'SELECT NOT pg_is_in_recovery()') eq 't' });
	is(table_checksum($restored, 't'), $checksum, 'a restore leads across the failover');
	$restored->stop;
}

# --- what the old primary finishes after the fork ----------------------------------------------------------------------

# As Patroni brings up a crashed primary before pg_rewind: its recovery ends the segment in which the timelines part, and then
# everything marked is archived by the command.
{
	my $data = $primary->data_dir;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'postgres', '--single', '-D', $data, '-c', 'archive_library=', '-c', 'archive_command=false', '-c', 'hot_standby=off', 'postgres' ],
		'<', \'', '>', \$out, '2>', \$err);
	my @left = sort map { m{/([0-9A-F]{24})\.ready$} ? $1 : () } glob("$data/pg_wal/archive_status/*.ready");
	my $last = $left[-1];
	cmp_ok($last, 'gt', $names[-1], 'the old primary has finished its last segment') or diag($err);
	ok(!in_store($last), 'nobody has archived it');
	my $env = env_dir_of($standby);
	my ($code, $stdout, $stderr) = forge_cli('wal-push', '--env-dir', $env, "$data/pg_wal/$last");
	is($code, 1, 'P3: nor does the command, since nobody follows it');
	like($stderr, qr/WAL file "$last" goes beyond [0-9A-F\/]+, where timeline 1 was left \("00000002.history"\)/, 'P3: and says why');
	ok(!in_store($last), 'P3: a standby that has not heard of the new timeline does not find it');
	cli_ok('wal-push', '--env-dir', $env, "$data/pg_wal/$names[0]", 'what came before the fork is archived') if -e "$data/pg_wal/$names[0]";
}

# --- WAL that is lost --------------------------------------------------------------------------------------------------

my $offset = log_size($standby);
my @lost = map { wait_archived($standby) } 1 .. 2;
$standby->safe_psql('postgres', "ALTER SYSTEM SET wal_keep_size = 0; SELECT pg_reload_conf()");
wait_until('the server has recycled it', sub {
	wait_archived($standby);
	$standby->safe_psql('postgres', 'CHECKPOINT');
	return !grep { -e $standby->data_dir . "/pg_wal/$_" } @lost;
});
# While nobody looks: who looks between the two would name only one.
$standby->stop;
unlink(map { "$bucket/wal_005/$_.zst" } @lost) == 2 or die "could not remove: $!";
$standby->start;
ok(wait_until('another base backup is made', sub { backup_names($bucket) > 1 }, 90), 'S17, K6: WAL that vanished from the store is noticed');
like(log_since($standby, $offset), qr/WARNING:  forge_backup: WAL from "$lost[0]" to "$lost[1]" is lost: neither the store nor pg_wal has it/, 'and named');
wait_until('the gap is bridged', sub { value_of($standby, q{SELECT count(*) = 1 AND bool_and(state = 'bridged') FROM forge_backup.gaps}) eq 't' });
is(value_of($standby, 'SELECT first_wal, last_wal, files, reason, state FROM forge_backup.gaps'), "$lost[0]|$lost[1]|2|lost|bridged", 'the gap is remembered');

# What vanished from the store and is still in pg_wal comes back.
my $again = wait_archived($standby);
unlink("$bucket/wal_005/$again.zst") or die "could not remove: $!";
ok(wait_until('it is there again', sub { in_store($again) }), 'a segment deleted from the store is stored again from pg_wal');

# --- base backups ------------------------------------------------------------------------------------------------------

sub remove_tree { PostgreSQL::Test::Utils::system_or_bail('rm', '-rf', @_); return; }

sub new_backup
{
	my ($what, $pattern, $change) = @_;
	my @before = backup_names($bucket);
	my $from = log_size($standby);
	$change->($before[-1]);
	my @new;
	ok(wait_until("a base backup is made when $what", sub {
		@new = grep { my $name = $_; !grep { $_ eq $name } @before } backup_names($bucket);
		return @new > 0;
	}, 90), "S24: when $what, a new base backup is made");
	wait_until('it is said', sub { log_since($standby, $from) =~ $pattern });
	like(log_since($standby, $from), qr/A new base backup is made now/, 'and the log says what is done');
	wait_until('it is the newest', sub { status_value($standby, 'newest_backup') =~ /^$new[0]/ });
	return;
}

new_backup('all are deleted', qr/WARNING:  forge_backup: the base backups are gone from the store/,
	sub { remove_tree("$bucket/basebackups_005"); mkdir("$bucket/basebackups_005") or die; });
new_backup('the parts of the newest are gone', qr/WARNING:  forge_backup: backup "\w+" cannot be restored/,
	sub { remove_tree("$bucket/basebackups_005/$_[0]/tar_partitions") });

# Contents are compared with the manifest at the start of the server, and every hour.
new_backup('a part of the newest is gone', qr/WARNING:  forge_backup: backup "\w+" cannot be restored: .*part_001/, sub {
	$standby->stop;
	unlink("$bucket/basebackups_005/$_[0]/tar_partitions/part_001.tar.zst") or die "could not remove: $!";
	$standby->start;
});

# --- the schedule ------------------------------------------------------------------------------------------------------

# Ten minutes ago is before or after the newest backup, as its sentinel says.
{
	my ($name) = reverse backup_names($bucket);
	my $minute = sprintf('%d %d * * *', (gmtime(time - 600))[ 1, 2 ]);
	my $count = backup_names($bucket);
	$standby->safe_psql('postgres', "ALTER SYSTEM SET forge_backup.schedule = '$minute'; SELECT pg_reload_conf()");
	wait_until('the schedule is known', sub { status_value($standby, 'schedule') =~ /^\Q$minute\E/ });
	my $now = value_of($standby, 'SELECT now()');
	wait_until('the storage was looked at', sub {
		value_of($standby, qq{SELECT detail::timestamptz > '$now' FROM forge_backup.status() WHERE name = 'backups_in_storage'}) eq 't';
	});
	is(scalar backup_names($bucket), $count, 'a run before the newest base backup is not missed');
	new_backup('the last run was missed', qr/WARNING:  forge_backup: the base backup that was due has not been made/, sub {
		for my $file ("$bucket/basebackups_005/${name}_backup_stop_sentinel.json", "$bucket/basebackups_005/$name/metadata.json")
		{
			my $text = read_text($file);
			$text =~ s/("(?:StartTime|start_time)": ?")(\d{4})/$1 . ($2 - 1)/e or die "no start time in $file";
			write_text($file, $text);
		}
	});
}
$standby->stop;

done_testing();
