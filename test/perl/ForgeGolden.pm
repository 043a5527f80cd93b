# The bucket that WAL-G wrote (test/data/walg), variants of it (test/tools/foreign_bucket), and the check that a restored
# server is in one of its states: checksum of the rows, what exists, every btree index, every page.
package ForgeGolden;

use strict;
use warnings;

use Exporter qw(import);
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw($full $delta1 $delta2 $delta2_renamed golden_bucket golden_env foreign_tool restore_golden is_state
  is_its_server);

our $full = 'base_000000010000000000000003';
our $delta1 = 'base_000000010000000000000005_D_000000010000000000000003';
our $delta2 = 'base_000000010000000000000007_D_000000010000000000000005';
our $delta2_renamed = 'base_000000010000000000000007_D_000000010000000000000003';

# State => checksum, then whether the tables dropme and newt exist.
my %state = (
	F => [ '2185508a4be8f582262bcd9a5c919a0e', 't', 'f' ],
	D1 => [ '641d786f7e4fc2081d3e9fbda0407eaf', 'f', 't' ],
	D2 => [ '20ce3cafabc347562d43a551ed79adcf', 'f', 't' ],
	A => [ 'b0d5f925edc083ad2f326edcf2ca43ff', 'f', 't' ],
	P => [ 'b205c4aed3bd36768e817aea91d0d654', 'f', 't' ],
	B => [ 'f846c89df952bab057ec207f4de9899a', 'f', 't' ]);

my $query = <<'END';
SELECT md5(string_agg(t||'|'||k||'|'||v, E'\n' ORDER BY t COLLATE "C", k))
FROM (SELECT 'acc' AS t, id AS k, v FROM acc
      UNION ALL SELECT 'shrink', id, v FROM shrink
      UNION ALL SELECT 'tbl_ts', id, v FROM tbl_ts
      UNION ALL SELECT 'toasty', id, v FROM toasty) s;
END

my $conf = <<'END';
fsync = off
full_page_writes = off
autovacuum = off
shared_buffers = 4MB
END

sub foreign_tool { return source_dir() . '/test/tools/foreign_bucket'; }

# A copy of the bucket, rewritten as a variant; returns its directory.
sub golden_bucket
{
	my ($variant) = @_;
	my $bucket = new_directory("golden_$variant") . '/store';
	system_or_bail(foreign_tool(), 'make', $variant, source_dir() . '/test/data/walg/main/store', $bucket);
	return $bucket;
}

sub golden_env
{
	my ($bucket, %more) = @_;
	return env_dir_of({ forge => { storage => "file://$bucket", key_file => key_file() } }, %more);
}

my $nodes = 0;

# Restores a backup of a bucket; $option{cli} are options of the command. The node is not started.
sub restore_golden
{
	my ($bucket, $backup, %option) = @_;
	local $ENV{PGUSER} = 'postgres';
	return restore_node(
		'golden' . ++$nodes, undef,
		env_dir => $option{env} // golden_env($bucket),
		conf => $conf,
		cli => [
			'--backup', $backup, '--tablespace-mapping', '16384=' . new_directory('space'), '--target-action', 'promote',
			@{ $option{cli} // [ '--target', 'immediate' ] }
		]);
}

# Whether a node's server is of the version that the bucket was written with, and can start what is restored from it.
sub is_its_server { return $_[0]->pg_version->major == 15; }

# Starts a restored node and looks at everything; stops and removes it.
sub is_state
{
	my ($node, $name, $text) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	local $ENV{PGUSER} = 'postgres';    # the superuser of the bucket
	my $result = subtest $text => sub {
		plan skip_all => 'the bucket is of PostgreSQL 15' if $node->{forge}{exit} == 0 && !is_its_server($node);
		plan tests => 3;
		return fail('it is restored') if $node->{forge}{exit} != 0;
		if (!start_restored($node))
		{
			fail('it starts');
			diag(log_size($node) ? substr(log_since($node, 0), -3000) : 'no log');
			return;
		}
		is_deeply(
			[
				$node->safe_psql('postgres', $query),
				split(/\|/, $node->safe_psql('postgres', "SELECT to_regclass('dropme') IS NOT NULL, to_regclass('newt') IS NOT NULL"))
			],
			$state{$name},
			"rows and tables of state $name");
		$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS amcheck');
		my $indexes = $node->safe_psql('postgres', <<'END');
SELECT count(bt_index_check(c.oid, true)::text)
FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam
WHERE amname = 'btree' AND relpersistence = 'p' AND indisready AND indisvalid
END
		cmp_ok($indexes, '>', 100, 'every btree index fits its table');
		$node->stop;
		command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'no bad page');
	};
	$node->teardown_node(fail_ok => 1);
	$node->clean_node;
	return $result;
}

1;
