# Faults of an S3 store itself, one small case each: what it refuses, forgets, repeats, mixes up or damages.
use strict;
use warnings;

use ForgeFaults;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $name = '000000010000000000000001';
my $key = "wal_005/$name.zst";
my $segment = segment_file($name);
my $golden = source_dir() . '/test/data/walg/main/store';
my $full = 'base_000000010000000000000003';
my $store = start_fake();
my $put = { operation => '^put$', key => 'wal_005' };
my $get = { operation => '^get$' };

# A bucket in which the segment lies already, with rules from then on.
sub stored
{
	my (@rules) = @_;
	my $bucket = $store->bucket;
	$bucket->archive($segment);
	$store->script(@rules);
	return $bucket;
}

# Three base backups made by WAL-G, with rules from then on.
sub backups
{
	my (@rules) = @_;
	my $bucket = $store->bucket;
	$bucket->{key_file} = key_file();
	$bucket->fill($golden);
	$store->script(@rules);
	return $bucket;
}

# --- what is not allowed -----------------------------------------------------------------------------------------------

{
	my $bucket = stored({ match => { operation => 'put' }, do => { status => 403, code => 'AccessDenied' } });
	my $other = segment_file('000000010000000000000002');
	says($bucket->archive($other), 1, qr/"wal_005\/000000010000000000000002.zst": access denied \(403 AccessDenied.*\n.*hint: .*write/,
		'S1: a store that may not be written to says so, and what to allow', seconds => 5);
	is($bucket->asked('put', qr/wal_005.*2\.zst/), 1, 'S1: it is not asked over and over');
	says($bucket->run('backup-list'), 0, qr/^$/, 'S1: listing works');
	says($bucket->fetch($name), 0, qr/^$/, 'S1: reading works');
}
for my $code (qw(SignatureDoesNotMatch InvalidAccessKeyId))
{
	my $bucket = $store->bucket({ do => { status => 403, code => $code, message => 'key hidden-words' } });
	says($bucket->run('backup-list'), 1, qr/does not (accept|know).*403 $code.*\n.*hint: .*AWS_ACCESS_KEY_ID/,
		"S2: $code says which settings to correct", seconds => 5);
	is(scalar $bucket->requests, 1, "S2: $code is not asked for again");
}
{
	my $bucket = stored({ match => { header => { authorization => 'Credential=old/' } }, do => { status => 403, code => 'InvalidAccessKeyId' } });
	my $env = $bucket->env(AWS_ACCESS_KEY_ID => 'old');
	my $file = new_directory('fetch') . '/file';
	my $job = $bucket->start({ env_dir => $env }, 'wal-fetch', $name, $file);
	wait_until('the first attempt', sub { $bucket->requests(status => qr/403/) });
	ok(!-e $file, 'S2: a restore waits for credentials that are good');
	write_text("$env/AWS_ACCESS_KEY_ID", "new\n", 0600);
	says($job->finish, 0, qr/warning: .*; trying again/, 'S2: and goes on with those written meanwhile');
}
{
	my $ahead = time() + 7200;
	my @names = qw(Sun Mon Tue Wed Thu Fri Sat);
	my @months = qw(Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec);
	my @t = gmtime($ahead);
	my $date = sprintf('%s, %02d %s %d %02d:%02d:%02d GMT', $names[ $t[6] ], $t[3], $months[ $t[4] ], $t[5] + 1900, @t[ 2, 1, 0 ]);
	my $day_and_hour = sprintf('%04d%02d%02dT%02d', $t[5] + 1900, $t[4] + 1, @t[ 3, 2 ]);
	my $bucket = $store->bucket(once({}, { status => 403, code => 'RequestTimeTooSkewed', headers => { Date => $date } }));
	says($bucket->run('backup-list'), 0, qr/warning: the clock of this host differs by .* from that of the store.*Set the clock/,
		'S3: a wrong clock is corrected for, and said');
	my @requests = $bucket->requests;
	is(scalar @requests, 2, 'S3: by one more request');
	like($requests[1]{headers}{'x-amz-date'}, qr/^$day_and_hour/, 'S3: which has the time of the store');
}
{
	my $expired = { status => 400, code => 'ExpiredToken' };
	says($store->bucket({ do => $expired })->run({ AWS_SESSION_TOKEN => 'old' }, 'backup-list'), 1, qr/expired.*400 ExpiredToken.*\n.*AWS_SESSION_TOKEN/,
		'S4: an expired token says what to renew');
	my $bucket = stored({ match => { header => { 'x-amz-security-token' => 'old' } }, do => $expired });
	my $env = $bucket->env(AWS_SESSION_TOKEN => 'old');
	my $file = new_directory('fetch') . '/file';
	my $job = $bucket->start({ env_dir => $env }, 'wal-fetch', $name, $file);
	wait_until('the first attempt', sub { $bucket->requests(status => qr/400/) });
	write_text("$env/AWS_SESSION_TOKEN", "new\n", 0600);
	says($job->finish, 0, qr/trying again/, 'S4: a restore goes on with the token written meanwhile');
}

# --- what is missing, there already, or somewhere else -----------------------------------------------------------------

says($store->bucket->fetch($name), 74, qr/has no file|^$/, 'S5: NoSuchKey is a missing segment');
{
	my $bucket = $store->bucket({ do => { status => 404, code => 'NoSuchBucket' } });
	my $missing = qr/bucket "b\d+" does not exist.*\n.*hint: Create the bucket/;
	says($bucket->fetch($name), 200, $missing, 'S5: NoSuchBucket is none');
	says($bucket->run('backup-list'), 1, $missing, 'S5: nor is it a store without backups');
}
for my $code (qw(OperationAborted ConditionalRequestConflict))
{
	my $bucket = $store->bucket(once($put, { status => 409, code => $code }, 2));
	says($bucket->archive($segment), 0, qr/^$/, "S6: $code is tried again");
	is($bucket->asked('put', qr/wal_005/), 3, "S6: $code: until it works");
}
{
	my $bucket = stored();
	my $before = $bucket->content($key);
	says($bucket->archive($segment), 0, qr/^$/, 'S7: the same segment again is archived');
	says($bucket->archive(segment_file($name)), 1, qr/already archived with different content.*sha256.*\n.*new prefix/,
		'S7: other content under its name is refused');
	ok($bucket->content($key) eq $before, 'S7: and nothing is replaced');
	is($bucket->requests(operation => qr/^put$/, key => qr/wal_005/, status => qr/412/), 2, 'S7: the store itself refused both');
}
{
	my $bucket = $store->bucket({ match => { operation => 'put' }, do => { ignore_conditions => JSON::PP::true } });
	says($bucket->archive($segment), 0, qr/^$/, 'S8: a store that ignores conditions is written to');
	says($bucket->archive(segment_file($name)), 1, qr/different content/, 'S8: other content is refused there too');
	is($bucket->requests(operation => qr/^put$/, key => qr/wal_005/), 1, 'S8: since it is looked for first');
}

# --- what is too much, or fails ----------------------------------------------------------------------------------------

for my $answer ([ 429, 'TooManyRequests', 1 ], [ 503, 'SlowDown', 2 ], [ 503, 'SlowDown' ])
{
	my ($status, $code, $after) = @$answer;
	my $bucket = $store->bucket(once($put, { status => $status, code => $code, $after ? (headers => { 'Retry-After' => "$after" }) : () }));
	my $what = $after ? "$status with Retry-After" : "$status without Retry-After";
	says($bucket->archive($segment), 0, qr/^$/, "S9: $what is tried again");
	my @requests = $bucket->requests(operation => qr/^put$/, key => qr/wal_005/);
	cmp_ok($requests[1]{time} - $requests[0]{ended}, '>=', $after // 0.5, "S9: $what: after the pause");
}
for my $row ([ 500, 'InternalError' ], [ 502, 'BadGateway' ], [ 503, 'ServiceUnavailable' ], [ 504, 'GatewayTimeout' ])
{
	my ($status, $code) = @$row;
	says($store->bucket(once($put, { status => $status, code => $code }))->archive($segment), 0, qr/^$/, "S10: $status is tried again");
}
for my $row ([ 501, 'NotImplemented' ], [ 405, 'MethodNotAllowed' ])
{
	my ($status, $code) = @$row;
	my $bucket = $store->bucket({ match => { operation => 'put' }, do => { status => $status, code => $code } });
	says($bucket->archive($segment), 1, qr/does not support.*$status $code/, "S10: $status is permanent", seconds => 5);
	is($bucket->asked('put', qr/wal_005/), 1, "S10: $status is not asked for again");
}
{
	my $moved = { status => 301, code => 'PermanentRedirect', headers => { 'x-amz-bucket-region' => 'eu-north-1' } };
	my $bucket = $store->bucket({ match => { header => { authorization => '/us-east-1/' } }, do => $moved });
	says($bucket->run('backup-list'), 0, qr/^$/, 'S11: a bucket of another region is asked with the right signature');
	is(scalar $bucket->requests, 2, 'S11: after one redirect');
	my $elsewhere = start_fake();
	$moved = { status => 307, code => 'TemporaryRedirect', headers => { Location => "http://localhost:$elsewhere->{port}/" } };
	says($store->bucket({ do => $moved })->run('backup-list'), 1, qr/served elsewhere.*307.*\n.*region and the endpoint/,
		'S11: a redirect to another host is refused');
	is(scalar $elsewhere->requests, 0, 'S11: and not followed');
	stop_fake($elsewhere);
}

# --- uploads -----------------------------------------------------------------------------------------------------------

{
	my $wrong = { etag => '"00112233445566778899aabbccddeeff"' };
	my $bucket = $store->bucket(once({ operation => 'put', key => 'wal_005' }, $wrong));
	says($bucket->archive($segment), 0, qr/^$/, 'S13: a segment that arrived damaged is sent again');
	is($bucket->asked('head', qr/wal_005/), 1, 'S13: and what is there is looked at');
	my $always = { operation => '^(put|head|get)$', key => 'wal_005' };
	says($store->bucket({ match => $always, do => $wrong })->archive($segment), 1, qr/"\Q$key\E".*received other content than was sent/,
		'S13: one that always does is not archived');
	says($store->bucket({ match => $always, do => { no_headers => ['ETag'] } })->archive($segment), 1,
		qr/"\Q$key\E".*does not look like that of an S3 server/, 'S13: an answer without ETag is no acknowledgement');
}

# --- what is stored is not what it was ---------------------------------------------------------------------------------

{
	my $result = stored({ match => $get, do => { corrupt_at => 500_000 } })->fetch($name);
	says($result, 200, qr/\Q$key\E/, 'S14: a flipped bit is an error that names the object');
	ok(!-e $result->{file}, 'S14: and nothing of it is left');
}
for my $length (0, 24, 65_560)
{
	my $bucket = $store->bucket;
	$bucket->{key_file} = key_file();
	$bucket->archive($segment);
	$bucket->put($key, substr($bucket->content($key), 0, $length));
	my $result = $bucket->fetch($name);
	says($result, 200, qr/\Q$key\E/, "S15: an object cut to $length bytes is an error that names it");
	ok(!-e $result->{file}, "S15: cut to $length bytes: nothing of it is left");
}
{
	my $bucket = backups();
	my ($part) = grep { m{/$full/tar_partitions/part} } $bucket->names;
	my ($other) = grep { m{/base_000000010000000000000005.*/tar_partitions/part} } $bucket->names;
	for my $row (
		[ 'a part from another backup', sub { $bucket->put($part, $bucket->content($other)) } ],
		[ 'a missing part', sub { $store->request('DELETE', "/$bucket->{name}/shop/$part") } ])
	{
		my ($what, $damage) = @$row;
		$damage->();
		my $target = new_directory('target') . '/data';
		my $result = $bucket->run('restore', '--target-dir', $target, '--backup', $full);
		says($result, 1, qr/part|\Q$full\E/, "S16: $what makes a restore fail");
		ok(!-e "$target/global/pg_control", "S16: $what: what is there cannot be started");
	}
	says($bucket->run('check'), 1, qr/^parts +warning  backup "$full" was stored with 2800647 bytes of parts, and has \d+\n.*rules of the bucket/m,
		'S24: check notices that parts are gone which the newest backup needs');
	says($bucket->run('verify', $full), 1, qr/\Q$part\E|part_\d+/, 'S24: verify notices a part that a rule of the bucket deleted');
}

# --- listings ----------------------------------------------------------------------------------------------------------

my $list = { operation => '^list$' };
{
	my $bucket = backups();
	my $expected = $bucket->run('backup-list', '--json')->{out};
	for my $row ([ 'pages of one entry', { max_keys => 1 } ], [ 'pages without order', { unsorted => JSON::PP::true } ])
	{
		my ($what, $do) = @$row;
		$store->script({ match => $list, do => $do });
		is($bucket->run('backup-list', '--json')->{out}, $expected, "S18: $what give the whole listing");
	}
	$store->script({ match => $list, do => { max_keys => 1, repeat_token => JSON::PP::true } });
	says($bucket->run('backup-list'), 1, qr/does not continue its listing|not in order/, 'S18: the same token twice is an error, not a loop', seconds => 10);
	$bucket->put("wal_005/odd & <name> +%20 \x{c3}\x{a4}" =~ s/([^A-Za-z0-9_\/])/sprintf('%%%02X', ord $1)/ger, 'x');
	$store->script;
	says($bucket->run('wal-show'), 0, qr/^[^\n]*\n/, 'S18: keys with odd characters do no harm');
}

# --- deleting ----------------------------------------------------------------------------------------------------------

{
	my $bucket = backups();
	for my $age (3600, 30 * 86400)
	{
		$store->request('POST', "/$bucket->{name}/shop/wal_005/left-$age.zst?uploads", '', 'x-fake-modified' => int(time() - $age));
	}
	says($bucket->run('delete', 'garbage', '--confirm'), 0, qr/1 unfinished upload/, 'S19: an old upload that nobody completes is removed');
	is(join(' ', map { $_->{key} } values %{ decode_json($store->request('GET', '/__uploads')) }), 'shop/wal_005/left-3600.zst',
		'S19: one that may still run is not');
}
{
	my $bucket = backups({ match => { operation => 'delete' }, do => { locked => "/$full/" } });
	says($bucket->run('delete', 'everything', '--confirm'), 1, qr/refused to delete \d+ object.*\n.*locked/, 'S21: locked objects are skipped and counted', seconds => 10);
	ok(!(grep { m{_005/(?!$full/)} && /sentinel/ } $bucket->names), 'S21: what is not locked is deleted');
	ok((grep { m{/$full/} } $bucket->names), 'S21: what is locked is still there');
}
for my $row ([ 403, 'QuotaExceeded' ], [ 507, 'XMinioStorageFull' ])
{
	my ($status, $code) = @$row;
	my $bucket = backups({ match => { operation => 'put' }, do => { status => $status, code => $code } });
	says($bucket->archive($segment), 1, qr/the store is full \($status $code.*\n.*hint: .*delete old backups/, "S22: $code says that the store is full", seconds => 5);
	says($bucket->run('delete', 'everything', '--confirm'), 0, qr/deleted 3 backups/, "S22: $code: deleting works");
}
{
	my $result = stored({ match => $get, do => { status => 403, code => 'InvalidObjectState' } })->fetch($name);
	says($result, 200, qr/"\Q$key\E".*archive tier.*InvalidObjectState.*\n.*hint: .*restore the object/, 'S23: an object in an archive tier is named, with the way out');
}
for my $row ([ 400, 'KMS.DisabledException' ], [ 403, 'KMS.KMSInvalidStateException' ])
{
	my ($status, $code) = @$row;
	my $bucket = $store->bucket({ match => { operation => 'put' }, do => { status => $status, code => $code, message => 'key is disabled' } });
	says($bucket->archive($segment), 1, qr/"\Q$key\E".*key service.*\($status $code.*\n.*hint: .*key/, "S25: $code is permanent and names the key service", seconds => 5);
	is($bucket->asked('put', qr/wal_005/), 1, "S25: $code is not asked for again");
}

# --- a server ----------------------------------------------------------------------------------------------------------

my $bucket = $store->bucket;
my $node = forge_node('primary', storage => undef, key => 0, conf => $bucket->conf . "forge_backup.upload_concurrency = 8\n");
my $backups = 'SELECT count(*) FROM forge_backup.backup_list()';
{
	wait_until('the first base backup', sub { $node->safe_psql('postgres', $backups) == 1 });
	$node->safe_psql('postgres', "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)");
	$store->script(once({ operation => 'complete-upload' }, { status => 200,
				body => '<?xml version="1.0"?><Error><Code>InternalError</Code></Error>' }));
	$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	ok(wait_until('the second base backup', sub { $node->safe_psql('postgres', $backups) == 2 }),
		'S12: an error inside an answer of success is no success, and a base backup goes on');
	cmp_ok($bucket->asked('complete-upload'), '>=', 2, 'S12: the end of the upload is asked for again');
	my @parts = $bucket->requests(operation => qr/^upload-part$/);
	my %last = map { ($_->{query} =~ /uploadId=([^&]*)/ => $_->{number}) } @parts;
	my %is_last = map { ($_ => 1) } values %last;
	is(scalar(grep { $_->{received} < 5 << 20 && !$is_last{ $_->{number} } } @parts), 0, 'S20: no part but the last is smaller than a store allows');
	is(scalar(grep { $_->{bucket} eq $bucket->{name} } values %{ decode_json($store->request('GET', '/__uploads')) }),
		0, 'S19: no upload is left open');
}
{
	# What helpers that were killed left behind goes when the next base backup begins, beside it.
	my %left = map { ($_ => "/$bucket->{name}/$_?uploads") } 'shop/basebackups_005/base_0/tar_partitions/part_001.tar.zst', 'shop/wal_005/old.zst', 'other/old';
	$store->request('POST', $_, '', 'x-fake-modified' => int(time() - 2 * 86400)) for values %left;
	$store->request('POST', "/$bucket->{name}/shop/basebackups_005/young?uploads", '', 'x-fake-modified' => int(time() - 3600));
	my $offset = log_size($node);
	$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	wait_until('the log tells', sub { log_since($node, $offset) =~ /LOG: .*removed 2 unfinished uploads that were older than a day/ });
	is(join(' ', sort map { $_->{key} } grep { $_->{bucket} eq $bucket->{name} } values %{ decode_json($store->request('GET', '/__uploads')) }),
		'other/old shop/basebackups_005/young', 'S19: at the begin of a base backup old uploads below our folders are removed, and no others');

	# A store that refuses to tell costs the backup nothing, and the log no line.
	$offset = log_size($node);
	$store->script({ match => { operation => 'list-uploads' }, do => { status => 403, code => 'AccessDenied' } });
	$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	cmp_ok(scalar($bucket->requests(operation => qr/^list-uploads$/, status => qr/^403$/)), '>', 0, 'S19: uploads were asked for again');
	log_lacks($node, $offset, qr/WARNING|ERROR|unfinished/, 'S19: a store that does not list uploads is no trouble');
	$store->script;
}
{
	my ($sentinel) = reverse grep { /_backup_stop_sentinel\.json$/ } $bucket->names;
	my ($backup) = $sentinel =~ m{/(base_\w+)_backup_stop};
	my $text = $bucket->content($sentinel);
	says($bucket->run('verify', $backup), 0, qr//, 'S17: a base backup is whole');
	$bucket->put($sentinel, $text =~ s/"Hostname": ?"/$&older-/r);
	$bucket->put($sentinel, $text);
	$store->script({ match => { key => '_backup_stop_sentinel' }, do => { old_version => JSON::PP::true } });
	says($bucket->run('verify', $backup), 1, qr/sentinel/, 'S17: an older version of its sentinel is noticed');
	my $target = new_directory('target') . '/data';
	says($bucket->run('restore', '--target-dir', $target, '--backup', $backup), 1, qr/sentinel/, 'S17: and not restored by');
	ok(!-e "$target/global/pg_control", 'S17: nothing is there that could be started');
	$store->script;
}
{
	wait_archived($node);
	my $offset = log_size($node);
	$store->script({ match => $put, do => { status => 403, code => 'AccessDenied' } });
	my $waiting = switch_wal($node);
	ok( wait_until('the store is left alone', sub { archive_value($node, 'breaker') eq 'open' }, 10), 'S1: a denial is known at once');
	like(archive_value($node, 'problem'), qr/access denied \(403 AccessDenied/, 'S1: with its reason');
	my $next = archive_value($node, 'extract(epoch FROM next_try - now())');
	ok($next > 30 && $next <= 56, "S1: the next attempt is due in a minute") or diag($next);
	my $asked = $bucket->asked('put', qr/wal_005/);
	my $failed = archive_value($node, 'failed_count');
	switch_wal($node) for 1 .. 30;
	wait_until('the archiver comes by again', sub { archive_value($node, 'failed_count') >= $failed + 3 });
	is($bucket->asked('put', qr/wal_005/), $asked, 'S1: until then it is not asked');
	is($node->safe_psql('postgres', $backups), 4, 'S1: reading works');
	my @lines = log_since($node, $offset) =~ /^.*WARNING:.*forge_backup.*$/mg;
	is(scalar @lines, 1, 'S1: one line in the log') or diag(join("\n", @lines));
	like($lines[0], qr/forge_backup: could not archive "$waiting".*access denied/, 'S1: which names the segment');

	# 30 segments wait. When they may go out, eight at a time, the store finds that too many.
	$store->script(
		{ match => $put, skip => 9, count => 3, do => { status => 503, code => 'SlowDown', delay => 0.3 }, name => 'too many' },
		{ match => $put, do => { delay => 0.3 }, name => 'slow' });
	write_text("$bucket->{secrets}/AWS_ACCESS_KEY_ID", "another\n", 0600);
	wait_archived($node, name_after($waiting, 30));
	pass('S2: other credentials are tried at once');
	like(log_since($node, $offset), qr/archiving works again/, 'S1: and the log says that it works again');

	my @puts = grep { ($_->{rule} // '') =~ /slow|too many/ } $bucket->requests(operation => qr/^put$/, key => qr/wal_005/);
	my ($refused) = sort map { $_->{ended} } grep { $_->{rule} eq 'too many' } @puts;
	my @after = grep { $_->{time} > $refused + 0.4 } @puts;
	my ($most_before, $most_after) = map { at_once(@$_) } [ grep { $_->{time} < $refused } @puts ], [ @after[ 0 .. 7 ] ];
	cmp_ok($most_before, '>=', 5, 'S9: segments go out side by side');
	cmp_ok($most_after, '<=', $most_before / 2 + 1, 'S9: half as many do after the store asked to slow down') or diag("$most_before, then $most_after");
	cmp_ok($after[0]{time} - $refused, '>=', 0.4, 'S9: after a pause of all');
}
$node->stop;

# How many requests were under way at the same time.
sub at_once
{
	my (@requests) = @_;
	my $most = 0;
	for my $one (@requests)
	{
		my $count = grep { $_->{time} <= $one->{time} && $one->{time} < $_->{ended} } @requests;
		$most = $count if $count > $most;
	}
	return $most;
}

done_testing();
