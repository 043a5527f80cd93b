# The pictures of docs/report.md. A real server writes, ships and backs up, loses its storage for a while and some WAL for good; then all times of what it left
# are stretched, so that a minute becomes days, and a real browser takes pictures of its report. Run by ./dev screenshots.
use strict;
use warnings;

use ForgeBrowser;
use ForgeTest;
use POSIX qw(strftime);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time stat utime);
use Time::Local qw(timegm);

my $days = 6;
my $pictures = $ENV{FORGE_PICTURES} // new_directory('pictures');
mkdir $pictures;
my $bucket = "$ENV{TESTDIR}/backups";
mkdir $bucket;

my $begin = time();
# Without a key, so that what is in the storage can be stretched.
my $node = forge_node('shop', storage => "file://$bucket", key => 0, conf => <<'CONF');
forge_backup.delta_max_steps = 3
forge_backup.schedule = ''
forge_backup.retain = 6
cluster_name = 'shop'
CONF
$node->safe_psql('postgres', 'CREATE TABLE item (id serial, body text)');
for my $round (1 .. 14)
{
	for (1 .. 4)
	{
		$node->safe_psql('postgres', 'INSERT INTO item (body) SELECT repeat(md5(i::text), 20) FROM generate_series(1, ' . 300 * $round . ') i');
		wait_archived($node);
	}
	outage() if $round == 6;
	$node->safe_psql('postgres', "SELECT pg_create_restore_point('release_$round')") if $round =~ /^(?:5|9|12|14)$/;
	my $permanent = $round == 3 ? 'true' : 'false';
	my $full = $round == 10 ? 'true' : 'false';
	lose() if $round == 10;
	$node->safe_psql('postgres', qq(SELECT forge_backup.trigger_basebackup(permanent => $permanent, "full" => $full)));
}
wait_archived($node);
$node->stop;
stretch(time() - $begin);
$node->start;
wait_until('the scheduler has looked', sub { status_value($node, 'newest_backup') });
wait_archived($node);

my $page = write_text(new_directory('page') . '/report.html', $node->safe_psql('postgres', 'SELECT forge_backup.report_html()'));
for my $picture ([ 'report-light', 1200, 1045, 'light' ], [ 'report-dark', 1200, 1045, 'dark' ], [ 'report-phone', 390, 1735, 'light' ])
{
	my ($name, $width, $height, $scheme) = @$picture;
	my $browser = ForgeBrowser->new(width => $width, height => 900);
	$browser->prefer($scheme);
	$browser->open_file($page);
	write_text("$pictures/$name.png", $browser->picture($width, $height));
	cmp_ok(-s "$pictures/$name.png", '<', 150_000, "$name.png is small");
	$browser->quit;
}
$node->stop;
done_testing();

# The storage is away while the server goes on writing.
sub outage
{
	rename($bucket, "$bucket.away") or die "could not rename: $!";
	$node->safe_psql('postgres', 'INSERT INTO item (body) SELECT md5(i::text) FROM generate_series(1, 5000) i');
	switch_wal($node);
	my $end = time() + 4;
	wait_until('some time has passed', sub { time() > $end });
	rename("$bucket.away", $bucket) or die "could not rename: $!";
	wait_archived($node);
	return;
}

# Two files of WAL disappear from the storage, after the server has recycled them.
sub lose
{
	my @lost = map { wait_archived($node) } 1 .. 2;
	wait_archived($node);
	$node->safe_psql('postgres', 'CHECKPOINT');
	unlink map { glob("$bucket/wal_005/$_.*"), $node->data_dir . "/pg_wal/$_" } @lost;
	return;
}

# Every time that is kept in a file, and those of the files: as long before now as it was, many times over.
sub stretch
{
	my ($elapsed) = @_;
	my $now = time();
	my $factor = $days * 86400 / $elapsed;
	my $moved = sub { $now - ($now - $_[0]) * $factor };
	for my $file (map { "$bucket/$_" } tree($bucket))
	{
		my $mtime = $moved->((stat $file)[9]);
		if ($file =~ /(_backup_stop_sentinel|\/metadata)\.json$/)
		{
			my $text = read_text($file);
			my ($start) = $text =~ /"(?:start_time|StartTime)":"([^"]+)"/;
			my ($finish) = $text =~ /"(?:finish_time|FinishTime)":"([^"]+)"/;
			my $end = $moved->(seconds_of($finish));
			my $new_start = zulu($end - 120 * (seconds_of($finish) - seconds_of($start)));
			my $new_finish = zulu($end);
			$text =~ s/\Q$start\E/$new_start/g;
			$text =~ s/\Q$finish\E/$new_finish/g;
			write_text($file, $text);
		}
		if ($file =~ m{/forge_restore_points/})
		{
			my $text = read_text($file);
			$text =~ s/"time":"\K([^"]+)/zulu($moved->(seconds_of($1)))/ge;
			write_text($file, $text);
		}
		utime($mtime, $mtime, $file) or die "could not touch $file: $!";
	}
	for my $file (grep { -f } map { $node->data_dir . "/forge_backup/$_" } qw(events gaps))
	{
		my $text = read_text($file);
		$text =~ s/(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?)/strftime('%Y-%m-%d %H:%M:%S', gmtime($moved->(seconds_of($1))))/ge;
		write_text($file, $text);
	}
	return;
}

sub seconds_of
{
	my ($text) = @_;
	my ($year, $month, $day, $hour, $minute, $second, $fraction) = $text =~ /^(\d+)-(\d+)-(\d+)[ T](\d+):(\d+):(\d+)(\.\d+)?/ or die "no time: $text";
	return timegm($second, $minute, $hour, $day, $month - 1, $year) + ($fraction // 0);
}
sub zulu { return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime($_[0])); }
