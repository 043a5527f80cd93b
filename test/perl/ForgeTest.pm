# Helpers of the TAP tests over PostgreSQL::Test::Cluster: servers that archive with forge_backup, stores, restores.
# Nothing here sleeps for a fixed time; every wait polls up to a limit and then fails by saying what it waited for.
package ForgeTest;

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter qw(import);
use File::Basename qw(basename dirname);
use File::Find qw(find);
use File::Path qw(make_path remove_tree);
use IO::Socket::INET;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(
  $key_hex forge_node forge_standby bucket_of env_dir_of key_file new_directory write_text read_text
  forge_cli cli_ok cli_fails restore_node start_restored amcheck_ok member_of
  wait_until wait_archived switch_wal archive_state wait_first_backup table_checksum status_value
  archiver_pid child_of helper_pid children_of family_of alive
  name_after segment_as tree wal_names backup_names sentinel_of decode_json
  black_hole start_swift start_store store_kill store_again swift_conf swift_env s3cmd source_dir seconds log_since log_size log_lacks
);

our $key_hex = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f';
my $limit = $PostgreSQL::Test::Utils::timeout_default;

# --- files -----------------------------------------------------------------------------------------------------------

# Where test/ lies (a copy of the checkout that the user of the tests can read).
sub source_dir
{
	return $ENV{FORGE_SRC} // abs_path(dirname(__FILE__) . '/../..');
}

my $directories = 0;

