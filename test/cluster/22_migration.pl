# Every command of docs/migration.md, in its order, on a cluster that archives and backs up with another implementation of the bucket
# layout (WAL-RUS, by the name of wal-g): switched over, failed over, restored across the switch, and back.
# scenarios: 22
# needs: walrus
# ways: reload
use strict;
use warnings;

use ForgeDocs;
use ForgeFaults;
use ForgeInterop;
use ForgeLab;
use ForgeTest;
use Test::More;

my $store = start_fake();
my $env = new_directory('spilo') . '/env';
my $links = new_directory('links');
my $walrus = walrus_script(AWS_ENDPOINT_URL => $store->endpoint, PGHOST => '/nowhere');
write_text($walrus, read_text($walrus) =~ s/^export PGHOST=.*\n//mr, 0755);
symlink($walrus, "$links/wal-g") or die "could not link: $!";
$ENV{PATH} = "$links:$ENV{PATH}";

my $lab = lab(
	scope => 'forge-pg-cluster', members => 2, store => $store, forge => 0,
	local => { archive_command => qq{envdir "$env" wal-g wal-push "%p"} },
	postgresql => { recovery_conf => { restore_command => qq{envdir "$env" timeout "0" wal-g wal-fetch "%f" "%p"} } });
my %variable = %{ spilo_env(%{ $lab->{pod} }) };
delete $variable{PGPORT};
$lab->write_env(\%variable, $env);
unlink "$lab->{env_dir}/PGPORT";
# As the page has it, whoever was first.
my ($first, $second) = $lab->members;
if ($lab->leader->{name} ne $first->{name})
{
	$lab->within(60, 'the first member can lead', sub { $lab->all_running });
	$lab->switchover($second, $first);
	$lab->within(60, 'the first member leads', sub { my $now = $lab->leader; $now && $now->{name} eq $first->{name} && $lab->all_running });
}
$lab->sql('CREATE TABLE lines (n int)');
my ($segment) = $lab->switch_segments(1);
$lab->within(60, 'WAL-RUS archives', sub { $lab->is_stored($segment) });
my ($pushed, $said) = $lab->shell(qq{envdir $env wal-g backup-push "\$(psql -At -c 'SHOW data_directory')"});
is($pushed, 0, 'and makes a base backup') or diag($said);
my ($theirs) = $lab->backups;
add(1);
my $moment;

sub add
{
	my ($number) = @_;
	$lab->sql("INSERT INTO lines VALUES ($number)");
	my @segments = $lab->switch_segments(1);
	return $lab->within(60, "WAL with line $number is stored", sub { $lab->is_stored(@segments) });
}

run_sections('docs/migration.md',
	before => {
		'3. Restore and make replicas' => sub { add(2); },
		'5. Try it' => sub { add(3); },
		'5. Try it 2' => sub {
			$lab->within(60, 'the other member leads, and both run', sub { $lab->all_running && $lab->leader->{number} == 2 });
			add(4);
			$moment = $lab->sql("SELECT pg_sleep(0.2), clock_timestamp()") =~ s/^\|//r;
			$lab->sql('SELECT pg_sleep(0.2)');
			add(5);
		},
		'Back' => sub {
			my $restored = restore_node('across', undef, env_dir => $lab->{env_dir}, cli => [ '--backup', $theirs, '--target-time', $moment ]);
			restored_cluster($restored);
			local $ENV{PGUSER} = 'postgres';
			start_restored($restored);
			is($restored->safe_psql('postgres', "SELECT string_agg(n::text, ' ' ORDER BY n) FROM lines"), '1 2 3 4',
				'from a backup of WAL-RUS, across the switch of programs and of leaders, to a moment');
			$restored->stop;
		} },
	names => sub {
		return ('/run/etc/wal-e.d/env' => $lab->{env_dir}, '2026-11-22 09:30:00+01' => $moment // '',
			'http://localhost:8008' => "http://127.0.0.1:$lab->{members}[0]{rest}");
	},
	run => sub { return $lab->shell($_[0]); });
add(6);
cmp_ok(scalar $lab->backups, '>=', 3, 'three base backups, of both programs');
my $fetched = new_directory('fetched');
my ($ours) = grep { $_ ne $theirs } $lab->backups;
my ($code, undef, $stderr) = $lab->cli({ env_dir => $env }, 'wal-g', 'backup-fetch', $fetched, $ours);
is($code, 0, 'and WAL-RUS fetches ours') or diag($stderr);
$lab->stop;
done_testing();
