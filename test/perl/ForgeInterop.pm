# Two programs on one bucket: WAL-RUS (the executable that the variable WALRUS names) and ours.
#
# What WAL-RUS 0.4.1 cannot do, so that it is not tested: it knows no new place for a tablespace (the links are made where
# the backup says), makes deltas only from archived WAL of a local data directory, and lays no value on a list of
# files: files that a delta dropped come back with the full backup.
package ForgeInterop;

use strict;
use warnings;

use Exporter qw(import);
use ForgeTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  combinations variables walrus_script walrus_ok fill_database change_database fingerprint restored_cluster is_restored backups_of increments_in
);

# Every method with a key and without: name, method, key file or nothing.
sub combinations
{
	my $key = key_file();
	return map { my $method = $_; ([ $method, $method ], [ "$method with a key", $method, $key ]) } qw(brotli lz4 zstd none);
}

# What both programs are told by variables.
sub variables
{
	my ($storage, $method, $key, %more) = @_;
	my %variable = (WALG_COMPRESSION_METHOD => $method, WALG_PG_WAL_SIZE => 1, WALG_DELTA_MAX_STEPS => 1, %more);
	if ($storage =~ m{^s3://}) { $variable{WALG_S3_PREFIX} = $storage; }
	else { $variable{WALG_FILE_PREFIX} = $storage; }
	@variable{qw(WALG_LIBSODIUM_KEY_PATH WALG_LIBSODIUM_KEY_TRANSFORM)} = ($key, 'hex') if $key;
	return %variable;
}

# A script that is WAL-RUS with these variables, for archive_command and restore_command too.
sub walrus_script
{
	my %variable = @_;
	die "the variable WALRUS does not name an executable\n" unless -x ($ENV{WALRUS} // '');
	my $script = "#!/bin/sh\n";
	$script .= "export $_='$variable{$_}'\n" for sort keys %variable;
	return write_text(new_directory('walrus') . '/walrus', "${script}exec '$ENV{WALRUS}' \"\$@\"\n", 0755);
}

sub walrus_ok
{
	my ($script, @arguments) = @_;
	my $text = pop @arguments;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($stdout, $stderr) = ('', '');
	my $done = IPC::Run::run([ $script, @arguments ], '<', \'', '>', \$stdout, '2>', \$stderr, IPC::Run::timeout(120));
	ok($done, $text) or diag("$stdout$stderr");
	return "$stdout$stderr";
}

my @tables = qw(acc space shrinks gone_later toasty);

sub fill_database
{
	my ($node) = @_;
	my $space = new_directory('space');
	$node->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '$space'");
	$node->safe_psql('postgres', <<'END');
CREATE TABLE acc (id int PRIMARY KEY, grp int, v text);
CREATE INDEX acc_grp ON acc (grp);
CREATE TABLE space (id int PRIMARY KEY, v text) TABLESPACE space;
CREATE TABLE shrinks (id int PRIMARY KEY, v text);
CREATE TABLE gone_later (id int, v text);
CREATE TABLE toasty (id int, v text);
ALTER TABLE toasty ALTER v SET STORAGE EXTERNAL;
INSERT INTO acc SELECT i, i % 97, md5(i::text) FROM generate_series(1, 20000) i;
INSERT INTO space SELECT i, md5(i::text) FROM generate_series(1, 5000) i;
END
	change_database($node, 0);
	return $space;
}

# Before a delta, so that it has increments, a smaller file, an empty one, new ones; and again after it.
sub change_database
{
	my ($node, $round) = @_;
	$node->safe_psql('postgres', <<"END");
INSERT INTO shrinks SELECT i, repeat('x', 200) FROM generate_series(10000 * $round + 1, 10000 * $round + 3000) i;
UPDATE acc SET v = v || '$round' WHERE id % 1000 = $round;
INSERT INTO acc SELECT i, i, 'new' FROM generate_series((SELECT max(id) FROM acc) + 1, (SELECT max(id) FROM acc) + 100) i;
UPDATE space SET v = 'changed $round' WHERE id % 500 = 7;
INSERT INTO toasty SELECT $round, string_agg(md5((i * 31 + $round)::text), '') FROM generate_series(1, 2000) i;
TRUNCATE gone_later;
INSERT INTO gone_later SELECT i, 'r$round' FROM generate_series(1, 1000) i;
CREATE TABLE new_$round AS SELECT i FROM generate_series(1, 500) i;
END
	$node->safe_psql('postgres', 'VACUUM acc');
	$node->safe_psql('postgres', "DELETE FROM shrinks WHERE id > 500") if $round % 2;
	$node->safe_psql('postgres', 'VACUUM (TRUNCATE) shrinks');
	$node->safe_psql('postgres', 'CHECKPOINT');
	return;
}

sub fingerprint
{
	my ($node) = @_;
	return join("\n", map { "$_ " . table_checksum($node, $_) } @tables);
}

# A node whose data directory was brought back, with what it needs to recover to the end of the WAL.
sub restored_cluster
{
	my ($node, $restore_command) = @_;
	my $conf = "archive_mode = off\narchive_library = ''\nshared_preload_libraries = ''\nhot_standby = on\nfsync = off\n";
	$conf .= 'port = ' . $node->port . "\nunix_socket_directories = '" . $node->host . "'\nlisten_addresses = ''\n";
	if (defined $restore_command)
	{
		$conf .= "restore_command = '$restore_command'\n";
		write_text($node->data_dir . '/recovery.signal', '', 0600);
	}
	# ALTER SYSTEM on the source is part of the backup, and wins over postgresql.conf.
	write_text($node->data_dir . '/postgresql.auto.conf', '', 0600) if defined $restore_command;
	$node->append_conf('postgresql.conf', $conf);
	return $node;
}

# It starts, has these rows, every index fits its table, no page is bad; then it is removed.
sub is_restored
{
	my ($node, $expected, $text) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $result = subtest $text => sub {
		plan tests => 3;
		if (!start_restored($node))
		{
			diag(-f $node->logfile ? substr(slurp_file($node->logfile), -3000) : 'no log');
			return fail('it starts');
		}
		is(fingerprint($node), $expected, 'it has every row');
		$node->safe_psql('postgres', 'CREATE EXTENSION amcheck');
		cmp_ok($node->safe_psql('postgres', <<'END'), '>', 100, 'every btree index fits its table');
SELECT count(bt_index_check(c.oid, true)::text)
FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam
WHERE amname = 'btree' AND relpersistence = 'p' AND indisready AND indisvalid
END
		$node->stop;
		command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'it has no bad page');
	};
	$node->teardown_node(fail_ok => 1);
	$node->clean_node;
	return $result;
}

# Full backup and delta of a directory store that has one each.
sub backups_of
{
	my ($bucket) = @_;
	my @names = backup_names($bucket);
	return ((grep { !/_D_/ } @names)[0], (grep { /_D_/ } @names)[0]);
}

# How many files a delta has as increments.
sub increments_in
{
	my ($bucket, $delta) = @_;
	my $files = decode_json(read_text("$bucket/basebackups_005/$delta/files_metadata.json"))->{Files};
	return scalar grep { $_->{IsIncremented} } values %$files;
}

1;
