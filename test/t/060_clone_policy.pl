# What a copy of another cluster does about backups of its own, as the setting clone_policy says; and what is said about a
# cluster that was restored under its own name.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = forge_node('source');
$source->safe_psql('postgres', 'CREATE TABLE lines AS SELECT 1 AS n');
wait_archived($source);
my $bucket = bucket_of($source);
my @source_files = files_of($bucket);

# --- warn ----------------------------------------------------------------------------------------------------------------

my $own = new_directory('own');
my $clone = clone_of($source, 'clone', $own, '');
like(read_text($clone->data_dir . '/forge_backup.restored'), qr/^source_cluster = source$/m,
	"the marker names the source by its owner's record");
my $offset = 0;
wait_first_backup($clone);
wait_until('what it has stored is measured', sub { status_value($clone, 'clone_stored') =~ /^[1-9]/ });
like(status_value($clone, 'clone_of'), qr/^source \| 20\d\d-/, 'status() names the source, and since when');
like(status_value($clone, 'setting.clone_policy'), qr/^warn \| /, 'and the policy');
is(findings($clone), 'warning', 'check() has a finding');
like(finding($clone), qr/copy of cluster "source", restored at 20\d\d-.*stored so far below "file:\/\/\Q$own\E"/, 'with source, moment and size');
my @warnings = log_since($clone, $offset) =~ /(WARNING:.*this server is a copy of cluster "source" and stores WAL[^\n]*)/g;
is(scalar @warnings, 1, 'the log says it once') or diag(@warnings);
$clone->safe_psql('postgres', 'SELECT pg_reload_conf()');
wait_archived($clone);
$clone->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
@warnings = log_since($clone, $offset) =~ /(WARNING:.*this server is a copy)/g;
is(scalar @warnings, 1, 'and not again within the hour');
is_deeply([files_of($bucket)], \@source_files, 'H5: a copy with a prefix of its own writes nothing to its source');

# --- off -----------------------------------------------------------------------------------------------------------------

set_policy($clone, 'off');
wait_until('the state is off', sub { status_value($clone, 'state') =~ /^off \| as clone_policy says/ });
$offset = log_size($clone);
my $dropped = switch_wal($clone);
wait_until('its WAL is accepted', sub { archive_state($clone, $dropped) ne 'ready' });
wait_until('a reload turns it off, and the log says so once',
	sub { log_since($clone, $offset) =~ /WARNING:.*copy of another cluster, WAL is accepted and dropped/ });
my $second = switch_wal($clone);
wait_until('more WAL is accepted', sub { archive_state($clone, $second) ne 'ready' });
@warnings = log_since($clone, $offset) =~ /(accepted and dropped)/g;
is(scalar @warnings, 1, 'once');
my @own_files = files_of($own);
is(scalar(grep { /$dropped|$second/ } @own_files), 0, 'nothing of it is stored');
my ($code, $out, $err) = $clone->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
like($err, qr/copy of cluster "source", and forge_backup.clone_policy is "off"/, 'no base backup is made, and the reason is said');
like($err, qr/Set forge_backup.clone_policy to "on" or "warn"/, 'with what to do');
($code, $out, $err) = $clone->psql('postgres', 'SELECT * FROM forge_backup.backup_list()');
like($err, qr/clone_policy is "off"/, 'the same for a look into the store');
my ($pushed, undef, $said) = forge_cli({ cwd => $clone->data_dir }, 'wal-push', "pg_wal/$second");
is($pushed, 0, 'the command wal-push accepts WAL as well');
like($said, qr/dropped "$second": this server is a copy of cluster "source"/, 'and says that it drops it');
cli_fails({ env => { PGHOST => $clone->host, PGPORT => $clone->port, PGDATABASE => 'postgres' } }, 'backup-push', '--direct', $clone->data_dir,
	1, qr/copy of cluster "source", and forge_backup.clone_policy is "off"/, 'nor does backup-push make a base backup');
is_deeply([files_of($own)], \@own_files, 'nothing is written');
like($clone->safe_psql('postgres', q{SELECT detail FROM forge_backup."check"(quick => true) WHERE "check" = 'configuration'}),
	qr/copy of cluster "source"/, 'check() says why nothing is stored');

# --- on ------------------------------------------------------------------------------------------------------------------

my $backups = () = backup_names($own);
$offset = log_size($clone);
set_policy($clone, 'on');
wait_until('switched on again, a base backup is made at once', sub { (() = backup_names($own)) > $backups });
is(findings($clone), '', 'with "on" check() has no finding');
unlike(log_since($clone, $offset), qr/this server is a copy/, 'nor the log');
like(status_value($clone, 'clone_of'), qr/^source/, 'status() still knows');

