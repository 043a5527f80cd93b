# rekey on an S3 store: an object is replaced only in the place of the one that was read, by the store's own condition where
# it has one; what is killed leaves no half object; errors of the store end it with everything readable.
use strict;
use warnings;

use ForgeFaults;
use ForgeTest;
use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

my $store = start_fake();
my ($old, $new) = (key_file($key_hex), key_file('f0' x 32));
my $system = 7710922509866642591; # of the golden bucket
my @rekey = ('rekey', '--encryption-key-files', "$new,$old");
my @confirm = ('--confirm', '--system-identifier', $system, '--jobs', 1);
my $golden = source_dir() . '/test/data/walg/main/store';
my ($history) = grep { /history/ } tree($golden);

# The bucket that WAL-G wrote.
sub golden { return $store->bucket(@_)->fill($golden); }
sub is_whole
{
	my ($bucket, $ring, $text) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return says($bucket->run('verify', '--all', '--encryption-key-files', $ring), 0, qr/no problem found/, $text);
}

# --- a store with conditional writes ---------------------------------------------------------------------------------

my $bucket = golden();
says($bucket->run(@rekey), 0, qr/^\w+ +old +[1-9]\d* /m, 'dry run: it tells');
is(scalar($bucket->requests(operation => qr/^(put|delete|create-upload)$/)), 0, 'and writes nothing');
my %before = map { $_ => $bucket->content($_) } $bucket->names;
says($bucket->run(@rekey, @confirm), 0, qr/is no longer needed: you may remove it/, 'S7: all is encrypted anew');
my @puts = grep { $_->{key} =~ m{/(basebackups|wal)_005/} && ($_->{headers}{'if-match'} // $_->{headers}{'If-Match'}) } $bucket->requests(operation => qr/^put$/);
is(scalar(@puts), scalar(grep { !/\.json$/ } keys %before), 'S7: each on the condition that it is still the one that was read');
is_whole($bucket, $new, 'with the new key alone all can be read');
is($bucket->content($_), $before{$_}, "$_ is as it was") for grep { /\.json$/ } keys %before;
says($bucket->run(@rekey, @confirm), 0, qr/encrypted anew with key \w+: 0 objects/, 'again: nothing to do');

# Not the owner.
$bucket = golden();
$bucket->put('forge_owner.json', qq({"format":1,"requires":[],"id":"@{[ 'a' x 32 ]}","system_identifier":$system,"cluster_name":"shop","namespace":"","created_by":"test","created_at":"2026-11-22T09:17:34Z"}\n));
says($bucket->run(@rekey, '--confirm', '--system-identifier', 1), 1, qr/belongs to/, 'H4: another cluster does not touch it');
is($bucket->asked('put'), 0, 'H4: nothing was written');
says($bucket->run(@rekey, @confirm), 0, qr/no longer needed/, 'its own does');

# Somebody else is faster.
$bucket = golden({ match => { method => 'PUT', header => { 'if-match' => '.' }, key => "$history\$" }, count => 1, do => { status => 412, code => 'PreconditionFailed' } });
my $lost = $bucket->run(@rekey, @confirm);
says($lost, 1, qr/problem with \Q$history\E: .*was replaced meanwhile/, 'S7: an object that was replaced meanwhile is told and left');
says($lost, 1, qr/is still needed: 1 object/, 'S7: and its key is needed');
is_whole($bucket, "$new,$old", 'S7: all can be read');

# The answer to a write is lost: it is asked what came of it.
$bucket = golden({ match => { method => 'PUT', header => { 'if-match' => '.' }, key => "$history\$" }, count => 1, do => { apply => JSON::PP::true, close => { at => 'before_answer', reset => JSON::PP::true } } });
says($bucket->run(@rekey, @confirm), 0, qr/no longer needed/, 'N5: a write without answer counts as what it was');
is_whole($bucket, $new, 'N5: and all can be read');

# The store fails on the way.
$bucket = golden({ match => { method => 'PUT', key => 'wal_005/' }, skip => 20, do => { status => 403, code => 'AccessDenied' } });
isnt($bucket->run(@rekey, @confirm)->{code}, 0, 'S1: a store that refuses ends it');
$store->script;
is_whole($bucket, "$new,$old", 'S1: all can be read');
says($bucket->run(@rekey, @confirm), 0, qr/no longer needed/, 'S1: the same command goes on');
is_whole($bucket, $new, 'S1: with the new key alone all can be read');

# --- a store without -----------------------------------------------------------------------------------------------------

$bucket = golden({ match => {}, do => { ignore_conditions => JSON::PP::true } });
says($bucket->run(@rekey, @confirm), 0, qr/no longer needed/, 'S8: a store that ignores conditions is looked at before each write');
is(scalar($bucket->requests(operation => qr/^put$/, key => qr/\Q$history\E$/)), 1, 'S8: each object is written once');
cmp_ok(scalar($bucket->requests(operation => qr/^head$/, key => qr/\Q$history\E$/)), '>', 0, 'S8: and looked at before');
is_whole($bucket, $new, 'S8: with the new key alone all can be read');

done_testing();
