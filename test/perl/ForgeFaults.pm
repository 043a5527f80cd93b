# Stores that fail by script (test/fake_store) for TAP tests: one server for many cases, each with a bucket of its own,
# and what the command line does with it. A case says what the store shall do (README.md of test/fake_store), runs a
# command, and looks at exit code, message, what is stored and what was asked.
package ForgeFaults;

use strict;
use warnings;

use Exporter qw(import);
use ForgeTest;
use HTTP::Tiny;
use IO::Socket::INET;
use IPC::Run ();
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(archive_value start_fake stop_fake segment_file random_segment free_port says once);

my $secret = 'hidden-words';
my @running;

# --- the server ------------------------------------------------------------------------------------------------------

# Starts a store; it ends with the test. Options: host (of the endpoint), port, tls => [certificate, key], options => […].
sub start_fake
{
	my (%option) = @_;
	my $port_file = new_directory('fake') . '/port';
	my @words = ('python3', '-B', source_dir() . '/test/fake_store/fake_store.py', '--port-file', $port_file);
	push @words, '--tls-cert', $option{tls}[0], '--tls-key', $option{tls}[1] if $option{tls};
	push @words, '--port', $option{port} if $option{port};
	push @words, @{ $option{options} // [] };
	my $self = bless { host => $option{host} // '127.0.0.1', scheme => $option{tls} ? 'https' : 'http' }, __PACKAGE__;
	# It ends when its standard input does.
	open($self->{input}, '|-', @words) or die "could not start the store: $!";
	push @running, $self;
	wait_until('the store listens', sub { -s $port_file }) or BAIL_OUT('no store');
	($self->{port}) = read_text($port_file) =~ /(\d+)/;
	return $self;
}

sub stop_fake
{
	my ($self) = @_;
	close(delete $self->{input}) if $self->{input};
	return;
}

END
{
	local $?;
	stop_fake($_) for @running;
}

sub endpoint { return "$_[0]{scheme}://$_[0]{host}:$_[0]{port}"; }

sub request
{
	my ($self, $method, $path, $content, %headers) = @_;
	my $answer = HTTP::Tiny->new(timeout => 20)
	  ->request($method, "http://127.0.0.1:$self->{port}$path", { content => $content // '', headers => \%headers });
	die "$method $path: $answer->{status} $answer->{content}" unless $answer->{success};
	return $answer->{content};
}

sub script
{
	my ($self, @rules) = @_;
	$self->{scripted} = @rules > 0;
	$self->request('POST', '/__script', JSON::PP->new->canonical->encode(\@rules));
	return;
}

# The requests that were signed, the store's own errors included; with a pattern those to such keys or operations.
sub requests
{
	my ($self, %wanted) = @_;
	my @found = grep { $_->{signed} } @{ decode_json($self->request('GET', '/__log')) };
	for my $field (keys %wanted)
	{
		@found = grep { $_->{$field} =~ $wanted{$field} } @found;
	}
	return @found;
}

# --- a bucket for one case ---------------------------------------------------------------------------------------------

package ForgeFaults::Bucket;

use ForgeTest;
use Test::More;

# A new bucket, with the rules for it.
sub ForgeFaults::bucket
{
	my ($store, @rules) = @_;
	my $self = bless { store => $store, name => 'b' . ++$store->{buckets} }, __PACKAGE__;
	$store->script(@rules) if @rules || $store->{scripted};
	return $self;
}

sub put
{
	my ($self, $key, $content, %headers) = @_;
	return $self->{store}->request('PUT', "/$self->{name}/shop/$key", $content, %headers);
}

sub content { return $_[0]{store}->request('GET', "/$_[0]{name}/shop/$_[1]"); }

# Keys below the prefix.
sub names
{
	my ($self) = @_;
	my $objects = decode_json($self->{store}->request('GET', '/__objects'))->{ $self->{name} } // {};
	return sort map { s{^shop/}{}r } keys %$objects;
}

# Puts a directory in.
sub fill
{
	my ($self, $directory) = @_;
	$self->put($_, read_text("$directory/$_")) for tree($directory);
	return $self;
}

sub requests
{
	my ($self, %wanted) = @_;
	return $self->{store}->requests(bucket => qr/^$self->{name}$/, %wanted);
}

# How often an operation was asked for.
sub asked
{
	my ($self, $operation, $key) = @_;
	return scalar $self->requests(operation => qr/^$operation$/, key => $key // qr/./);
}

sub env
{
	my ($self, %more) = @_;
	return env_dir_of(
		{ forge => { storage => "s3://$self->{name}/shop", key_file => $self->{key_file} } },
		AWS_ENDPOINT => $self->{store}->endpoint,
		AWS_REGION => 'us-east-1',
		AWS_S3_FORCE_PATH_STYLE => 'true',
		AWS_ACCESS_KEY_ID => 'key',
		AWS_SECRET_ACCESS_KEY => $secret,
		%more);
}

# Settings of a server that archives here. What is stored is as long as the file.
sub conf
{
	my ($self) = @_;
	$self->{secrets} = new_directory('secrets');
	write_text("$self->{secrets}/AWS_ACCESS_KEY_ID", "key\n", 0600);
	write_text("$self->{secrets}/AWS_SECRET_ACCESS_KEY", "$secret\n", 0600);
	return <<"END";
forge_backup.storage = 's3://$self->{name}/shop'
forge_backup.s3_endpoint = '@{[ $self->{store}->endpoint ]}'
forge_backup.s3_region = 'us-east-1'
forge_backup.s3_path_style = on
forge_backup.secret_dir = '$self->{secrets}'
forge_backup.compression = 'none'
END
}

# Runs a command on it: exit code, what it printed, and seconds. No text may show a secret.
sub run
{
	my ($self, @command) = @_;
	my %env = ref $command[0] eq 'HASH' ? %{ shift @command } : ();
	my $begin = Time::HiRes::time();
	my ($code, $out, $err) = forge_cli({ limit => 60 }, @command, '--env-dir', $self->env(%env));
	return $self->seen($code, $out, $err, Time::HiRes::time() - $begin);
}

sub seen
{
	my ($self, $code, $out, $err, $seconds) = @_;
	fail("no secret in \"$err\"") if "$out$err" =~ /\Q$secret\E|$key_hex|terminate called/;
	return { code => $code, out => $out, err => $err, text => "$out$err", seconds => $seconds };
}

sub archive
{
	my ($self, $file, @more) = @_;
	return $self->run(@more, 'wal-push', $file);
}

# Fetches into a directory of its own, where the answer's file tells whether something is there.
sub fetch
{
	my ($self, $name, @options) = @_;
	my $directory = new_directory('fetch');
	my %env = ref $options[0] eq 'HASH' ? %{ shift @options } : ();
	my $result = $self->run(\%env, 'wal-fetch', '--retry-timeout', 2, @options, $name, "$directory/file");
	$result->{file} = "$directory/file";
	return $result;
}

# The same in the background, for what takes long or is watched; finish() gives the result. A leading hash may name an
# env directory (env_dir => …), and words that run the command (under => […]).
sub start
{
	my ($self, @command) = @_;
	my %option = ref $command[0] eq 'HASH' ? %{ shift @command } : ();
	my $job = bless { bucket => $self, out => '', err => '' }, 'ForgeFaults::Job';
	$job->{harness} = IPC::Run::start([ @{ $option{under} // [] }, 'forge-backup', @command, '--env-dir', $option{env_dir} // $self->env ],
		'<', \'', '>', \$job->{out}, '2>', \$job->{err}, IPC::Run::timeout(600));    # with what the test does meanwhile
	return $job;
}

sub ForgeFaults::Job::finish
{
	my ($job) = @_;
	my $done = eval { $job->{harness}->finish; 1 };
	$job->{err} .= "\n$@" if !$done;
	return $job->{bucket}->seen($done ? $job->{harness}->result : -1, $job->{out}, $job->{err}, 0);
}

# --- looking at results ------------------------------------------------------------------------------------------------

package ForgeFaults;

# The exit code and a message; seconds => N: in less than that.
sub says
{
	my ($result, $code, $pattern, $text, %more) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $good = $result->{code} == $code && $result->{text} =~ $pattern
	  && (!$more{seconds} || $result->{seconds} < $more{seconds});
	return ok($good, $text) || diag("exit code $result->{code} after $result->{seconds} s\n$result->{text}");
}

# A rule for the first so many (1) of the matching requests.
sub once
{
	my ($match, $do, $count) = @_;
	return { match => $match, do => $do, count => $count // 1 };
}

# A WAL file of 1 MB in a pg_wal of its own, valid as far as its page header goes.
sub segment_file
{
	my ($name, $content) = @_;
	my $directory = new_directory('pg_wal');
	return write_text("$directory/$name", $content // random_segment($name));
}

# Content that does not compress, so that what is sent is as long.
sub random_segment
{
	my ($name, $size) = @_;
	$size //= 1 << 20;
	my $number = hex(substr($name, 8, 8)) * ((1 << 32) / $size) + hex(substr($name, 16, 8));
	open(my $random, '<:raw', '/dev/urandom') or die "no random bytes: $!";
	read($random, my $rest, $size - 40);
	return pack('S<S<L<Q<L<x4Q<L<L<', 0xD110, 2, hex(substr($name, 0, 8)), $number * $size, 0, 42, $size, 8192) . $rest;
}

# Value of a column of forge_backup.archive_status.
sub archive_value
{
	my ($node, $expression) = @_;
	return $node->safe_psql('postgres', "SELECT $expression FROM forge_backup.archive_status");
}

# A port of 127.0.0.1 where nobody listens.
sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "no port: $!";
	return $socket->sockport;
}

1;
