# A cluster as Spilo runs it, without Kubernetes: etcd and Patroni members on loopback, each with the few variables that Spilo
# leaves to Patroni and an env directory derived as Spilo derives it; the store is test/fake_store. test/cluster/README.md.
# Nothing sleeps for a fixed time. Every process is ended by its id, also when the test dies.
package ForgeLab;

use strict;
use warnings;

use Exporter qw(import);
use File::Path qw(make_path);
use File::Temp ();
use ForgeFaults;
use ForgeTest;
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP ();
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(lab spilo_env note_time preloads patroni_version);

my $json = JSON::PP->new->canonical->pretty->allow_nonref;
my @labs;

# How ./dev cluster runs the scenarios: with the library preloaded or as archive_library alone, and with which Patroni.
sub preloads { return ($ENV{FORGE_LAB_PRELOAD} // 1) ? 1 : 0; }
sub patroni_version { return $ENV{FORGE_LAB_PATRONI} // '3.0.2'; }

# --- what Spilo does --------------------------------------------------------------------------------------------------

# The files of an env directory for these variables of a pod, as Spilo's configuration step derives them; undef where it
# writes none because backups are off. Of what it knows only what the lab uses.
sub spilo_env
{
	my (%pod) = @_;
	my %env = map { $_ => $pod{$_} } grep { defined $pod{$_} && /^(WALG_|WALE_|AWS_|BACKUP_NUM_TO_RETAIN|PGPORT)/ } keys %pod;
	my $scope = ($pod{WAL_BUCKET_SCOPE_PREFIX} // '') . $pod{SCOPE} . ($pod{WAL_BUCKET_SCOPE_SUFFIX} // '');
	if (!$env{WALG_S3_PREFIX} && !$env{WALE_S3_PREFIX})
	{
		return unless $pod{WAL_S3_BUCKET};
		$env{WALE_S3_PREFIX} = "s3://$pod{WAL_S3_BUCKET}/spilo/$scope/wal/$pod{PGVERSION}";
	}
	$env{WALG_S3_PREFIX} //= $env{WALE_S3_PREFIX};
	if ($env{AWS_ENDPOINT})
	{
		my ($scheme, $rest) = $env{AWS_ENDPOINT} =~ m{^(\w+)://(.*)};
		$env{WALE_S3_ENDPOINT} //= "$scheme+path://$rest";
		$env{AWS_S3_FORCE_PATH_STYLE} //= 'true';
		$env{WALG_DISABLE_S3_SSE} //= 'true';
	}
	$env{AWS_INSTANCE_PROFILE} = 'true' unless $env{AWS_ACCESS_KEY_ID} || $env{AWS_SECRET_ACCESS_KEY};
	$env{WALE_LOG_DESTINATION} = 'stderr';
	$env{PGPORT} //= '5432';
	return \%env;
}

# The variables that Spilo's service script lets through to Patroni, and so to the server and all it starts.
sub patroni_environment
{
	my ($self, $member) = @_;
	return (
		KUBERNETES_SERVICE_HOST => '10.0.0.1', KUBERNETES_SERVICE_PORT => '443', KUBERNETES_ROLE_LABEL => 'spilo-role',
		POD_IP => '127.0.0.1', POD_NAMESPACE => 'default', HOSTNAME => $member->{name}, PATH => $ENV{PATH},
		PGHOME => $self->{directory}, LC_ALL => 'C.UTF-8', HOME => $self->{directory});
}

# --- a lab -------------------------------------------------------------------------------------------------------------

# Options:
#   scope => TEXT            name of the cluster (lab)
#   members => N             (3)
#   pod => {…}               variables of the pods, over those of a working store
#   forge => 0               a cluster that knows nothing of forge_backup yet
#   parameters => {…}        server settings for Patroni's shared configuration
#   local => {…}             server settings for the members' own files, where they win
#   postgresql => {…}        more for the section "postgresql" of the members' own files
#   bootstrap => {…}         for the section "bootstrap" of the members' own files
#   store => STORE, etcd => LAB    shared with another lab
#   start => 0               nothing runs yet
sub lab
{
	my (%option) = @_;
	my $self = bless {%option}, __PACKAGE__;
	$self->{scope} //= 'lab';
	$self->{directory} = PostgreSQL::Test::Utils::tempdir_short() . "/$self->{scope}";
	mkdir $self->{directory} or die "could not make \"$self->{directory}\": $!";
	$self->{env_dir} = "$self->{directory}/env";
	$self->{store} //= start_fake();
	$self->{pod} = {
		SCOPE => $self->{scope}, PGVERSION => 15, WAL_S3_BUCKET => 'forge', WAL_BUCKET_SCOPE_PREFIX => 'site-',
		AWS_ENDPOINT => $self->{store}->endpoint, AWS_REGION => 'us-east-1', USE_WALG_BACKUP => 'true',
		AWS_ACCESS_KEY_ID => 'key', AWS_SECRET_ACCESS_KEY => 'hidden-words', WALG_COMPRESSION_METHOD => 'zstd',
		WALG_LIBSODIUM_KEY => $key_hex, WALG_LIBSODIUM_KEY_TRANSFORM => 'hex', %{ $self->{pod} // {} } };
	$self->write_env(spilo_env(%{ $self->{pod} }));
	push @labs, $self;
	$self->{etcd} = $option{etcd} ? $option{etcd}{etcd} : $self->start_etcd;
	$self->{members} = [ map { $self->new_member($_) } 1 .. $self->{members} // 3 ];
	return $self unless $self->{start} // 1;
	$self->start_members;
	$self->within(120, 'three members run', sub { $self->all_running });
	$self->sql('CREATE EXTENSION IF NOT EXISTS forge_backup') if $self->{forge} // 1;
	return $self;
}

sub members { return @{ $_[0]{members} }; }

sub start_process
{
	my ($log, @command) = @_;
	my $pid = fork() // die "could not fork: $!";
	return $pid if $pid;
	open(STDIN, '<', '/dev/null');
	open(STDOUT, '>>', $log);
	open(STDERR, '>&', \*STDOUT);
	# Also ends with a test that is killed.
	exec('setpriv', '--pdeathsig', 'TERM', @command) or POSIX::_exit(127);
}

sub log_file
{
	my ($self, $name) = @_;
	make_path($PostgreSQL::Test::Utils::log_path);
	my $test = $0 =~ s{.*/}{}r =~ s/\.pl$//r;
	return "$PostgreSQL::Test::Utils::log_path/$test-$self->{scope}-$name.log";
}

sub start_etcd
{
	my ($self) = @_;
	my ($client, $peer) = map { 'http://127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port() } 1 .. 2;
	my $log = $self->log_file('etcd');
	my $pid = start_process($log, "$ENV{FORGE_LAB_PROGRAMS}/etcd/usr/bin/etcd", '--data-dir', "$self->{directory}/etcd",
		'--listen-client-urls', $client, '--advertise-client-urls', $client, '--listen-peer-urls', $peer,
		'--initial-advertise-peer-urls', $peer, '--initial-cluster', "default=$peer");
	my $etcd = { pid => $pid, client => $client };
	$self->{own_etcd} = $etcd;
	wait_until('etcd answers', sub { HTTP::Tiny->new(timeout => 2)->get("$client/health")->{success} }) or BAIL_OUT("no etcd: $log");
	return $etcd;
}

# A member's description and its configuration file; JSON is YAML.
sub new_member
{
	my ($self, $number) = @_;
	my $directory = $self->{directory};
	my $name = "$self->{scope}-" . ($number - 1);
	my $member = { name => $name, number => $number, data => "$directory/d$number", log => $self->log_file($name),
		port => PostgreSQL::Test::Cluster::get_free_port(), rest => PostgreSQL::Test::Cluster::get_free_port() };
	my $library = $self->{forge} // 1;
	my %shared = (
		archive_mode => 'on', archive_timeout => '1800s', wal_level => 'hot_standby', wal_log_hints => 'on', max_connections => 40,
		max_worker_processes => 10,
		$library ? (archive_library => 'forge_backup', 'forge_backup.env_dir' => $self->{env_dir}) : (),
		%{ $self->{parameters} // {} });
	my %local = (
		shared_buffers => '16MB', fsync => 'off', unix_socket_directories => $directory, log_line_prefix => '%m [%p] %b ',
		archive_command => $library ? "envdir $self->{env_dir} forge-backup wal-push %p" : '/bin/true',
		$library && preloads() ? (shared_preload_libraries => 'forge_backup') : (),
		%{ $self->{local} // {} });
	my %config = (
		scope => $self->{scope}, name => $name,
		restapi => { listen => "127.0.0.1:$member->{rest}", connect_address => "127.0.0.1:$member->{rest}" },
		etcd3 => { host => $self->{etcd}{client} =~ s{http://}{}r },
		bootstrap => {
			dcs => {
				ttl => 20, loop_wait => 3, retry_timeout => 5,
				postgresql => {
					use_pg_rewind => JSON::PP::true, parameters => \%shared, $library ? $self->replica_methods : () } },
			initdb => [ { encoding => 'UTF8' }, 'data-checksums' ],
			%{ $self->{bootstrap} // {} } },
		postgresql => {
			listen => "127.0.0.1:$member->{port}", connect_address => "127.0.0.1:$member->{port}", data_dir => $member->{data},
			bin_dir => dirname_of('postgres'), pgpass => "$directory/pgpass$number",
			authentication => {
				superuser => { username => 'postgres', password => 'x' }, replication => { username => 'standby', password => 'y' } },
			parameters => \%local,
			pg_hba => [ 'local all all trust', 'host all all 127.0.0.1/32 trust', 'host replication all 127.0.0.1/32 trust' ],
			$library ? (recovery_conf => { restore_command => $self->restore_command }) : (),
			%{ $self->{postgresql} // {} } });
	$member->{config} = write_text("$directory/member$number.yml", $json->encode(\%config));
	return $member;
}

# What the operator has to send once, since Spilo's own second method waits for the archive: the file that is delivered.
sub replica_methods
{
	my ($self) = @_;
	my $text = read_text(source_dir() . '/deploy/spilo/dcs.json');
	make_path("$self->{directory}/secret");
	$text =~ s{/run/etc/wal-e\.d/env}{$self->{env_dir}}g;
	$text =~ s{/etc/forge-backup}{$self->{directory}/secret}g;
	return %{ decode_json($text)->{postgresql} };
}

sub restore_command
{
	my ($self) = @_;
	return qq{envdir "$self->{env_dir}" timeout "0" forge-backup wal-fetch "%f" "%p"};
}

sub dirname_of
{
	my ($program) = @_;
	my ($directory) = grep { -x "$_/$program" } split /:/, $ENV{PATH};
	return $directory;
}

# --- members -----------------------------------------------------------------------------------------------------------

sub start_member
{
	my ($self, $member) = @_;
	my %variable = $self->patroni_environment($member);
	$member->{pid} = start_process($member->{log}, 'env', '-i', (map { "$_=$variable{$_}" } sort keys %variable), '/usr/bin/python3', '-B',
		source_dir() . '/test/cluster/run_patroni.py', "$ENV{FORGE_LAB_PROGRAMS}/" . patroni_version(), $member->{config});
	return;
}

sub start_members
{
	my ($self, @members) = @_;
	$self->start_member($_) for @members ? @members : $self->members;
	return;
}

# Ends them at the same time, as a node that is shut down does; returns whether all went within the limit.
sub stop_members
{
	my ($self, %option) = @_;
	my @members = grep { $_->{pid} } @{ $option{members} // $self->{members} };
	kill 'TERM', map { $_->{pid} } @members;
	my $gone = ended($option{limit} // 60, @members);
	$self->kill_member($_) for grep { $_->{pid} } @members;
	return $gone;
}

sub ended
{
	my ($limit, @members) = @_;
	my $end = time() + $limit;
	while (time() < $end)
	{
		for my $member (grep { $_->{pid} } @members)
		{
			delete $member->{pid} if waitpid($member->{pid}, POSIX::WNOHANG) != 0;
		}
		return 1 unless grep { $_->{pid} } @members;
		usleep(50_000);
	}
	return;
}

sub postmaster_pid
{
	my ($self, $member) = @_;
	my $file = "$member->{data}/postmaster.pid";
	return -s $file && read_text($file) =~ /^(\d+)/ ? $1 : undef;
}

# As the out-of-memory killer would take both; the rest ends when the postmaster is gone.
sub kill_member
{
	my ($self, $member) = @_;
	my $patroni = delete $member->{pid};
	kill 'KILL', $patroni if $patroni;
	my $postmaster = $self->postmaster_pid($member);
	kill 'KILL', $postmaster if $postmaster && command_of($postmaster) =~ m{\Q$member->{data}\E};
	waitpid($patroni, 0) if $patroni;
	return;
}

sub command_of
{
	my ($pid) = @_;
	open(my $file, '<', "/proc/$pid/cmdline") or return '';
	return (<$file> // '') =~ tr/\0/ /r;
}

# What Patroni says of a member; an empty hash if it does not answer.
sub seen
{
	my ($self, $member) = @_;
	my $answer = HTTP::Tiny->new(timeout => 3)->get("http://127.0.0.1:$member->{rest}/patroni");
	return {} unless $answer->{content} =~ /^\{/;
	return eval { decode_json($answer->{content}) } // {};
}

sub is_running { return ($_[0]->seen($_[1])->{state} // '') eq 'running'; }

sub leader
{
	my ($self) = @_;
	for my $member ($self->members)
	{
		my $seen = $self->seen($member);
		return $member if ($seen->{state} // '') eq 'running' && ($seen->{role} // '') =~ /^(master|primary)$/;
	}
	return;
}

sub replicas
{
	my ($self) = @_;
	my $leader = $self->leader // { name => '' };
	return grep { $_->{name} ne $leader->{name} } $self->members;
}

# One leads, and the others run behind it.
sub all_running
{
	my ($self) = @_;
	my $leader = $self->leader or return;
	return if grep { !$self->is_running($_) } $self->members;
	my ($code, $count) = $self->psql($leader, 'SELECT count(*) FROM pg_stat_replication WHERE state = $$streaming$$');
	return $code == 0 && $count == $self->members - 1;
}

# Sends something to Patroni; dies if it is refused.
sub ask
{
	my ($self, $member, $method, $path, $content) = @_;
	my $answer = HTTP::Tiny->new(timeout => 60)->request($method, "http://127.0.0.1:$member->{rest}$path",
		{ content => $content ? JSON::PP::encode_json($content) : '', headers => { 'Content-Type' => 'application/json' } });
	die "$method $path: $answer->{status} $answer->{content}" unless $answer->{success};
	return $answer->{content};
}

sub patch_config
{
	my ($self, $change) = @_;
	return $self->ask(($self->members)[0], 'PATCH', '/config', $change);
}

sub reinit { return $_[0]->ask($_[1], 'POST', '/reinitialize', { force => JSON::PP::true }); }

# Has a replica made anew, and waits until it runs.
sub remake
{
	my ($self, $limit, $what, $member) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $identity = sub { join(' ', (stat("$member->{data}/PG_VERSION"))[ 1, 10 ]) };
	my ($before, $begin) = ($identity->(), time());
	$self->reinit($member);
	return $self->within($limit, $what, sub { my $now = $identity->(); $now && $now ne $before && $self->all_running }, $begin);
}

sub switchover
{
	my ($self, $from, $to) = @_;
	return $self->ask($from, 'POST', '/switchover', { leader => $from->{name}, candidate => $to->{name} });
}

# --- the servers -------------------------------------------------------------------------------------------------------

# Exit code, output, errors. The statement comes from a file: who writes it into a pipe fails where psql could not connect.
sub psql
{
	my ($self, $member, $statement) = @_;
	my ($stdout, $stderr) = ('', '');
	my $script = File::Temp->new;
	print $script $statement;
	close $script;
	my $done = eval {
		IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', $self->{directory}, '-p', $member->{port}, '-U', 'postgres', '-d',
				'postgres', '-f', $script->filename ],
			'<', \'', '>', \$stdout, '2>', \$stderr, IPC::Run::timeout(60));
		1;
	};
	chomp $stdout;
	return ($done ? $? >> 8 : -1, $stdout, $stderr);
}

# On the leader, or on the member given first; dies where it fails. Connects again for half a minute, as clients of a cluster
# do: Patroni restarts a server that was bootstrapped by a method.
sub sql
{
	my ($self, @words) = @_;
	my $statement = pop @words;
	my $could_not_connect = 2;
	my $end = time() + 30;
	my ($code, $stdout, $stderr) = ($could_not_connect, '', 'nobody leads');
	while ($code == $could_not_connect && time() < $end)
	{
		my $member = $words[0] // $self->leader;
		if (!$member) { usleep(100_000); next; }
		($code, $stdout, $stderr) = $self->psql($member, $statement);
		usleep(100_000) if $code == $could_not_connect;
	}
	die "\"$statement\": $stderr" if $code != 0;
	return $stdout;
}

# Finishes so many segments on the leader; returns their names.
sub switch_segments
{
	my ($self, $count, $member) = @_;
	$member //= $self->leader;
	return map {
		$self->sql($member,
			"SELECT pg_walfile_name(pg_switch_wal()) FROM pg_logical_emit_message(false, 'lab', 'end of segment')")
	} 1 .. $count;
}

sub status_of
{
	my ($self, $member, $name) = @_;
	my $statement = 'SELECT ' . ($name ? "concat_ws(' | ', value, detail) FROM forge_backup.status() WHERE name = '$name'"
		: "string_agg(concat_ws(' | ', name, value, detail), E'\n') FROM forge_backup.status()");
	my ($code, $text) = $self->psql($member, $statement);
	return $code == 0 ? $text : '';
}

sub log_of { return read_text($_[1]->{log}); }

# --- the env directory and the store -----------------------------------------------------------------------------------

# Writes one file a variable, as Spilo does; undef removes one.
sub write_env
{
	my ($self, $env, $directory) = @_;
	$directory //= $self->{env_dir};
	return unless $env;
	make_path($directory);
	for my $name (keys %$env)
	{
		if (defined $env->{$name}) { write_text("$directory/$name", $env->{$name}, 0644); }
		else { unlink "$directory/$name"; }
	}
	return;
}

# Keys in this cluster's own place of the bucket.
sub stored
{
	my ($self, $pattern) = @_;
	my %contents = $self->contents;
	my @keys = sort grep { $_ =~ ($pattern // qr/./) } keys %contents;
	return @keys;
}

# The same with the ETag of each.
sub contents
{
	my ($self) = @_;
	my $place = $self->place;
	my $objects = decode_json($self->{store}->request('GET', '/__objects'))->{ $self->{pod}{WAL_S3_BUCKET} } // {};
	return map { m{^\Q$place\E/(.*)} ? ($1 => $objects->{$_}{etag}) : () } keys %$objects;
}

sub place
{
	my ($self) = @_;
	my $env = spilo_env(%{ $self->{pod} }, WAL_S3_BUCKET => 'forge');
	return $env->{WALG_S3_PREFIX} =~ s{^s3://[^/]+/}{}r;
}

# Names of the base backups that are complete, oldest first.
sub backups
{
	my ($self) = @_;
	my @names = map { m{^basebackups_005/([^/]+)_backup_stop_sentinel\.json$} ? $1 : () } $self->stored(qr/^basebackups_005/);
	return @names;
}

# Segments from one to another that the store lacks, on the way that the leader's history tells: the segment in which a
# timeline ends belongs to the next one.
sub missing_wal
{
	my ($self, $first, $last) = @_;
	my $name = substr($last, 0, 8);
	my @ends;
	if ($name ne '00000001')
	{
		my $history = $self->sql("SELECT pg_read_file('pg_wal/$name.history')");
		push @ends, [ $1, hex($2) * 256 + (hex($3) >> 24) ] while $history =~ m{^\s*(\d+)\s+([0-9A-F]+)/([0-9A-F]+)}mg;
	}
	my @names;
	for my $number (position_of($first) .. position_of($last))
	{
		my ($timeline) = map { $_->[0] } grep { $number < $_->[1] } @ends;
		push @names, sprintf('%08X%08X%08X', $timeline // hex($name), $number / 256, $number % 256);
	}
	return grep { !$self->is_stored($_) } @names;
}

sub position_of { return hex(substr($_[0], 8, 8)) * 256 + hex(substr($_[0], 16, 8)); }

# As somebody who cleans up where he should not.
sub remove_stored
{
	my ($self, @keys) = @_;
	$self->{store}->request('DELETE', "/$self->{pod}{WAL_S3_BUCKET}/" . $self->place . "/$_") for @keys;
	return;
}

sub is_stored
{
	my ($self, @segments) = @_;
	my %there = map { $_ => 1 } map { m{^wal_005/([0-9A-F]{24})\.} ? $1 : () } $self->stored;
	return !grep { !$there{$_} } @segments;
}

# Runs forge-backup as scripts in the pod do: through envdir.
sub cli
{
	my ($self, @words) = @_;
	my %option = ref $words[0] eq 'HASH' ? %{ shift @words } : ();
	my ($stdout, $stderr) = ('', '');
	my $done = eval {
		IPC::Run::run([ 'envdir', $option{env_dir} // $self->{env_dir}, @words ], '<', \'', '>', \$stdout, '2>', \$stderr,
			IPC::Run::timeout($option{limit} // 120));
		1;
	};
	my $status = $?;
	return ($done ? ($status & 127 ? 128 + ($status & 127) : $status >> 8) : -1, $stdout, $stderr);
}

# Runs a text in the shell as somebody in the pod of the leader would; returns exit code and all that was said.
sub shell
{
	my ($self, $text) = @_;
	my $leader = $self->leader // die 'nobody leads';
	my $output = '';
	local %ENV = (%ENV, PATH => $self->patronictl($leader) . ":$ENV{PATH}", PGHOST => $self->{directory}, PGPORT => $leader->{port},
		PGUSER => 'postgres', PGDATABASE => 'postgres');
	my $done = eval { IPC::Run::run([ 'bash', '-e' ], '<', \$text, '>', \$output, '2>&1', IPC::Run::timeout(180)); 1 };
	return ($done ? $? >> 8 : -1, $output);
}

# A directory with the patronictl of this Patroni, which knows this cluster.
sub patronictl
{
	my ($self, $member) = @_;
	my $place = "$ENV{FORGE_LAB_PROGRAMS}/" . patroni_version();
	my $bin = "$self->{directory}/bin";
	make_path($bin);
	write_text("$bin/patronictl", <<"END", 0755);
#!/usr/bin/python3
import sys
sys.path[:0] = ['$place/usr/lib/python3/dist-packages', '$place']
from patroni.ctl import ctl
ctl(['-c', '$member->{config}'] + sys.argv[1:])
END
	return $bin;
}

# --- times -------------------------------------------------------------------------------------------------------------

# A line for the table that ./dev cluster prints.
sub note_time
{
	my ($what, $seconds, $limit) = @_;
	my $line = sprintf("%s\t%s\t%.1f\t%s\n", $0 =~ s{.*/}{}r =~ s/\.pl$//r, $what, $seconds, $limit);
	note($line);
	return unless $ENV{FORGE_LAB_TIMES};
	open(my $file, '>>', $ENV{FORGE_LAB_TIMES}) or die "could not write \"$ENV{FORGE_LAB_TIMES}\": $!";
	print $file $line;
	return close($file);
}

# A test that something becomes true within so many seconds, and how long it took from now, or from a moment before.
sub within
{
	my ($self, $limit, $what, $condition, $begin) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$begin //= time();
	my $end = $begin + $limit;
	my $result;
	until ($result = eval { $condition->() })
	{
		last if time() > $end;
		usleep(100_000);
	}
	my $seconds = time() - $begin;
	note_time($what, $seconds, $limit);
	ok($result, "$what, within $limit s") or $self->describe;
	return $result;
}

sub describe
{
	my ($self) = @_;
	for my $member ($self->members)
	{
		my $seen = $self->seen($member);
		diag("$member->{name}: ", join(', ', map { "$_ $seen->{$_}" } grep { defined $seen->{$_} } qw(state role timeline)), "; log: $member->{log}");
	}
	return;
}

# --- the end -----------------------------------------------------------------------------------------------------------

# Ends all members, and etcd if it is this lab's own; a test that nothing is left.
sub stop
{
	my ($self) = @_;
	ok($self->stop_members(limit => 60), "$self->{scope}: all members end");
	$self->end_processes;
	return;
}

sub end_processes
{
	my ($self) = @_;
	$self->stop_members(limit => 20);
	$self->kill_member($_) for $self->members;
	if (my $etcd = delete $self->{own_etcd})
	{
		kill 'KILL', $etcd->{pid};
		waitpid($etcd->{pid}, 0);
	}
	return;
}

END
{
	my $status = $?;
	$_->end_processes for @labs;
	$? = $status;
}

1;
