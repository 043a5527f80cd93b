# The named restore points in the archived WAL: listed by SQL and the command line on both timelines, restored to one by one,
# with names of any bytes, and gone with their backups and their WAL.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary', conf => "forge_backup.schedule = ''\n");
my $bucket = bucket_of($node);
my $env = env_dir_of($node);
my ($first) = backup_names($bucket);
my $count = 0;
my %last;    # name => the last row that was there

is(points($node), '', 'there are none at first');
is(cli_ok('plan', '--env-dir', $env, '--restore-points', 'nor on the command line'), '', 'which prints nothing');
is(cli_ok('plan', '--env-dir', $env, '--restore-points', '--json', 'as JSON'), "[]\n", 'an empty array');

# --- on the first timeline -------------------------------------------------------------------------------------------

$node->safe_psql('postgres', 'CREATE TABLE kept (x int)');
my $before_upgrade = point($node, 'before_upgrade');
wait_archived($node);
is(points($node), "before_upgrade|$before_upgrade|1|$first", 'an archived point, with where it is and the backup that leads there');
is($node->safe_psql('postgres', "SELECT time BETWEEN now() - interval '10 minutes' AND now() FROM forge_backup.restore_points"), 't', 'and when it was made');
my @objects = grep { m{^forge_restore_points/} } tree($bucket);
is(scalar(@objects), 1, 'one object for the segment that has it');
unlike(read_text("$bucket/$objects[0]"), qr/before_upgrade/, 'encrypted, as the WAL is');
point($node, 'not_archived');
is(points($node), "before_upgrade|$before_upgrade|1|$first", 'what is not archived is not listed');
point($node, qq(it's "q" \\ f\xC3\xBCr\e[31m));
wait_archived($node);

# A database in another encoding names it in bytes that are no UTF-8.
$node->safe_psql('postgres', "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
$node->safe_psql('latin', q{CREATE EXTENSION forge_backup; SET client_encoding = 'UTF8'; SELECT pg_create_restore_point(E'f\u00FCr')});
wait_archived($node);
is($node->safe_psql('postgres', 'SELECT count(*) FROM forge_backup.restore_points'), '4', 'names that are no UTF-8 do not break the view');
is($node->safe_psql('postgres', q{SELECT name FROM forge_backup.restore_points ORDER BY time DESC LIMIT 1}), 'f?r', 'which shows what it can');
is($node->safe_psql('latin', q{SELECT name = E'f\u00FCr' FROM forge_backup.restore_points ORDER BY time DESC LIMIT 1}), 't', 'where it was made it is itself');
is($node->safe_psql('latin', q{SELECT value FROM forge_backup.restore_config(target_name => E'f\u00FCr') WHERE name = 'exact'}), 'yes', 'and can be recovered to');

my $second = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
point($node, 'same');
point($node, 'same');
point($node, 'after_second');
wait_archived($node);
is($node->safe_psql('postgres', q{SELECT string_agg(name || ' ' || backup, ' ' ORDER BY time, lsn) FROM forge_backup.restore_points WHERE name ~ 'same|second'}),
	"same $second same $second after_second $second", 'later points are reached from the later backup; names may come twice');

# The command line, in rows and as JSON.
my $table = cli_ok('plan', '--env-dir', $env, '--restore-points', 'plan --restore-points');
like($table, qr/^\| before_upgrade +\| 20\S+ \S+ +\| \Q$before_upgrade\E +\| +1 +\| \Q$first\E +\|$/m, 'the same in a table');
like($table, qr/^\| it's "q" \\ f\xC3\xBCr\\x1b\[31m /m, 'in which no name says anything to the terminal');
like($table, qr/^\| f\\xfcr /m, 'bytes as they are');
my $json = decode_json(cli_ok('plan', '--env-dir', $env, '--restore-points', '--json', 'plan --restore-points --json'));
is(scalar(@$json), 7, 'as JSON');
is_deeply([ @{ $json->[0] }{qw(name lsn timeline backup)} ], [ 'before_upgrade', $before_upgrade, 1, $first ], 'with all that is known');
is(join(' ', map { $_->{name_hex} // () } @$json), '66fc72', 'and the bytes of what is no UTF-8');
is($node->safe_psql('postgres', "SELECT count(*) FROM forge_backup.restore_points WHERE time = '$json->[0]{time}'"), '1', 'to the microsecond');
cli_fails('plan', '--env-dir', $env, '--restore-points', '--window', 2, qr/either --window or --restore-points/, 'one question at a time');

# --- on the second timeline ------------------------------------------------------------------------------------------

my $standby = forge_standby($node, 'standby');
is(points($standby), points($node), 'a standby lists the same');
$node->stop;
$standby->promote;
point($standby, 'second_line');
wait_archived($standby);
is($standby->safe_psql('postgres', q{SELECT timeline || ' ' || backup FROM forge_backup.restore_points WHERE name = 'second_line'}),
	"2 $second", 'a point on the second timeline, from a backup of the first');
my $all = points($standby);
is(scalar(split /\n/, $all), 8, 'each point once, though the second timeline begins with a copy');

# Each that is listed can be restored to, by its name and its timeline, and recovery stops there.
reaches($_) for grep { $last{ $_->[0] } && $_->[0] ne 'same' } map { [ split /\|/ ] } split /\n/, $all;
is($count, 5, 'that were all of them');
# The other bytes, and the second of two with the same name, by position.
my @same = map { $_->{lsn} } grep { $_->{name} eq 'same' } @$json;
restored('by its bytes', 6, '--target-name', "f\xFCr", '--target-timeline', 1);
restored('the first of two of a name', $last{same} - 2, '--target-name', 'same', '--target-timeline', 1);
restored('the second of two by its position', $last{same}, '--target-lsn', $same[1], '--exclusive', '--target-timeline', 1);

# --- the report ------------------------------------------------------------------------------------------------------

my $report = decode_json(cli_ok('--env-dir', $env, 'report', '--json', 'the report has them'));
is_deeply([ map { "$_->{lsn} $_->{timeline} $_->{backup}" } @{ $report->{restore_points} } ],
	[ map { join(' ', (split /\|/)[ -3, -2, -1 ]) } split /\n/, $all ], 'all of them');
my $page = $standby->safe_psql('postgres', 'SELECT forge_backup.report_html()');
like($page, qr/class="point"[^>]*>\s*<title>[^<]*second_line, .*?from \Q$second\E/s, 'on the timeline of the page');
like($page, qr/<td class="w">before_upgrade<\/td><td class="mono">\Q$before_upgrade\E/, 'and in a table');

# --- broken, and gone ------------------------------------------------------------------------------------------------

my $kept = read_text("$bucket/$objects[0]");
write_text("$bucket/$objects[0]", 'nonsense', 0600);
is($standby->safe_psql('postgres', 'SELECT count(*) FROM forge_backup.restore_points'), '7', 'a broken object takes away its own points only');
my ($code, $stdout, $stderr) = forge_cli('plan', '--env-dir', $env, '--restore-points');
is($code, 0, 'as on the command line');
like($stderr, qr/warning: restore points are left out: .*\Q$objects[0]\E/, 'which names it');
write_text("$bucket/$objects[0]", $kept, 0600);

# Without its backup a point stays for as long as its WAL, and is not reached any more.
$standby->safe_psql('postgres', "SELECT forge_backup.delete_backup('$first')");
is($standby->safe_psql('postgres', 'SELECT count(*) FILTER (WHERE backup IS NULL), count(*) FILTER (WHERE name ~ $$^before$$ AND backup IS NULL) FROM forge_backup.restore_points'),
	'4|1', 'points before the oldest backup are reached from none');
like(cli_ok('plan', '--env-dir', $env, '--restore-points', 'they are listed'), qr/^\| before_upgrade .*\| none +\|$/m, 'as that');
my $points = grep { m{^forge_restore_points/} } tree($bucket);
my $told = cli_ok('delete', '--env-dir', $env, 'garbage', 'deletions tell of them');
like($told, qr/^would delete restore points: 3 objects/m, 'as of the WAL they are in');
cli_ok('delete', '--env-dir', $env, 'garbage', '--confirm', 'garbage goes');
is(scalar(grep { m{^forge_restore_points/} } tree($bucket)), $points - 3, 'and they go with it');
is($standby->safe_psql('postgres', 'SELECT count(*), count(backup) FROM forge_backup.restore_points'), '4|4', 'what is left can be reached');
my $third = $standby->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
point($standby, 'latest');
wait_archived($standby);
cli_ok('delete', '--env-dir', $env, 'retain', '1', '--confirm', 'retention');
like(points($standby), qr/\Alatest\|[^|]+\|2\|\Q$third\E\z/, 'takes them, too');
cli_ok('delete', '--env-dir', $env, 'everything', '--confirm', 'everything goes');
is(join(' ', tree("$bucket/forge_restore_points")), '', 'with the points');

done_testing();

# "name|lsn|timeline|backup", by time.
sub points
{
	my ($on) = @_;
	return $on->safe_psql('postgres', 'SELECT name, lsn, timeline, backup FROM forge_backup.restore_points');
}

# Makes one between two rows; returns where it is.
sub point
{
	my ($on, $name) = @_;
	my $row = $on->safe_psql('postgres', 'INSERT INTO kept SELECT count(*) + 1 FROM kept RETURNING x') =~ s/\n.*//sr;
	my $lsn = $on->safe_psql('postgres', 'SELECT pg_create_restore_point($_$' . $name . '$_$)');
	$on->safe_psql('postgres', 'INSERT INTO kept SELECT count(*) + 1 FROM kept');
	$last{$name} = $row;
	return $lsn;
}

sub reaches
{
	my ($point) = @_;
	my ($name, undef, $timeline) = @$point;
	restored("to $name", $last{$name}, '--target-name', $name, '--target-timeline', $timeline);
	return;
}

# The rows up to this one are there after a restore, and no more.
sub restored
{
	my ($what, $row, @cli) = @_;
	my $restored = restore_node('restored_' . ++$count, $node, cli => \@cli);
	ok(start_restored($restored), "restore $what");
	is($restored->safe_psql('postgres', 'SELECT max(x) FROM kept'), $row, "stops there: $what");
	$restored->stop;
	$restored->clean_node;
	return;
}
