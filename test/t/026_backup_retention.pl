# forge_backup.retain: what goes after a base backup and what stays, the dry run, what is refused, and the scripts that deleted before.
use strict;
use warnings;

use ForgeTest;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary', conf => "forge_backup.retain = 1000\n");
my $bucket = bucket_of($node);
my $env = env_dir_of($node, PGPORT => $node->port, PGHOST => $node->host, PGUSER => 'postgres');
my @backups = ((backup_names($bucket))[0]);
push @backups, $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()') for 2 .. 6;
$node->safe_psql('postgres', "SELECT forge_backup.mark_backup('$backups[0]')");
make_older($backups[$_], 9 - $_) for 0 .. 4;
ok(wait_until('retention looked', sub { status_value($node, 'retention') && looked_after_backup() }), 'retention looks after a base backup');
like(status_value($node, 'retention'), qr/^(nothing to remove|0 backups, )/, 'and removes no backup as long as there are few');

# What it would do.
sub planned { return $node->safe_psql('postgres', 'SELECT backup, keep, reason FROM forge_backup.retention_plan()'); }
set_retain(0);
like(planned(), qr/^\Q$backups[1]\E\|t\|nothing is deleted: the setting "retain" is 0$/m, 'with 0 everything stays');
set_retain(2);
my $plan = planned();
like($plan, qr/^\Q$backups[0]\E\|t\|it is permanent$/m, 'a permanent backup stays');
like($plan, qr/^\Q$backups[$_]\E\|f\|it is older than "\Q$backups[4]\E"$/m, "backup $_ goes") for 1 .. 3;
like($plan, qr/^\Q$backups[4]\E\|t\|it is one of the newest 2$/m, 'one of two days and more stays');
like($plan, qr/^\|f\|no backup that stays needs this WAL, from /m, 'WAL goes');
is(scalar backup_names($bucket), 6, 'retention_plan() deletes nothing');
like(cli_ok('--env-dir', $env, '--pgdata', $node->data_dir, 'delete', 'retention-policy', 'delete retention-policy'),
	qr/^delete \Q$backups[1]\E: it is older.*^delete WAL /ms, 'says the same');
is(scalar backup_names($bucket), 6, 'and deletes nothing without --confirm');

# Scripts made for WAL-G leave it to the server.
my ($program) = grep { -x } map { "$_/forge-backup" } split /:/, $ENV{PATH};
my $links = new_directory('links');
symlink($program, "$links/wal-g") or die "could not link: $!";
is(system("envdir '$env' '$links/wal-g' delete before FIND_FULL $backups[3] --confirm 2>'$links/said'"), 0,
	'wal-g delete before FIND_FULL --confirm succeeds');
like(read_text("$links/said"), qr/the server does that itself, by forge_backup\.retain/, 'says who deletes');
is(scalar backup_names($bucket), 6, 'and deletes nothing');

# After a base backup it is done, and S21: what the store refuses is told and tried again another day.
my $parts = "$bucket/basebackups_005/$backups[1]/tar_partitions";
chmod 0500, $parts;
my $offset = log_size($node);
push @backups, $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
ok(wait_until('retention ran', sub { status_value($node, 'retention') =~ /^[1-9]\d* backups.*removed/ }), 'retention follows a base backup');
like(status_value($node, 'retention'), qr/^3 backups, \d+ objects, .* removed \| 20/, 'status() says what was removed');
is_deeply([ backup_names($bucket) ], [ sort @backups[ 0, 4, 5, 6 ] ], 'the right ones are left');
like(status_value($node, 'retention_problem'), qr/refused to remove \d+ objects/, 'S21: and what was refused');
like(log_since($node, $offset), qr/LOG:  forge_backup: retention removed 3 backups/, 'one line in the log says it');
my @refused = log_since($node, $offset) =~ /retention: the store refused/g;
is(scalar @refused, 1, 'S21: and one the refusal');
sub events { return $node->safe_psql('postgres', "SELECT string_agg(concat_ws(' ', subject, outcome), ', ' ORDER BY time) FROM forge_backup.events WHERE $_[0]"); }
is(events(q{kind = 'backup' AND outcome = 'deleted' AND detail = 'retention'}), join(', ', map { "$_ deleted" } reverse @backups[ 1 .. 3 ]), 'the events name each of them');
like(events(q{kind = 'retention'}), qr/failed$/, 'S21: and have the refusal');
chmod 0700, $parts;
my %wal = map { $_ => 1 } wal_names($bucket);
ok($wal{ substr($backups[0], 5) }, 'the WAL of the permanent backup is there');
ok(!$wal{ substr($backups[1], 5) }, 'that of a deleted one is not');
ok($wal{ substr($backups[4], 5) }, 'that of the oldest kept one is');
is($node->safe_psql('postgres', 'SELECT bool_and(restorable) FROM forge_backup.backup_list()'), 't', 'each of them can be restored');

push @backups, $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
ok(wait_until('what was refused is removed', sub { !-e "$bucket/basebackups_005/$backups[1]" }), 'S21: later they go');
ok(wait_until('the problem is gone', sub { status_value($node, 'retention_problem') eq '' }), 'S21: and the problem with them');
$node->stop;

# Without the server its data directory says how much is kept.
cli_ok('--env-dir', $env, '--pgdata', $node->data_dir, 'delete', 'retention-policy', '--confirm', 'without the server');
is_deeply([ backup_names($bucket) ], [ sort @backups[ 0, 4 .. 7 ] ], 'nothing more goes');
done_testing();

sub set_retain
{
	my ($number) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET forge_backup.retain = $number");
	$node->reload;
	wait_until('the setting is there', sub { $node->safe_psql('postgres', 'SHOW forge_backup.retain') eq $number });
	return;
}

sub looked_after_backup
{
	return $node->safe_psql('postgres', <<'END') eq 't';
SELECT r.detail::timestamptz > b.detail::timestamptz FROM forge_backup.status() r, forge_backup.status() b
WHERE r.name = 'retention' AND b.name = 'last_backup'
END
}

# Lets a backup and its WAL be as many days old.
sub make_older
{
	my ($name, $days) = @_;
	my $folder = "$bucket/basebackups_005/$name";
	my $time = time() - $days * 86400;
	my $text = POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime($time));
	for my $file ("${folder}_backup_stop_sentinel.json", "$folder/metadata.json")
	{
		write_text($file, read_text($file) =~ s/("(?:Start|Finish)Time":|"(?:start|finish)_time":)"[^"]*"/$1"$text"/gr);
	}
	system_or_bail('touch', '-d', "\@$time", map { "$bucket/$_" } grep { /\Q$name\E/ } tree($bucket));
	my @wal = grep { m{^wal_005/} && -M "$bucket/$_" < 0.5 && m{/([0-9A-F]{24})} && $1 le substr($name, 5) } tree($bucket);
	system_or_bail('touch', '-d', "\@$time", map { "$bucket/$_" } @wal) if @wal;
	return;
}
