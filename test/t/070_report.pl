# The report page: of a bucket alone and of a real server, in a real browser; hostile texts; nothing there, off, broken, damaged.
use strict;
use warnings;

use ForgeBrowser;
use ForgeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary', conf => "forge_backup.delta_max_steps = 3\nforge_backup.schedule = ''\n");
my $bucket = bucket_of($node);
my $env = env_dir_of($node);
my $pages = new_directory('pages');

# A bucket with a chain, a hole that a backup bridges, and texts that want to be markup.
my $hostile = q({"note":"</td><script>alert(1)</script><img src=x onerror=alert(1)>"});
wait_archived($node) for 1 .. 2;
my $delta = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
my ($before, $lost, $after) = map { wait_archived($node) } 1 .. 3;
wait_archived($node);
$node->safe_psql('postgres', "SELECT forge_backup.trigger_basebackup(user_data => '$hostile')");
wait_archived($node);
unlink glob("$bucket/wal_005/$lost.*") or die 'could not lose WAL';

# From the storage alone.
cli_ok('--env-dir', $env, 'report', '--html', "$pages/store.html", 'report writes a page');
my $page = read_text("$pages/store.html");
like($page, qr/Yes, but/, 'whose verdict is that a restore works, but something needs a look');
like($page, qr/\Q$lost\E<\/td>.*No moment in it can be restored/s, 'with the hole by name, and the backup behind it');
like($page, qr/>delta 1</, 'the delta');
like($page, qr/&lt;script&gt;alert\(1\)/, 'user data as text');
unlike($page, qr/<script|onerror=[^&]*>|https?:/, 'no script, no address of anything else');
unlike($page, qr/\Q$key_hex\E/, 'and no key');
is(cli_ok('--env-dir', $env, 'report', '--html', '-', 'or to the standard output') =~ /^<!DOCTYPE html>/, 1, 'the same page');
my $data = decode_json(cli_ok('--env-dir', $env, 'report', '--json', 'or its data'));
is($data->{verdict}{level}, 'warning', 'with the verdict');
is_deeply([ map { $_->{name} } @{ $data->{backups} } ], [ split /\n/, $node->safe_psql('postgres', 'SELECT name FROM forge_backup.backup_list()') ], 'the backups of backup_list()');
is_deeply([ map { [ $_->{first}, $_->{segments} ] } @{ $data->{wal}{holes} } ], [ [ $lost, 1 ] ], 'the hole');
is($data->{wal}{segments}, scalar(grep { /^[0-9A-F]{24}$/ } wal_names($bucket)), 'and every segment counted');
is($data->{server}, undef, 'nothing of a server that was not asked');
cli_fails('--env-dir', $env, 'report', 2, qr/give either --html FILE or --json/, 'a report to nowhere is bad usage');

# With the server.
my @server = ({ env => { PGHOST => $node->host, PGPORT => $node->port } }, '--env-dir', $env, 'report');
cli_ok(@server, '--server', '--html', "$pages/server.html", 'report asks the server, too');
like(read_text("$pages/server.html"), qr/the storage and the server/, 'and says so');
my $told = decode_json(cli_ok(@server, '--server', '--json', 'as data'));
is($told->{server}{archive_state}, 'on', 'with the state of the archiver');
is_deeply([ map { $_->{kind} } @{ $told->{server}{events} } ], [ split /\n/, $node->safe_psql('postgres', 'SELECT kind FROM forge_backup.events ORDER BY time') ], 'and the events of the view');
$node->safe_psql('postgres', 'CREATE TABLE at_risk (x int)');
# What the picture draws are the rows of the view, the worst of them marked.
wait_until('the server has measured what is at risk', sub { $node->safe_psql('postgres', 'SELECT max(seconds) > 0 FROM forge_backup.data_at_risk_history') eq 't' });
my $facts = decode_json($node->safe_psql('postgres', 'SELECT forge_backup.report_facts()'));
is($facts->{data_at_risk}{state}, $node->safe_psql('postgres', 'SELECT state FROM forge_backup.data_at_risk'), 'with what is at risk');
my @measured = grep { $_->{seconds} > 0 } @{ $facts->{data_at_risk_history} };
like($node->safe_psql('postgres', 'SELECT forge_backup.report_html()'), qr/Data at risk over time(?:(?!<\/svg>).)*Not yet stored.*class="risk most"/s, 'the measured curve, not the one of the storage');
my ($curve) = $node->safe_psql('postgres', 'SELECT forge_backup.report_html()') =~ /(<svg(?:(?!<\/svg>).)*Not yet stored.*?<\/svg>)/s;
is(scalar(() = $curve =~ /class="risk(?: most)?"/g), scalar(@measured), 'has a bar for each five minutes in which something was at risk');
write_text("$pages/sql.html", $node->safe_psql('postgres', 'SELECT forge_backup.report_html()'));
like(read_text("$pages/sql.html"), qr/the storage and the server.*id="events"/s, 'the same page in SQL');
$node->safe_psql('postgres', 'CREATE ROLE reader LOGIN IN ROLE pg_monitor; CREATE ROLE nobody LOGIN');
like($node->safe_psql('postgres', 'SET ROLE reader; SELECT forge_backup.report_html()'), qr/<!DOCTYPE html>/, 'which pg_monitor may read');
my ($code, undef, $error) = $node->psql('postgres', 'SET ROLE nobody; SELECT forge_backup.report_html()');
isnt($code, 0, 'and others may not');
like($error, qr/permission denied/, 'by their rights');
cli_ok({ env => { PGHOST => '127.0.0.1', PGPORT => PostgreSQL::Test::Cluster::get_free_port() } }, '--env-dir', $env, 'report', '--server', '--html', "$pages/alone.html",
	'a server that does not answer');
