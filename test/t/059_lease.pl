# One base backup below a prefix at a time, whoever makes it.
use strict;
use warnings;

use ForgeFaults;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $store = start_fake();
my $bucket = $store->bucket;
my $primary = forge_node('primary', storage => undef, conf => $bucket->conf);
wait_first_backup($primary);
my $standby = forge_standby($primary, 'standby', conf => $bucket->conf);
my $part = { operation => '^put$', key => 'tar_partitions' };

sub lease_is_held { return scalar grep { $_ eq 'forge_lease.json' } $bucket->names; }
sub sentinels { return scalar grep { /_backup_stop_sentinel\.json$/ } $bucket->names; }

ok(!lease_is_held(), 'nobody holds a lease while no base backup is made');

# --- two at the same time ----------------------------------------------------------------------------------------------

$store->script({ match => { bucket => "^$bucket->{name}\$", %$part }, do => { stall => { at => 'before_answer' } } });
my $before = sentinels();
my $session = $primary->background_psql('postgres');
$session->query_until(qr/started/, "\\echo started\nSELECT forge_backup.trigger_basebackup();\n");
wait_until('the primary makes a base backup', \&lease_is_held);
my ($code, $out, $err) = $standby->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
isnt($code, 0, 'H8: a second one is not made at the same time');
like($err, qr/a base backup is being made by "[^"]*\Q@{[ $primary->data_dir ]}\E"/, 'H8: it is said who makes one');
$store->script;
wait_until('the first is complete', sub { sentinels() == $before + 1 }, 90);
wait_until('its lease is gone', sub { !lease_is_held() });
$session->quit;

# --- a holder that cannot renew ----------------------------------------------------------------------------------------

$store->script(
	{ match => { bucket => "^$bucket->{name}\$", method => 'PUT', key => 'forge_lease' }, skip => 1, do => { status => 503, code => 'ServiceUnavailable' } },
	{ match => { bucket => "^$bucket->{name}\$", method => 'PUT', key => 'tar_partitions' }, do => { read_rate => 20_000 } });
my $begin = time();
($code, $out, $err) = $primary->psql('postgres', 'SELECT forge_backup.trigger_basebackup()', timeout => 120);
isnt($code, 0, 'C14: a base backup whose lease cannot be renewed ends');
like($err, qr/the lease of base backups could not be renewed in time/, 'C14: and says why');
cmp_ok(time() - $begin, '<', 60, 'C14: within the time of the lease');
is(sentinels(), $before + 1, 'C14: there is no such base backup');

# The same member takes its own lease over at once.
$store->script;
my $name = $primary->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
is(sentinels(), $before + 2, "the next one is made: $name");
ok(!lease_is_held(), 'and lets its lease go');

$_->stop for $standby, $primary;
done_testing();
