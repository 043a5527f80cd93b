# deploy/postgres_exporter, deploy/grafana, deploy/prometheus: every query runs with the rights of pg_monitor and gives what the dashboard and the alert rules
# name; the real exporter serves it, and Prometheus accepts the rules.
use strict;
use warnings;

use ForgeTest;
use HTTP::Tiny;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $deploy = source_dir() . '/deploy';
my $queries = yaml("$deploy/postgres_exporter/queries.yaml");
my $rules = yaml("$deploy/prometheus/alerts.yaml");
my $dashboard = decode_json(read_text("$deploy/grafana/forge_backup.json"));

my $node = forge_node('primary');
wait_archived($node);
$node->safe_psql('postgres', 'CREATE ROLE exporter LOGIN IN ROLE pg_monitor');
my $bucket = bucket_of($node);

# Something of every kind to see: a failed attempt, a backlog.
rename($bucket, "$bucket.away") or die "could not rename: $!";
switch_wal($node);
wait_until('archiving fails', sub { $node->safe_psql('postgres', 'SELECT problem_kind IS NOT NULL FROM forge_backup.archive_status') eq 't' });

# Each column is a metric or a label, and the other way round: postgres_exporter names a metric after query and column.
my (%metric, %value);
for my $name (sort keys %$queries)
{
	my %usage = map { my ($column) = keys %$_; $column => $_->{$column}{usage} } @{ $queries->{$name}{metrics} };
	my $row = $node->safe_psql('postgres', "SET ROLE exporter; SELECT to_jsonb(q) FROM ($queries->{$name}{query}) q LIMIT 1");
	my $got = decode_json($row);
	is_deeply([ sort keys %$got ], [ sort keys %usage ], "$name: the columns of the query are those that are described");
	for my $column (grep { $usage{$_} ne 'LABEL' } sort keys %usage)
	{
		like($usage{$column}, qr/^(GAUGE|COUNTER)$/, "$name: $column is a gauge or a counter");
		like($got->{$column} // 'null', qr/^-?[\d.]+(e[+-]?\d+)?$/, "$name: $column is a number");
		$metric{"${name}_$column"} = 1;
		$value{"${name}_$column"} = $got->{$column};
	}
}
is($value{forge_backup_archive_failing}, 1, 'the failure is seen');
cmp_ok($value{forge_backup_archive_backlog_files}, '>', 0, 'and what waits');
cmp_ok($value{forge_backup_errors_failed}, '>', 0, 'and its class');
cmp_ok($value{forge_backup_base_newest_age_seconds}, '>=', 0, 'and the age of the base backup');

# Whatever the dashboard and the rules name is a metric, and they name all that says trouble.
my %named;
for my $use ((map { my $panel = $_; map { [ "dashboard, $panel->{title}", $_->{expr} ] } @{ $panel->{targets} } } @{ $dashboard->{panels} }),
	map { [ "alert $_->{alert}", $_->{expr} ] } map { @{ $_->{rules} } } @{ $rules->{groups} })
{
	my ($where, $expression) = @$use;
	my @names = $expression =~ /\b(forge_backup_\w+)/g;
	cmp_ok(scalar @names, '>', 0, "$where: names a metric");
	is_deeply([ grep { !$metric{$_} } @names ], [], "$where: which the queries give");
	$named{$_} = 1 for @names;
}
is_deeply([ grep { /failing|foreign|open|dropped/ && !$named{$_} } sort keys %metric ], [], 'no trouble goes unseen');
ok((!grep { !$_->{annotations}{description} || !$_->{labels}{severity} } map { @{ $_->{rules} } } @{ $rules->{groups} }), 'each alert says how grave it is, and what to do');

# The real programs, which dev unpacks from Debian's packages.
SKIP:
{
	my $programs = $ENV{FORGE_MONITORING} // '';
	my ($exporter, $promtool) = map { my $name = $_; (grep { -x } map { "$_/$name" } $programs, split /:/, $ENV{PATH})[0] } qw(prometheus-postgres-exporter promtool);
	skip 'no prometheus-postgres-exporter and promtool here', 1 unless $exporter && $promtool;
	my ($out, $err) = ('', '');
	ok(IPC::Run::run([ $promtool, 'check', 'rules', "$deploy/prometheus/alerts.yaml" ], '<', \'', '>', \$out, '2>', \$err), 'promtool accepts the rules')
	  or diag("$out$err");
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $log = new_directory('exporter') . '/log';
	local $ENV{DATA_SOURCE_NAME} = 'host=' . $node->host . ' port=' . $node->port . ' user=exporter dbname=postgres sslmode=disable';
	my $process = IPC::Run::start([ $exporter, "--web.listen-address=127.0.0.1:$port", "--extend.query-path=$deploy/postgres_exporter/queries.yaml",
			'--disable-default-metrics', '--disable-settings-metrics' ], '<', \'', '>', $log, '2>&1');
	my $page = wait_until('the exporter serves metrics', sub {
		my $answer = HTTP::Tiny->new(timeout => 30)->get("http://127.0.0.1:$port/metrics");
		return $answer->{success} && $answer->{content} =~ /^forge_backup_/m ? $answer->{content} : undef;
	}) // '';
	$process->kill_kill;
	my %served = map { $_ => 1 } $page =~ /^(forge_backup_\w+)/mg;
	is_deeply([ grep { !$served{$_} } sort keys %metric ], [], 'postgres_exporter serves every metric') or diag(read_text($log));
	like($page, qr/^forge_backup_errors_failed\{class="\w+"/m, 'with its label');
}
rename("$bucket.away", $bucket) or die "could not rename: $!";
$node->stop;

done_testing();

sub yaml
{
	my ($path) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'python3', '-c', 'import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))', $path ], '<', \'', '>', \$out, '2>', \$err)
	  or die "could not read $path: $err";
	return decode_json($out);
}
