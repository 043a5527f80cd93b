# Faults of the network between us and an S3 server, one small case each.
use strict;
use warnings;

use ForgeFaults;
use ForgeTest;
use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $name = '000000010000000000000001';
my $key = "wal_005/$name.zst";
my $segment = segment_file($name);
my $put = { operation => '^put$', key => 'wal_005' };

# --- what takes its time runs in the background meanwhile --------------------------------------------------------------

my $slow = start_fake();
my %job;
{
	my %bucket = map { ($_ => $slow->bucket) } qw(list check stalled drip);
	my $stored = $slow->bucket;
	$stored->put($key, segment_as_stored());
	sub rule { my ($b, $match, $do, @count) = @_; return { match => { bucket => "^$b->{name}\$", %$match }, do => $do, @count }; }
	my $silent = { stall => { at => 'before_answer' } };
	$slow->script(
		rule($bucket{list}, {}, $silent),
		rule($bucket{check}, {}, $silent),
		rule($bucket{stalled}, $put, { stall => { at => 'body', after => 300_000 } }, count => 1),
		rule($stored, { operation => 'get' }, { stall => { at => 'answer', after => 300_000 } }, count => 1),
		rule($bucket{drip}, $put, { read_rate => 50_000 }));
	$job{list} = $bucket{list}->start('backup-list');
	$job{check} = $bucket{check}->start('check');
	$job{push} = $bucket{stalled}->start('wal-push', $segment);
	$job{drip} = $bucket{drip}->start('wal-push', $segment);
	my $directory = new_directory('fetch');
	$job{fetched} = "$directory/file";
	$job{fetch} = $stored->start('wal-fetch', $name, $job{fetched});
	%bucket = (%bucket, stored => $stored);
	$job{bucket} = \%bucket;
}

# What wal-push makes of the segment.
sub segment_as_stored
{
	my $bucket = $slow->bucket;
	$bucket->archive($segment);
	return $bucket->content($key);
}

# --- connections -------------------------------------------------------------------------------------------------------

