# A disk that does not give back what was written: a WAL file is not archived by halves, a lost page of a relation is
# recorded and spoils nothing else, and a lost part of any other file makes the backup fail.
use strict;
use warnings;

use ForgeDisk;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

no_faults();
my $node = forge_node('primary');
my $bucket = bucket_of($node);
$node->safe_psql('postgres', 'CREATE TABLE t AS SELECT i, md5(i::text) AS v FROM generate_series(1, 5000) i; CHECKPOINT');
wait_archived($node);

my $name = name_after(switch_wal($node), 1);
faults("read */pg_wal/$name EIO - 524288");
$node->safe_psql('postgres', 'CREATE TABLE later AS SELECT 1');
is(switch_wal($node), $name, 'D3: this segment cannot be read');
ok( wait_until('the failure is seen', sub { archive_value($node, "problem LIKE 'could not read file %$name\": Input/output error'") eq 't' }),
	'D3: a read error names the file');
is(archive_state($node, $name), 'ready', 'D3: the segment waits');
is(scalar(grep { /\Q$name\E/ } wal_names($bucket)), 0, 'D3: nothing of it is stored');
is(archive_value($node, 'breaker'), 'closed', 'D3: the store is not blamed');
no_faults();
ok(wait_archived($node, $name), 'D3: it is archived as soon as it can be read');

my $path = $node->safe_psql('postgres', "SELECT pg_relation_filepath('t')");
my $offset = log_size($node);
faults("read */$path EIO - " . (3 * 8192 + 100));
my $backup = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)');
cmp_ok(used(0), '>=', 2, 'D4: a page that cannot be read is read again');
my $files = decode_json(read_text("$bucket/basebackups_005/$backup/files_metadata.json"))->{Files};
is_deeply($files->{"/$path"}{CorruptBlocks}, { CorruptBlocksCount => 1, SomeCorruptBlocks => [3] }, 'D4: and recorded as corrupt');
is(scalar(grep { exists $files->{$_}{CorruptBlocks} } keys %$files), 1, 'D4: and no other');
like(log_since($node, $offset), qr/WARNING: .*could not read file ".*\Q$path\E": Input\/output error/, 'D4: the log names the file');
like(log_since($node, $offset), qr/WARNING: .*base backup "\Q$backup\E" has 1 corrupt page/, 'D4: and the backup');

$node->append_conf('postgresql.conf', "forge_backup.corrupt_pages = 'fail'\n");
$node->reload;
my ($code, undef, $err) = $node->psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)');
isnt($code, 0, 'D4: where corrupt_pages is "fail" there is no backup');
like($err, qr/file "\Q$path\E" has 1 corrupt page, first block 3/, 'D4: and the page is named');

faults("read */$path EIO 1");
$backup = $node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)');
$files = decode_json(read_text("$bucket/basebackups_005/$backup/files_metadata.json"))->{Files};
ok(!exists $files->{"/$path"}{CorruptBlocks}, 'D4: a page that can be read the second time is none of them');

faults('read */global/pg_filenode.map EIO -');
($code, undef, $err) = $node->psql('postgres', 'SELECT forge_backup.trigger_basebackup("full" => true)');
isnt($code, 0, 'D4: where another file cannot be read there is no backup');
like($err, qr/could not read file ".*global\/pg_filenode.map": Input\/output error/, 'D4: and the file is named');
no_faults();

# What was lost is not read as something else.
($backup) = grep { keys %{ decode_json(read_text("$bucket/basebackups_005/$_/files_metadata.json"))->{Files}{"/$path"}{CorruptBlocks} // {} } }
  backup_names($bucket);
my $restored = restore_node('restored', $node, cli => [ '--backup', $backup, '--target', 'immediate', '--target-action', 'promote' ]);
start_restored($restored);
($code, undef, $err) = $restored->psql('postgres', 'SELECT count(*) FROM t');
# 18 quotes the path.
like($err, qr/invalid page in block 3 of relation "?\Q$path\E"?$/m, 'D4: the restored server refuses the page');
is($restored->safe_psql('postgres', "SET zero_damaged_pages = on; SELECT count(*) BETWEEN 4000 AND 4999 FROM t"), 't', 'D4: and has all the others');
$restored->stop;
$node->stop;

done_testing();