set_policy($clone, 'perhaps');
wait_until('a wrong policy is an error', sub { status_value($clone, 'configuration_problem') =~ /clone_policy.*unrecognized policy "perhaps"/ });
my $kept = switch_wal($clone);
set_policy($clone, 'off');
wait_until('off again', sub { archive_state($clone, $kept) ne 'ready' });

# --- in the source's prefix: owner and policy together ----------------------------------------------------------------

$clone->append_conf('postgresql.conf', "forge_backup.storage = 'file://$bucket'\n");
for my $policy (qw(warn on off))
{
	set_policy($clone, $policy);
	switch_wal($clone);
	my $sign = $policy eq 'off' ? sub { status_value($clone, 'state') =~ /^off/ } : sub {
		$clone->safe_psql('postgres', 'SELECT pg_switch_wal()');
		status_value($clone, 'owner') =~ /^foreign/;
	};
	wait_until("with $policy it sees its source", $sign);
	$clone->psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	is_deeply([files_of($bucket)], \@source_files, "H4: with clone_policy = $policy nothing is written to the source");
}
$clone->stop;

# --- archive_library alone ---------------------------------------------------------------------------------------------

my $alone = clone_of($source, 'alone', new_directory('alone'), "shared_preload_libraries = ''\n");
wait_archived($alone);
wait_until('without preloading the archiver says it', sub { log_since($alone, 0) =~ /this server is a copy of cluster "source"/ });
set_policy($alone, 'off');
my @before = files_of($alone->{forge}{bucket});
my $gone = switch_wal($alone);
wait_until('and follows the policy', sub { archive_state($alone, $gone) ne 'ready' });
is_deeply([files_of($alone->{forge}{bucket})], \@before, 'without preloading nothing is stored either');
$alone->stop;

# --- a cluster restored in its own place -------------------------------------------------------------------------------

$source->stop;
my ($status, $stdout, $stderr) = forge_cli('restore', '--env-dir', env_dir_of($source), '--in-place', '--target-dir', $source->data_dir,
	'--target-action', 'promote', '--confirm');
is($status, 0, 'a cluster is restored in its own place') or diag("$stdout$stderr");
$offset = log_size($source);
$source->start;
wait_until('it is a primary again', sub { $source->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 'f' });
like(status_of_restored($source), qr/^source \| 20/, 'status() says that it was restored');
is(status_value($source, 'clone_of'), '', 'it is no clone');
$source->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
wait_until('after the next base backup there is a reminder', sub { log_since($source, $offset) =~ /WARNING:.*this cluster was restored at .*base backups from after that/ });
is($source->safe_psql('postgres', q{SELECT level || ' ' || hint FROM forge_backup."check"(quick => true) WHERE "check" = 'restored'}) =~
	/^warning .*section "clone"/ ? 1 : 0, 1, 'and a finding, about the manifest');
set_policy($source, 'on');
wait_until('clone_policy = on ends it',
	sub { $source->safe_psql('postgres', q{SELECT count(*) FROM forge_backup."check"(quick => true) WHERE "check" = 'restored'}) eq '0' });
set_policy($source, 'off');
wait_archived($source);
like(status_value($source, 'state'), qr/^on/, 'clone_policy = off is about clones: this cluster goes on archiving');
$source->stop;
done_testing();

# --- helpers -------------------------------------------------------------------------------------------------------------

# Names, sizes and times of all files: nothing written, nothing replaced.
sub files_of
{
	my ($directory) = @_;
	return map { my @stat = stat("$directory/$_"); "$_ $stat[7] $stat[9]" } tree($directory);
}

# As Patroni's bootstrap method makes it; archiving to a place of its own.
sub clone_of
{
	my ($from, $name, $directory, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	cli_ok('clone', '--env-dir', env_dir_of($from), '--scope', $name, '--datadir', $node->data_dir, "$name is made");
	$node->{forge} = { %{ $from->{forge} }, storage => "file://$directory", bucket => $directory };
	$node->append_conf('postgresql.conf',
		'port = ' . $node->port . "\nunix_socket_directories = '" . $node->host . "'\nlisten_addresses = ''\ncluster_name = '$name'\n"
		  . "forge_backup.storage = 'file://$directory'\n$conf");
	$node->start;
	wait_until("$name is a primary", sub { $node->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 'f' });
	return $node;
}

sub set_policy
{
	my ($node, $policy) = @_;
	$node->append_conf('postgresql.conf', "forge_backup.clone_policy = '$policy'\n");
	$node->reload;
	return;
}

sub finding { return $_[0]->safe_psql('postgres', q{SELECT detail FROM forge_backup."check"(quick => true) WHERE "check" = 'clone'}); }
sub findings { return $_[0]->safe_psql('postgres', q{SELECT level FROM forge_backup."check"(quick => true) WHERE "check" = 'clone'}); }

sub status_of_restored
{
	my ($node) = @_;
	my $value = '';
	wait_until('status() is filled', sub { ($value = status_value($node, 'restored_from')) ne '' });
	return $value;
}
