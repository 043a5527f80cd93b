# Credentials of the S3 store that nobody wrote down: from the instance, a web identity, the container, an assumed role.
# They expire, and come back, without a restart and without a word in the log that should not be there.
use strict;
use warnings;

use ForgeTest;
use HTTP::Tiny;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $arn = 'arn:aws:iam::123456789012:role/backups';
my $secrets = qr/issued-secret|issued-session|metadata-session-token|identity-\d|agent-token|base-secret/;
my %input;

# Starts a program of test/fake_store, which ends when its standard input does; returns its port.
sub start_program
{
	my ($name, @options) = @_;
	my $port_file = new_directory($name) . '/port';
	open($input{$name}, '|-', 'python3', '-B', source_dir() . "/test/fake_store/$name.py", '--port-file', $port_file, @options)
	  or die "could not start $name: $!";
	wait_until("$name listens", sub { -s $port_file }) or BAIL_OUT("no $name");
	return read_text($port_file) =~ s/\s+//r;
}

my $store = 'http://127.0.0.1:' . start_program('fake_store');
my $issuer = 'http://127.0.0.1:' . start_program('issuer');

sub http
{
	my ($method, $url, $content) = @_;
	my $answer = HTTP::Tiny->new(timeout => 10)->request($method, $url, defined $content ? { content => JSON::PP::encode_json($content) } : {});
	die "$method $url: $answer->{status} $answer->{content}" unless $answer->{success};
	return decode_json($answer->{content});
}

# From now on these keys are issued, and the store takes no others.
sub rotate
{
	my ($id, %state) = @_;
	http('POST', "$issuer/__state", { id => $id, %state });
	return http('POST', "$store/__script",
		[ { name => 'expired', match => { header => { authorization => "Credential=(?!$id/)" } }, do => { status => 400, code => 'ExpiredToken' } } ]);
}

sub asked_for { my ($what) = @_; return scalar grep { $_->{what} =~ $what } @{ http('GET', "$issuer/__log") }; }