# A new empty directory of this test.
sub new_directory
{
	my ($name) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir($name // 'forge') . '/' . ($name // 'd') . ++$directories;
	mkdir $directory or die "could not create \"$directory\": $!";
	return $directory;
}

sub write_text
{
	my ($path, $text, $mode) = @_;
	open(my $file, '>', $path) or die "could not write \"$path\": $!";
	print $file $text;
	close($file) or die "could not write \"$path\": $!";
	chmod($mode, $path) if defined $mode;
	return $path;
}

sub read_text { return slurp_file($_[0]); }

# A file with an encryption key, closed to others.
sub key_file
{
	my ($hex) = @_;
	return write_text(new_directory('key') . '/key', ($hex // $key_hex) . "\n", 0600);
}

sub decode_json { return JSON::PP->new->allow_bignum->decode($_[0]); }

# Relative paths of all files below a directory, sorted; temporary names of objects being written are left out.
sub tree
{
	my ($directory) = @_;
	my @files;
	find({ no_chdir => 1, wanted => sub { push @files, substr($_, length($directory) + 1) if -f $_; } }, $directory)
	  if -d $directory;
	return sort grep { !/\.tmp\./ } @files;
}

# Names of WAL files in a directory store, without extension.
sub wal_names
{
	my ($bucket) = @_;
	return map { s{^wal_005/}{}r =~ s/\.(zst|br|lz4|lzma)$//r } grep { m{^wal_005/} } tree($bucket);
}

sub backup_names
{
	my ($bucket) = @_;
	return map { m{^basebackups_005/([^/]+)_backup_stop_sentinel\.json$} ? $1 : () } tree($bucket);
}

sub sentinel_of
{
	my ($bucket, $name) = @_;
	return decode_json(read_text("$bucket/basebackups_005/${name}_backup_stop_sentinel.json"));
}

# --- waiting ---------------------------------------------------------------------------------------------------------

# Polls until the function returns true; fails the test when it takes too long.
sub wait_until
{
	my ($what, $condition, $seconds) = @_;
	my $end = time() + ($seconds // $limit);
	while (time() < $end)
	{
		my $result = $condition->();
		return $result if $result;
		usleep(50_000);
	}
	fail("$what (waited " . ($seconds // $limit) . ' s)');
	return;
}

# Seconds that a function takes.
sub seconds
{
	my ($code) = @_;
	my $begin = time();
	$code->();
	return time() - $begin;
}

# --- servers ---------------------------------------------------------------------------------------------------------

# A running server with 1 MB segments and checksums that archives with forge_backup. Options:
#   preload => 0         only archive_library
#   storage => TEXT      value of forge_backup.storage; not given: a new directory; undef: not set
#   key => 0             no encryption; else a key file is made
#   conf => TEXT         more settings
#   start => 0           configured only
#   first_backup => 0    do not wait for the base backup that a new prefix gets
#   prepare => CODE      called with the node before anything is in its directory
#   initdb => [...]      more options of initdb
sub forge_node
{
	my ($name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$option{prepare}->($node) if $option{prepare};
	$node->init(allows_streaming => 1,
		extra => [ '--wal-segsize=1', '-k', '--locale=C.UTF-8', '-E', 'UTF8', @{ $option{initdb} // [] } ]);
	my $preload = $option{preload} // 1;
	my $forge = $node->{forge} = { preload => $preload };
	# Statements in the log would drown what is looked for there.
	my $conf = "log_statement = none\narchive_mode = on\narchive_library = 'forge_backup'\n";
	$conf .= "shared_preload_libraries = 'forge_backup'\n" if $preload;
	if (!exists $option{storage})
	{
		$forge->{bucket} = new_directory('bucket');
		$option{storage} = "file://$forge->{bucket}";
	}
	$forge->{storage} = $option{storage};
	$conf .= "forge_backup.storage = '$option{storage}'\n" if defined $option{storage};
	if ($option{key} // 1)
	{
		$forge->{key_file} = key_file();
		$conf .= "forge_backup.encryption_key_files = '$forge->{key_file}'\n";
	}
	$node->append_conf('postgresql.conf', $conf . ($option{conf} // ''));
	return $node unless $option{start} // 1;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION forge_backup');
	wait_first_backup($node) if $preload && defined $option{storage} && ($option{first_backup} // 1);
	return $node;
}

# A streaming standby of a node, with the same settings. conf => TEXT: more settings; wait => 0: not until it has caught up.
sub forge_standby
{
	my ($primary, $name, %option) = @_;
	$primary->backup("for_$name", backup_options => [ '--checkpoint=fast' ]);
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$standby->init_from_backup($primary, "for_$name", has_streaming => 1);
	$standby->{forge} = { %{ $primary->{forge} } };
	member_of($standby, $primary);
	# By default that would be the cluster's name.
	$standby->append_conf('postgresql.conf', "primary_conninfo = '" . $primary->connstr . " application_name=$name'");
	$standby->append_conf('postgresql.conf', $option{conf}) if defined $option{conf};
	$standby->start;
	$primary->wait_for_catchup($standby) if $option{wait} // 1;
	return $standby;
}

# Gives a node the cluster_name of another: members of one cluster have the same (Patroni's scope), while the nodes of a
# test get their own.
sub member_of
{
	my ($node, $other) = @_;
	$node->{forge}{cluster} = $other->{forge}{cluster} // $other->name;
	return bless $node, 'ForgeTest::Member';
}

sub bucket_of { return $_[0]->{forge}{bucket}; }

# An env directory (one file a variable) with which the command line reaches the same store by the same key.
sub env_dir_of
{
	my ($node, %more) = @_;
	my $directory = new_directory('env');
	my %variable = (WALG_COMPRESSION_METHOD => 'zstd');
	my $storage = $node->{forge}{storage} // '';
	$variable{WALG_FILE_PREFIX} = $1 if $storage =~ m{^file://(.*)};
	$variable{WALG_S3_PREFIX} = $storage if $storage =~ m{^s3://};
	if ($node->{forge}{key_file})
	{
		$variable{WALG_LIBSODIUM_KEY_PATH} = $node->{forge}{key_file};
		$variable{WALG_LIBSODIUM_KEY_TRANSFORM} = 'hex';
	}
	%variable = (%variable, %more);
	write_text("$directory/$_", "$variable{$_}\n", 0600) for keys %variable;
	return $directory;
}

sub wait_first_backup
{
	my ($node) = @_;
	return wait_until('the first base backup is in the listing',
		sub { $node->safe_psql('postgres', 'SELECT count(*) > 0 FROM forge_backup.backup_list()') eq 't' });
}

# Finishes the current segment and returns its name.
sub switch_wal
{
	my ($node) = @_;
	return $node->safe_psql('postgres',
		"SELECT pg_walfile_name(pg_switch_wal()) FROM pg_logical_emit_message(false, 'test', 'end of segment')");
}

# The name of the segment so many after this one.
sub name_after
{
	my ($name, $count) = @_;
	my $number = segment_number($name) + $count;
	return sprintf('%s%08X%08X', substr($name, 0, 8), $number / 4096, $number % 4096);
}

sub segment_number
{
	my ($name) = @_;
	return hex(substr($name, 8, 8)) * 4096 + hex(substr($name, 16, 8));
}

# The content of a segment, with a first page header that fits another name: what a foreign segment of that name looks like.
sub segment_as
{
	my ($content, $name) = @_;
	substr($content, 8, 8) = pack('Q<', segment_number($name) * 1048576);
	return $content;
}

# 'ready', 'done' or '' (recycled, or never there).
sub archive_state
{
	my ($node, $name) = @_;
	my $status = $node->data_dir . '/pg_wal/archive_status';
	return -e "$status/$name.ready" ? 'ready' : -e "$status/$name.done" ? 'done' : '';
}

# Finishes the current segment (or takes the one named) and waits until it is archived; returns its name.
sub wait_archived
{
	my ($node, $name) = @_;
	$name //= switch_wal($node);
	my $polls = 0;
	wait_until("segment $name is archived", sub {
		# The postmaster starts a new archiver when something wakes it, which in a test may be long.
		$node->psql('postgres', 'SELECT 1') if ++$polls % 20 == 0;
		my $state = archive_state($node, $name);
		return $state eq 'done' || ($state eq '' && !-e $node->data_dir . "/pg_wal/$name");
	});
	return $name;
}

# Order-independent checksum over the rows of a table.
sub table_checksum
{
	my ($node, $table, $database) = @_;
	return $node->safe_psql($database // 'postgres',
		"SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM $table t");
}

# Value of a row of forge_backup.status(), or value and detail together.
sub status_value
{
	my ($node, $name) = @_;
	return $node->safe_psql('postgres',
		"SELECT concat_ws(' | ', value, detail) FROM forge_backup.status() WHERE name = '$name'");
}

sub log_size { return -s $_[0]->logfile; }
sub log_since { return slurp_file($_[0]->logfile, $_[1]); }

# The log since an offset has no line like this; fails with the lines it has.
sub log_lacks
{
	my ($node, $offset, $pattern, $text) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(join("\n", grep { $_ =~ $pattern } split /\n/, log_since($node, $offset)), '', $text);
}

# --- processes -------------------------------------------------------------------------------------------------------

sub archiver_pid
{
	my ($node) = @_;
	return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'archiver'");
}

# Pids of the children of a process.
sub children_of
{
	my ($parent) = @_;
	my @children;
	for my $stat (glob('/proc/[0-9]*/stat'))
	{
		open(my $file, '<', $stat) or next;
		my $line = <$file> // next;
		push @children, $1 if $line =~ /^(\d+) \(.*\) (\S) (\d+) / && $3 == $parent && $2 ne 'Z';
	}
	return @children;
}

# A process, its children, theirs.
sub family_of
{
	my ($pid) = @_;
	return ($pid, map { family_of($_) } children_of($pid));
}

# Those of some processes that have not ended.
sub alive
{
	my %state;
	for my $pid (@_)
	{
		open(my $file, '<', "/proc/$pid/stat") or next;
		$state{$pid} = $1 if (<$file> // '') =~ /\) (\S) /;
	}
	return grep { ($state{$_} // 'Z') ne 'Z' } @_;
}

sub child_of { return (children_of($_[0]))[0]; }

# The archiver's helper.
sub helper_pid
{
	my ($node) = @_;
	my $pid;
	wait_until('the archiver has a helper', sub {
		my $archiver = archiver_pid($node) or return;
		return $pid = child_of($archiver);
	});
	return $pid;
}

# --- command line ----------------------------------------------------------------------------------------------------

# Runs forge-backup; returns exit code, output, errors. A leading hash gives environment (env => {…}), a directory
# to run in (cwd => …) and a limit in seconds (limit => …).
sub forge_cli
{
	my %option = ref $_[0] eq 'HASH' ? %{ shift() } : ();
	my @command = ('forge-backup', @_);
	local %ENV = (%ENV, %{ $option{env} // {} });
	my ($stdout, $stderr) = ('', '');
	my $from = Cwd::getcwd();
	chdir($option{cwd}) if $option{cwd};
	my $timeout = IPC::Run::timeout($option{limit} // $limit);
	my $done = eval { IPC::Run::run(\@command, '<', \'', '>', \$stdout, '2>', \$stderr, $timeout); 1 };
	my $status = $?;
	chdir($from) if $option{cwd};
	print '# Ran: ' . join(' ', @command) . "\n";
	return (-1, $stdout, "$stderr\ntoo slow: $@") unless $done;
	return ($status & 127 ? 128 + ($status & 127) : $status >> 8, $stdout, $stderr);
}

sub cli_ok
{
	my $text = pop;
	my ($code, $stdout, $stderr) = forge_cli(@_);
	is($code, 0, $text) or diag("$stdout$stderr");
	return $stdout;
}

# Fails with this exit code and a message; no secret and no stack trace in it.
sub cli_fails
{
	my $text = pop;
	my $message = pop;
	my $expected = pop;
	my ($code, $stdout, $stderr) = forge_cli(@_);
	subtest $text => sub {
		plan tests => 3;
		is($code, $expected, 'exit code');
		like($stderr, $message, 'message');
		unlike("$stdout$stderr", qr/$key_hex|terminate called|what\(\)/i, 'neither secret nor stack trace');
	};
	return;
}

# --- restoring -------------------------------------------------------------------------------------------------------

# Restores from the store of $source with "forge-backup restore OPTIONS" into a new node, which is not started and
# does not archive. $option{cli} are options of the command; $option{env_dir} another env directory.
sub restore_node
{
	my ($name, $source, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $env_dir = $option{env_dir} // env_dir_of($source);
	my ($code, $stdout, $stderr) =
	  forge_cli('restore', '--env-dir', $env_dir, '--target-dir', $node->data_dir, @{ $option{cli} // [] });
	$node->{forge} = { output => "$stdout$stderr", exit => $code };
	if ($code != 0)
	{
		fail("restore into $name");
		diag("$stdout$stderr");
		return $node;
	}
	$node->append_conf('postgresql.conf',
		'port = ' . $node->port . "\narchive_mode = off\nhot_standby = on\nunix_socket_directories = '" . $node->host
		  . "'\nlisten_addresses = ''\n" . ($option{conf} // ''));
	return $node;
}

# Starts it and waits until the target is reached: paused there, or promoted.
sub start_restored
{
	my ($node) = @_;
	return unless $node->start(fail_ok => 1);
	wait_until('recovery reaches its target', sub {
		my ($code, $state) = $node->psql('postgres',
			"SELECT CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() ELSE 'promoted' END");
		return $code == 0 && $state =~ /^(paused|promoted)$/;
	});
	return $node;
}

# pg_amcheck, of the database "postgres" unless the options say otherwise, finds nothing wrong. Not every package of a server
# has its extension.
sub amcheck_ok
{
	my ($node, $text, @options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	@options = ('-d', 'postgres') if !@options;
  SKIP:
	{
		skip 'this server has no amcheck', 1
		  if $node->safe_psql('postgres', "SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'") eq '0';
		$node->command_ok([ 'pg_amcheck', @options, '--install-missing', '-h', $node->host, '-p', $node->port ], $text);
	}
	return;
}

# --- stores ----------------------------------------------------------------------------------------------------------

my @sockets;

# A port on which every connection is accepted (by the kernel) and nothing is ever answered.
sub black_hole
{
	my $socket = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1', Proto => 'tcp')
	  or die "could not listen: $!";
	push @sockets, $socket;
	return $socket->sockport;
}

my %stores;

# Starts an S3 server of test/stores ("swift", "versitygw") once a test; returns its endpoint, keys, region and bucket.
sub start_store
{
	my ($name) = @_;
	return $stores{$name} if $stores{$name};
	my $directory = PostgreSQL::Test::Utils::tempdir($name);
	chmod(0755, $directory);
	my $script = source_dir() . "/test/stores/$name";
	system_or_bail($script, 'start', "$directory/s");
	my $store = $stores{$name} = { script => $script, directory => "$directory/s" };
	for my $line (split /\n/, read_text("$directory/s/env"))
	{
		$store->{$1} = $2 if $line =~ /^S3_(\w+)=(.*)/;
	}
	my $secrets = new_directory('secrets');
	write_text("$secrets/AWS_ACCESS_KEY_ID", "$store->{ACCESS_KEY}\n", 0600);
	write_text("$secrets/AWS_SECRET_ACCESS_KEY", "$store->{SECRET_KEY}\n", 0600);
	$store->{secret_dir} = $secrets;
	return $store;
}

sub start_swift { return start_store('swift'); }

# Kills its processes; starts them again with what they have on disk, at the same address.
sub store_kill { system_or_bail($_[0]{script}, 'kill', $_[0]{directory}); return; }
sub store_again { system_or_bail($_[0]{script}, 'start', $_[0]{directory}); return; }

# Settings of a server that uses it.
sub swift_conf
{
	my ($s) = @_;
	return <<"END";
forge_backup.s3_endpoint = '$s->{ENDPOINT}'
forge_backup.s3_region = '$s->{REGION}'
forge_backup.s3_path_style = on
forge_backup.secret_dir = '$s->{secret_dir}'
END
}

# The same as variables.
sub swift_env
{
	my ($s) = @_;
	return (
		AWS_ENDPOINT => $s->{ENDPOINT},
		AWS_REGION => $s->{REGION},
		AWS_S3_FORCE_PATH_STYLE => 'true',
		AWS_ACCESS_KEY_ID => $s->{ACCESS_KEY},
		AWS_SECRET_ACCESS_KEY => $s->{SECRET_KEY});
}

# Runs s3cmd on it and returns its output.
sub s3cmd
{
	my ($s, @arguments) = @_;
	my $host = $s->{ENDPOINT} =~ s{^http://}{}r;
	my ($stdout, $stderr) = ('', '');
	IPC::Run::run(
		[
			's3cmd', '--config=/dev/null', '--no-ssl', "--host=$host", "--host-bucket=$host", "--region=$s->{REGION}",
			"--access_key=$s->{ACCESS_KEY}", "--secret_key=$s->{SECRET_KEY}", @arguments
		],
		'<', \'', '>', \$stdout, '2>', \$stderr)
	  or diag("s3cmd: $stderr");
	return $stdout;
}

END
{
	my $status = $?;
	system($_->{script}, 'stop', $_->{directory}) for values %stores;
	$? = $status;
}

package ForgeTest::Member;

our @ISA = ('PostgreSQL::Test::Cluster');

sub start
{
	my ($self, %option) = @_;
	local $self->{_name} = $self->{forge}{cluster};
	return $self->SUPER::start(%option);
}

1;