my $store = start_fake();
{
	my $bucket = $store->bucket;
	my $nobody = 'http://127.0.0.1:' . free_port();
	says($bucket->run({ AWS_ENDPOINT => $nobody }, 'backup-list'), 1, qr/could not connect to "127.0.0.1:\d+": Connection refused/,
		'N1: a refused connection is said after some attempts', seconds => 15);
	says($bucket->archive($segment, { AWS_ENDPOINT => $nobody }), 1, qr/could not write "\Q$key\E".*refused/,
		'N1: a segment that cannot be stored is not archived', seconds => 25);
}
{
	my $bucket = $store->bucket(once($put, { close => { at => 'before_answer', reset => JSON::PP::true } }));
	says($bucket->archive($segment), 0, qr/^$/, 'N5: a segment is stored although the answer to its upload never came');
	is($bucket->asked('put', qr/wal_005/), 2, 'N5: by a second request, which finds the work of the first');
	is($bucket->requests(operation => qr/^put$/, key => qr/wal_005/, status => qr/^200$/), 0, 'N5: and there is no second version');
	$bucket = $store->bucket(once($put, { close => { at => 'before_apply', reset => JSON::PP::true } }));
	says($bucket->archive($segment), 0, qr/^$/, 'N5: nor is it lost when the first upload came to nothing');
	is($bucket->asked('put', qr/wal_005/), 2, 'N5: it is sent again');
}
says($store->bucket->run({ AWS_ENDPOINT => 'http://no-such-host.invalid' }, 'backup-list'),
	1, qr/could not resolve the host name of "no-such-host.invalid"/, 'N6: an unknown host is said soon', seconds => 15);
{
	# The name leads to a dead end first and to the store later, while one command tries again and again. A hosts file of
	# its own hides that of the machine.
	my $bucket = $store->bucket;
	my $old = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.2', LocalPort => $store->{port}) or die "no socket: $!";
	my $hosts = write_text(new_directory('hosts') . '/hosts', "127.0.0.2 moving.example\n");
	my $env = $bucket->env(AWS_ENDPOINT => "http://moving.example:$store->{port}");
	my $job = $bucket->start(
		{ env_dir => $env, under => [ 'unshare', '-Urm', 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"', $hosts ] },
		'wal-push', $segment);
	ok(wait_until('the old address is tried', sub { IO::Select->new($old)->can_read(0) }), 'N6: a name is asked for its address');
	write_text($hosts, "127.0.0.1 moving.example\n");
	close($old);
	says($job->finish, 0, qr//, 'N6: when it is another one, the next attempt goes there');
	is(join(' ', $bucket->names), $key, 'N6: the segment is stored');
}
{
	# This name always has both addresses, and the store listens on one of them.
	my $local = start_fake(host => 'localhost');
	my $bucket = $local->bucket;
	says($bucket->archive($segment), 0, qr/^$/, 'N7: where IPv6 does not work, IPv4 does', seconds => 3);
	is(join(' ', $bucket->names), $key, 'N7: the segment is stored');
	stop_fake($local);
}

# --- our own clock -----------------------------------------------------------------------------------------------------

{
	# libfaketime reads the offset from a file, again and again; the clock that only counts on is not touched, as when an
	# administrator or NTP sets the time.
	my ($library) = glob('/usr/lib/*/faketime/libfaketimeMT.so.1') or BAIL_OUT('libfaketime is not installed');
	my @jumps = map { { by => $_, bucket => $store->bucket, clock => write_text(new_directory('clock') . '/clock', '+0') } } '+2h', '-2h';
	$store->script(map { { match => { bucket => "^$_->{bucket}{name}\$", %$put }, do => { read_rate => 250_000 } } } @jumps);
	for my $jump (@jumps)
	{
		my @under = ('env', "LD_PRELOAD=$library", 'FAKETIME_DONT_FAKE_MONOTONIC=1', 'FAKETIME_NO_CACHE=1', "FAKETIME_TIMESTAMP_FILE=$jump->{clock}");
		$jump->{under} = \@under;
		$jump->{job} = $jump->{bucket}->start({ under => \@under }, 'wal-push', $segment);
	}
	for my $jump (@jumps)
	{
		wait_until('the upload is under way', sub { grep { !$_->{done} } $jump->{bucket}->requests(operation => qr/^put$/, key => qr/wal_005/) });
		write_text($jump->{clock}, $jump->{by});
	}
	for my $jump (@jumps)
	{
		says($jump->{job}->finish, 0, qr/^$/, "S26: an upload goes on while the clock jumps by $jump->{by}");
		is($jump->{bucket}->asked('put', qr/wal_005/), 1, 'S26: and is made once');
		my ($now) = run_command([ @{ $jump->{under} }, 'date', '+%s' ]);
		cmp_ok(abs(abs($now - time()) - 7200), '<', 60, 'S26: it really jumps');
	}
	$store->script;
}

# --- TLS ---------------------------------------------------------------------------------------------------------------

my $certificates = new_directory('tls');

# A certificate that signed itself; returns the files.
sub certificate
{
	my ($what, $host, @more) = @_;
	my @files = ("$certificates/$what.crt", "$certificates/$what.key");
	my ($stdout, $stderr) = run_command([ 'openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
		'-nodes', '-subj', "/CN=$what", '-addext', "subjectAltName=$host", '-out', $files[0], '-keyout', $files[1], @more ]);
	-s $files[0] or BAIL_OUT("no certificate: $stderr");
	return \@files;
}

my $good = certificate('good', 'IP:127.0.0.1', '-days', 1);
my $wrong_name = certificate('wrong_name', 'DNS:elsewhere.example', '-days', 1);
my $expired = expired_certificate();

# Valid for one second that is over.
sub expired_certificate
{
	my @files = ("$certificates/expired.crt", "$certificates/expired.key");
	my $request = "$certificates/expired.csr";
	my $extensions = write_text("$certificates/expired.ext", "subjectAltName=IP:127.0.0.1\n");
	my $database = new_directory('ca');
	write_text("$database/index.txt", '');
	my $settings = write_text("$database/ca.conf",
		"[ca]\ndefault_ca = x\n[x]\ndatabase = $database/index.txt\nnew_certs_dir = $database\nrand_serial = yes\n"
		  . "default_md = sha256\npolicy = p\n[p]\ncommonName = supplied\n");
	run_command([ 'openssl', 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=expired',
		'-out', $request, '-keyout', $files[1] ]);
	my ($stdout, $stderr) = run_command([ 'openssl', 'ca', '-batch', '-selfsign', '-config', $settings, '-in', $request, '-keyfile',
		$files[1], '-out', $files[0], '-notext', '-extfile', $extensions, '-startdate', '20200101000000Z', '-enddate',
		'20200102000000Z' ]);
	-s $files[0] or BAIL_OUT("no certificate: $stderr");
	return \@files;
}

for my $row (
	[ 'the configured authority is trusted', $good, $good->[0], 0, qr/^$/ ],
	[ 'an unknown authority is refused', $good, undef, 1, qr/could not verify the certificate.*\n.*s3_ca_file/ ],
	[ 'another authority is refused', $good, $wrong_name->[0], 1, qr/could not verify the certificate/ ],
	[ 'a certificate for another host is refused', $wrong_name, $wrong_name->[0], 1, qr/could not verify the certificate.*127\.0\.0\.1/ ],
	[ 'an expired certificate is refused', $expired, $expired->[0], 1, qr/could not verify the certificate.*expired/ ],
	[ 'an old protocol is refused', $good, $good->[0], 1, qr/could not agree on TLS/, '--tls-old' ])
{
	my ($what, $identity, $authority, $code, $pattern, @options) = @$row;
	my $tls = start_fake(tls => $identity, options => \@options);
	says($tls->bucket->run({ $authority ? (S3_CA_CERT_FILE => $authority) : () }, 'backup-list'), $code, $pattern, "N8: $what");
	stop_fake($tls);
}

# --- answers -----------------------------------------------------------------------------------------------------------

my $page = { status => 200, body => '<html><body>Please log in</body></html>' };
my $not_s3 = qr/does not look like that of an S3 server.*\n.*proxy/;
says($store->bucket({ do => $page })->run('backup-list'), 1, $not_s3, 'N10: the page of a proxy is no listing');
says($store->bucket({ do => $page })->archive($segment), 1, $not_s3, 'N10: nor the acknowledgement of a segment');
{
	my $result = $store->bucket({ do => $page })->fetch($name);
	says($result, 200, $not_s3, 'N10: nor a segment');
	ok(!-e $result->{file}, 'N10: and nothing of it is left');
}
{
	my $large = '000000010000000000000001';
	my $file = segment_file($large, random_segment($large, 4 << 20));
	my $bucket = $store->bucket({ match => $put, do => { send_continue => JSON::PP::false } });
	says($bucket->archive($file), 0, qr/^$/, 'N11: who is never told to continue does so', seconds => 10);
	my ($request) = $bucket->requests(key => qr/wal_005/, operation => qr/put/);
	is($request->{headers}{expect}, '100-continue', 'N11: after having asked');
	cmp_ok($request->{ended} - $request->{time}, '<', 3, 'N11: and after a second');
}
{
	my $bucket = $store->bucket({ do => { close => { at => 'after_answer' } } });
	says($bucket->archive($segment), 0, qr/^$/, 'N12: connections that end while they are idle are replaced', seconds => 5);
	my %seen = map { ($_->{connection} => 1) } $bucket->requests;
	is(scalar keys %seen, scalar $bucket->requests, 'N12: each request has a connection of its own then');
	is($bucket->asked('put', qr/wal_005/), 1, 'N12: and none is repeated');
}
for my $row ([ 'fewer', 100 ], [ 'more', -100 ])
{
	my ($what, $delta) = @$row;
	my $bucket = $store->bucket;
	$bucket->archive($segment);
	my $wrong = { length_delta => $delta };
	$store->script(once({ operation => 'get' }, $wrong));
	my $result = $bucket->fetch($name);
	says($result, 0, qr//, "N14: an answer of $what bytes than it announces is asked for again");
	ok(-e $result->{file} && read_text($result->{file}) eq read_text($segment), "N14: $what bytes: the segment is whole");
	$store->script({ match => { operation => 'get' }, do => $wrong });
	$result = $bucket->fetch($name);
	says($result, 200, qr/\Q$key\E/, "N14: always $what bytes: an error that names the object");
	ok(!-e $result->{file}, "N14: always $what bytes: and nothing is left");
}

# --- a server ----------------------------------------------------------------------------------------------------------

my $other = certificate('other', 'IP:127.0.0.1', '-days', 1);
my $tls = start_fake(tls => $good);
my $authority = write_text("$certificates/authority.pem", read_text($good->[0]));
my $node = forge_node('primary', storage => undef, key => 0, conf => $tls->bucket->conf . "forge_backup.s3_ca_file = '$authority'\n");
{
	wait_archived($node);
	stop_fake($tls);
	$tls = start_fake(tls => $other, port => $tls->{port});
	my $waiting = switch_wal($node);
	ok( wait_until('the new certificate is refused',
			sub { archive_value($node, 'problem') =~ /could not verify the certificate/ }),
		'N9: a certificate of a new authority is refused');
	write_text("$authority.new", read_text($other->[0]));
	rename("$authority.new", $authority) or die "could not rename: $!";
	wait_archived($node, $waiting);
	is(archive_value($node, 'problem IS NULL'), 't', 'N9: until the file of authorities is replaced; nothing is restarted');
	stop_fake($tls);
}
{
	my $bucket = $store->bucket;
	$node->append_conf('postgresql.conf', $bucket->conf);
	$node->reload;
	wait_archived($node);
	wait_first_backup($node);    # the one into the storage of before has ended by then, and was said to have failed
	my ($before, $offset) = (archive_value($node, 'failed_count'), log_size($node));
	$store->script({ match => $put, do => { read_rate => 50_000 } });
	my @segments = map { switch_wal($node) } 1 .. 4;
	ok( wait_until('bytes arrive slowly', sub { grep { !$_->{done} && $_->{received} > 100_000 } $bucket->requests(operation => qr/^put$/) }),
		'N13: a store that takes 50 kB/s gets its bytes');
	cmp_ok(archive_value($node, 'backlog_bytes'), '>=', 3 << 20, 'N13: what waits is counted');
	is(archive_value($node, "failed_count - $before"), 0, 'N13: no attempt counts as failed');
	$store->script;
	wait_archived($node, $_) for @segments;
	log_lacks($node, $offset, qr/WARNING/, 'N13: and nothing is said in the log');
	is(archive_value($node, 'backlog_files'), 0, 'N13: the backlog is gone when the bandwidth is back');
}
{
	my $archived = archive_value($node, 'archived_count');
	$store->script({ match => $put, flap => { up => 1, down => 3 }, do => { status => 503, code => 'ServiceUnavailable' } });
	my $last;
	ok( wait_until('segments get through', sub {
				$last = switch_wal($node);
				return archive_value($node, 'archived_count') >= $archived + 3;
			}, 30), 'N15: a store that is down most of the time still gets segments');
	$store->script;
	wait_archived($node, $last);
	is(archive_value($node, 'breaker'), 'closed', 'N15: and all of them once it stays up');
}
$node->stop;

# --- what ran meanwhile ------------------------------------------------------------------------------------------------

for my $verb (qw(list check))
{
	my $result = $job{$verb}->finish;
	says($result, $verb eq 'list' ? 1 : 2, qr/no answer from "127.0.0.1:\d+" within 10 s/, "N2: $verb says that the store is silent");
	my @requests = $job{bucket}{$verb}->requests;
	is(scalar @requests, 1, "N2: $verb does not ask a silent store again");
}
says($job{push}->finish, 0, qr/^$/, 'N3: an upload that stalls is given up and made again');
is($job{bucket}{stalled}->asked('put', qr/wal_005/), 2, 'N3: with a second request');
says($job{drip}->finish, 0, qr/^$/, 'N13: an upload that is slow is no failure');
is($job{bucket}{drip}->asked('put', qr/wal_005/), 1, 'N13: and is made once');
says($job{fetch}->finish, 0, qr/^(forge-backup: warning: .*stalled.*\n)?$/, 'N4: a download that stalls is given up and made again');
ok(read_text($job{fetched}) eq read_text($segment), 'N4: the segment is whole');
is($job{bucket}{stored}->asked('get'), 2, 'N4: it was asked for twice');

done_testing();