like(read_text("$pages/alone.html"), qr/the server could not be asked/, 'is said on the page');

# In a browser: wide and as on a phone.
for my $width (1200, 390)
{
	my $browser = ForgeBrowser->new(width => $width, height => 900);
	for my $name (qw(store server sql))
	{
		$browser->open_file("$pages/$name.html");
		is_deeply([ $browser->console ], [], "$name, $width px: nothing on the console");
		is_deeply([ grep { $_ ne "file://$pages/$name.html" } $browser->requests ], [], "$name, $width px: nothing is asked for");
		is($browser->value('document.documentElement.scrollWidth'), $width, "$name, $width px: no scrolling to the side");
		is($browser->value('document.querySelectorAll("script, img, iframe, link").length'), 0, "$name, $width px: no script came to be");
		is($browser->value('document.getElementById("verdict").dataset.level'), 'warning', "$name, $width px: the verdict");
		is($browser->value('document.querySelectorAll("svg.picture[role=img][aria-label]").length'), 4, "$name, $width px: four pictures, each with a name");
		is($browser->value('[...document.querySelectorAll("table")].filter(t => !t.caption || !t.querySelector("th[scope]")).length'), 0,
			"$name, $width px: each table has a caption and heads");
		cmp_ok($browser->value('document.querySelectorAll("rect.full").length'), '>=', 1, "$name, $width px: a full backup is drawn");
		cmp_ok($browser->value('document.querySelectorAll("rect.hole[height=\'14\']").length'), '>=', 2, "$name, $width px: the hole is");
		is($browser->value('getComputedStyle(document.body).maxWidth !== "none"'), JSON::PP::true, "$name, $width px: its policy lets its own stylesheet in");
		my %paper;
		for my $scheme (qw(light dark))
		{
			$browser->prefer($scheme);
			$paper{$scheme} = $browser->value('getComputedStyle(document.body).backgroundColor');
			is_deeply($browser->value(contrast()), [], "$name, $width px, $scheme: every text can be read");
		}
		isnt($paper{light}, $paper{dark}, "$name, $width px: light and dark differ");
	}
	$browser->quit;
}

# Where there is little to show there is a page all the same.
my $empty = new_directory('empty');
like(cli_ok('--storage', "file://$empty", 'report', '--html', '-', 'an empty storage'), qr/there is no base backup/, 'is said to be empty');
like(cli_ok('report', '--html', '-', 'no storage'), qr/Backups are off/, 'is said to be off');
like(cli_ok('--storage', 'file:///nowhere/at/all', 'report', '--html', '-', 'a storage that is not there'), qr/the storage could not be read: .*nowhere/, 'is said, with the reason');
like(cli_ok('--storage', 'ftp://x', 'report', '--html', '-', 'a wrong setting'), qr/could not be read: .*ftp/, 'is said as well');
write_text("$bucket/basebackups_005/${delta}_backup_stop_sentinel.json", '<b>not JSON');
like(cli_ok('--env-dir', $env, 'report', '--html', '-', 'a damaged backup'), qr/the newest base backup, base_\w+, cannot be restored/, 'is marked');
$node->append_conf('postgresql.conf', "forge_backup.storage = 'file:///nowhere/at/all'\n");
$node->reload;
like($node->safe_psql('postgres', 'SELECT forge_backup.report_html()'), qr/the server alone.*the storage could not be read/s, 'a server whose storage is gone tells what it knows');
$node->append_conf('postgresql.conf', "forge_backup.storage = ''\n");
$node->reload;
like($node->safe_psql('postgres', 'SELECT forge_backup.report_html(NULL)'), qr/Backups are off/, 'and so does one without storage');
$node->stop;

done_testing();

# Texts of the page whose contrast with the paper is less than 4.5 (WCAG 2.1, 1.4.3).
sub contrast
{
	return <<'JS';
(() => {
	const channels = c => c.match(/[\d.]+/g).map(Number);
	const light = c => { const [r, g, b] = channels(c).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const paper = light(getComputedStyle(document.body).backgroundColor);
	const bad = [];
	for (const e of document.querySelectorAll('h1,h2,p,dt,dd,li,b,td,th,caption,text,footer')) {
		const ink = light(e.matches('text') ? getComputedStyle(e).fill : getComputedStyle(e).color);
		if ((Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) < 4.5) bad.push(e.textContent.slice(0, 40));
	}
	return bad;
})()
JS
}
