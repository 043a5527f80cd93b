# The whole way on a real S3 server, whichever it is: nothing here knows its name. WAL under load, a full backup and a
# delta of several parts, listing, restore, deletion, what a user may set wrong, and a server that is killed and comes back.
package ForgeFlow;

use strict;
use warnings;

use Exporter qw(import);
use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(flow);

sub flow
{
	my ($name) = @_;
	my $store = start_store($name);
	my $storage = "s3://$store->{BUCKET}/site/shop";
	my $node = forge_node('primary', storage => $storage,
		conf => swift_conf($store) . "forge_backup.compression = 'lz4'\nforge_backup.schedule = ''\nforge_backup.delta_max_steps = 3\n");
	my $env = env_dir_of($node, swift_env($store), WALG_COMPRESSION_METHOD => 'lz4');

	my ($full, $delta) = ships_and_backs_up($node, $store);
	my $checksum = table_checksum($node, 't');
	my $moment = $node->safe_psql('postgres', 'SELECT now()');
	$node->safe_psql('postgres', 'DROP TABLE t');

	survives_a_kill($node, $store, $env);
	restores($node, $env, $moment, $checksum);
	names_what_is_wrong($node, $store);
	deletes($node, $store, $env, $full, $delta);
	return;
}

# Returns the names of a full backup and a delta on it.
sub ships_and_backs_up
{
	my ($node, $store) = @_;
	$node->safe_psql('postgres', "CREATE TABLE load (i int, v text)");
	my $load = under_load($node);
	# Digests do not compress well, so the backup has more than one part of a multipart upload.
	$node->safe_psql('postgres',
		"CREATE TABLE t AS SELECT i, sha512(i::text::bytea) AS a, sha512((-i)::text::bytea) AS b FROM generate_series(1, 150000) i");
	my $full = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)');
	$node->safe_psql('postgres', 'UPDATE t SET b = NULL WHERE i < 1000');
	my $delta = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
	$load->finish;
	my $segment = wait_archived($node);
	like($delta, qr/_D_/, 'a delta is made on the full backup');

	my $listing = s3cmd($store, 'ls', '-r', "s3://$store->{BUCKET}/site/shop/");
	like($listing, qr{/site/shop/wal_005/$segment\.lz4$}m, 'the WAL of a server under load is there');
	my ($largest) = sort { $b <=> $a } $listing =~ m{^\S+ \S+ +(\d+) .*/tar_partitions/part_}mg;
	cmp_ok($largest, '>', 16 << 20, 'a part of the backup went up in several pieces');
	like(status_value($node, 'store_conditional_put'), qr/^(?:yes|no \| the store is looked into)/,
		'S8: status() says whether the store itself refuses to replace objects');
	is($node->safe_psql('postgres', 'SELECT failed_count FROM pg_stat_archiver'), '0', 'no attempt to archive has failed');
	return ($full, $delta);
}

sub under_load
{
	my ($node) = @_;
	my $script = write_text(new_directory('load') . '/load.sql', "INSERT INTO load SELECT i, md5(i::text) FROM generate_series(1, 500) i;\n");
	return IPC::Run::start(
		[ 'pgbench', '-n', '-T', '8', '-c', '2', '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
		'<', \'', '>', \my $out, '2>', \my $err, IPC::Run::timeout(90));
}

sub survives_a_kill
{
	my ($node, $store, $env) = @_;
	my $load = under_load($node);
	wait_archived($node);
	store_kill($store);
	my $name = switch_wal($node);
	wait_until('an attempt fails', sub { $node->safe_psql('postgres', 'SELECT failed_count > 0 FROM pg_stat_archiver') eq 't' });
	cli_fails('backup-list', '--env-dir', $env, 1, qr/connect/, 'N1: a listing of a store that was killed fails');
	is(archive_state($node, $name), 'ready', 'N1: its WAL waits');
	$load->finish;
	store_again($store);
	wait_archived($node, $name);
	pass('N1: the store is back, and so is archiving');
	return;
}

sub restores
{
	my ($node, $env, $moment, $checksum) = @_;
	wait_archived($node);
	cli_ok('verify', '--env-dir', $env, 'verify reads all of it');
	my $restored = restore_node('restored', $node, env_dir => $env, cli => [ '--target-time', $moment ]);
	return unless start_restored($restored);
	is(table_checksum($restored, 't'), $checksum, 'a table dropped later is back after a restore');
	$restored->stop;
	return;
}

sub names_what_is_wrong
{
	my ($node, $store) = @_;
	my %variable = swift_env($store);
	my @wrong = (
		[ 'S2: a wrong secret', { AWS_SECRET_ACCESS_KEY => 'not-the-words' }, qr/denied|SignatureDoesNotMatch/ ],
		[ 'S2: an unknown access key', { AWS_ACCESS_KEY_ID => 'nobody' }, qr/denied|SignatureDoesNotMatch|access key/ ],
		[ 'S5: a missing bucket', { WALG_S3_PREFIX => 's3://no-such-bucket/x' }, qr/no-such-bucket/ ]);
	for my $row (@wrong)
	{
		my ($what, $more, $message) = @$row;
		my $env = env_dir_of($node, %variable, %$more);
		cli_fails('backup-list', '--env-dir', $env, 1, $message, "$what: a listing says so");
		my $directory = new_directory('fetch');
		my ($code, $stdout, $stderr) = forge_cli({ cwd => $directory }, 'wal-fetch', '--retry-timeout', 1, '--env-dir', $env,
			'000000010000000000000001', "$directory/x");
		is($code, 200, "$what: no segment is said to be missing") or diag("$stdout$stderr");
	}
	return;
}

sub deletes
{
	my ($node, $store, $env, $full, $delta) = @_;
	my $last = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)');
	cli_ok('delete', '--env-dir', $env, 'retain', 'FULL', '1', '--confirm', 'older backups can be deleted');
	is($node->safe_psql('postgres', q{SELECT string_agg(name, ' ') FROM forge_backup.backup_list()}), $last,
		'and the newest full one is left');
	unlike(s3cmd($store, 'ls', '-r', "s3://$store->{BUCKET}/site/shop/"), qr/\Q$full\E|\Q$delta\E/, 'with no object of the others');
	cli_ok('delete', '--env-dir', $env, 'everything', 'FORCE', '--confirm', 'everything can be deleted');
	# The server may have noticed already, and begun a new one.
	unlike(s3cmd($store, 'ls', '-r', "s3://$store->{BUCKET}/site/shop/basebackups_005/"), qr/\Q$last\E/, 'no object of the backup is left');
	return;
}

1;