# Requests that the store refused since the keys were old.
sub refused { return scalar grep { ($_->{rule} // '') eq 'expired' } @{ http('GET', "$store/__log") }; }

sub stored { my ($name) = @_; return grep { m{/wal_005/$name\.} } keys %{ http('GET', "$store/__objects")->{bucket} }; }

sub env_files
{
	my ($directory, %variable) = @_;
	write_text("$directory/$_", "$variable{$_}\n", 0600) for sort keys %variable;
	return $directory;
}

# ---- the instance ---------------------------------------------------------------------------------------------------

rotate('KEY1');
my $env_dir = env_files(new_directory('env'), AWS_EC2_METADATA_SERVICE_ENDPOINT => "$issuer/");
my $node = forge_node('primary', storage => 's3://bucket/prefix', conf => <<"END");
forge_backup.s3_endpoint = '$store'
forge_backup.s3_path_style = on
forge_backup.env_dir = '$env_dir'
END
my $name = wait_archived($node);
ok(stored($name), 'a segment is archived with the credentials of the instance');
cmp_ok(asked_for(qr{^PUT /latest/api/token$}), '>', 0, 'the metadata service was asked for a token first');
my $status = wait_until('status() shows when the credentials expire', sub {
	switch_wal($node);
	my $value = status_value($node, 'setting.s3_credentials');
	return $value =~ /expires/ ? $value : '';
});
like($status, qr/^instance metadata, role app, access key fingerprint [0-9a-f]{8}, expires 2\d{3}-/, 'source and expiry');
# The helper of a base backup has not asked for any when it says how it is configured.
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
like(status_value($node, 'setting.s3_credentials'), qr/expires/, 'still after another helper has begun');
wait_archived($node);

# ---- expiry ---------------------------------------------------------------------------------------------------------

my $offset = log_size($node);
my $helper = helper_pid($node);
rotate('KEY2');
$name = wait_archived($node);
ok(stored($name), 'S4: archiving goes on with new credentials when the old ones have expired');
cmp_ok(refused(), '>', 0, 'S4: after the store refused the old ones');
is(helper_pid($node), $helper, 'S4: by the same helper');
log_lacks($node, $offset, qr/WARNING|ERROR|FATAL/, 'S4: nobody is told of it');

# ---- web identity ---------------------------------------------------------------------------------------------------

# As Kubernetes mounts it: links to a directory that is replaced as a whole.
my $mount = new_directory('mount');
for my $version (1, 2)
{
	mkdir "$mount/v$version";
	write_text("$mount/v$version/token", "identity-$version");
}
symlink('v1', "$mount/..data");
symlink('..data/token', "$mount/token");
rotate('KEY3', identity => 'identity-1');
env_files($env_dir, AWS_WEB_IDENTITY_TOKEN_FILE => "$mount/token", AWS_ENDPOINT_URL_STS => $issuer, AWS_ROLE_ARN => $arn);
$name = wait_archived($node);
ok(stored($name), 'a web identity takes the place of the instance without a reload');
wait_until('status() shows the role', sub {
	switch_wal($node);
	return status_value($node, 'setting.s3_credentials') =~ /^web identity, role \Q$arn\E, .*expires 2.*AWS_WEB_IDENTITY_TOKEN_FILE/;
});
wait_archived($node);

symlink('v2', "$mount/..next");
rename("$mount/..next", "$mount/..data");
my $exchanges = asked_for(qr/^AssumeRoleWithWebIdentity$/);
$offset = log_size($node);
rotate('KEY4', identity => 'identity-2');
$name = wait_archived($node);
ok(stored($name), 'S4: a token that was swapped is read again');
cmp_ok(asked_for(qr/^AssumeRoleWithWebIdentity$/), '>', $exchanges, 'S4: and exchanged');
is((grep { $_->{status} == 400 } @{ http('GET', "$issuer/__log") }), 0, 'S4: no old token is sent');
log_lacks($node, $offset, qr/WARNING|ERROR|FATAL/, 'S4: nobody is told of it');

# The token service fails while the credentials have expired: WAL waits, and goes out when it is back.
http('POST', "$issuer/__state", { fail => 503 });
rotate('KEY5');
$name = switch_wal($node);
wait_until('an attempt fails', sub { asked_for(qr/./) && (grep { $_->{status} == 503 } @{ http('GET', "$issuer/__log") }) });
is(archive_state($node, $name), 'ready', 'S4: WAL waits while nobody issues credentials');
http('POST', "$issuer/__state", { fail => 0 });
wait_archived($node, $name);
ok(stored($name), 'S4: and is archived when somebody does');
is(helper_pid($node), $helper, 'S4: still by the same helper');
$node->stop('fast');
log_lacks($node, 0, $secrets, 'K2: no secret in the log');

# ---- the command line -----------------------------------------------------------------------------------------------

my @place = ('--storage', 's3://bucket/prefix', '--s3-endpoint', $store, '--s3-path-style', 'on');
my %list = (
	'the agent of the container' => {
		AWS_CONTAINER_CREDENTIALS_FULL_URI => "$issuer/container",
		AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE => write_text(new_directory('agent') . '/token', "agent-token\n")
	},
	'a role that is assumed with keys' => {
		AWS_ACCESS_KEY_ID => 'BASE',
		AWS_SECRET_ACCESS_KEY => 'base-secret',
		AWS_ROLE_ARN => $arn,
		AWS_ENDPOINT_URL_STS => $issuer
	},
	'a profile' => {
		AWS_PROFILE => 'backups',
		AWS_SHARED_CREDENTIALS_FILE =>
		  write_text(new_directory('aws') . '/credentials', "[backups]\naws_access_key_id = KEY5\naws_secret_access_key = issued-secret\n", 0600)
	});
for my $source (sort keys %list)
{
	like(cli_ok({ env => $list{$source} }, 'backup-list', @place, '--env-dir', new_directory('none'), "backup-list with $source"),
		qr/^base_/m, "$source: the backup is listed");
}
cmp_ok(asked_for(qr/^AssumeRole$/), '>', 0, 'the role was asked for');

cli_fails({ env => { AWS_EC2_METADATA_DISABLED => 'true' } }, 'backup-list', @place, '--env-dir', new_directory('none'), 1,
	qr/no credentials for the S3 store: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set.*disabled.*\n.*hint: Set AWS_ACCESS_KEY_ID/,
	'nothing found: what was tried, and what to do');
my $seconds = seconds(sub {
	cli_fails({ env => { AWS_EC2_METADATA_SERVICE_ENDPOINT => 'http://127.0.0.1:' . black_hole() } }, 'backup-list', @place, '--env-dir',
		new_directory('none'), 1, qr/instance metadata service: no answer/, 'N2: a metadata service that says nothing');
});
cmp_ok($seconds, '<', 10, 'N2: costs little');
cli_fails({ env => { AWS_WEB_IDENTITY_TOKEN_FILE => "$mount/token", AWS_ROLE_ARN => $arn, AWS_ENDPOINT_URL_STS => $issuer } },
	'backup-list', @place, '--env-dir', (rotate('KEY6', identity => 'another'), new_directory('none'))[-1], 1,
	qr{web identity, role "\Q$arn\E": the request was refused \(400 InvalidIdentityToken\)\n.*AWS_WEB_IDENTITY_TOKEN_FILE},
	'a web identity that is refused');

close($_) for values %input;
done_testing();
