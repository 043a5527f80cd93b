# Called as wal-g: what Spilo's unchanged scripts run, through envdir, from archive_command to retention, replica and clone.
use strict;
use warnings;

use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $links = new_directory('links');
my ($program) = grep { -x } map { "$_/forge-backup" } split /:/, $ENV{PATH};
symlink($program, "$links/wal-g") or die "could not link: $!";
$ENV{PATH} = "$links:$ENV{PATH}";

my $bucket = new_directory('bucket');
my $node = forge_node('primary', preload => 0, storage => undef, start => 0);
my $env = env_dir_of({ forge => { storage => "file://$bucket", key_file => $node->{forge}{key_file} } },
	PGPORT => $node->port, PGHOST => $node->host, PGUSER => 'postgres');
$node->append_conf('postgresql.conf', "archive_library = ''\narchive_command = 'envdir \"$env\" wal-g wal-push \"%p\"'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE TABLE t AS SELECT i AS id, md5(i::text) AS v FROM generate_series(1, 2000) i');

sub walg
{
	my ($stdout, $stderr) = ('', '');
	IPC::Run::run([ 'envdir', $env, 'wal-g', @_ ], '<', \'', '>', \$stdout, '2>', \$stderr);
	return ($? >> 8, $stdout, $stderr);
}
sub walg_ok
{
	my $text = pop;
	my ($code, $stdout, $stderr) = walg(@_);
	is($code, 0, $text) or diag($stderr);
	return $stdout;
}

# archive_command, and Patroni's emergency archiving of a file that is there already.
my $segment = wait_archived($node);
ok(-f "$bucket/wal_005/$segment.zst", 'archive_command ships a segment');
my $path = $node->data_dir . "/pg_wal/$segment";
SKIP:
{
	skip 'the segment was recycled', 1 unless -f $path;
	walg_ok('wal-push', $path, 'pushing the same segment again is success');
}
my ($code, $out) = walg('wal-push', write_text(new_directory('other') . "/$segment", 'x' x 1048576));
isnt($code, 0, 'another file of the same name is refused');

# The pod start and cron make backups; the scripts read the listing.
is(walg_ok('backup-list', 'listing without backups succeeds'), '', 'and prints nothing, no header either');
for my $round (1 .. 3)
{
	$node->safe_psql('postgres', "INSERT INTO t SELECT $round * 10000 + i, 'round $round' FROM generate_series(1, 100) i");
	walg_ok('backup-push', $node->data_dir, '--pool-size', '4', "backup $round, with an argument of older scripts");
}
my @lines = split /\n/, walg_ok('backup-list', 'the backups are listed');
like($lines[0], qr/^(backup_)?name\s+(last_)?modified\s/, 'the header begins as the scripts expect it');
my @backups = map { (split ' ')[0] } @lines[ 1 .. $#lines ];
is(scalar @backups, 3, 'a line for each backup');
like($_, qr/^base_[0-9A-F]{24}\s+\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)\s+[0-9A-F]{24}\b/, 'name, time, first segment') for @lines[ 1 .. $#lines ];

# Retention by cron: without --confirm nothing happens.
walg_ok('delete', 'before', 'FIND_FULL', $backups[1], 'delete without --confirm tells only');
is(scalar backup_names($bucket), 3, 'and deletes nothing');
walg_ok('delete', 'before', 'FIND_FULL', $backups[1], '--confirm', 'delete before FIND_FULL');
is_deeply([ sort(backup_names($bucket)) ], [ sort @backups[ 1, 2 ] ], 'the older backup is gone, the others are there');
ok(!(grep { $_ lt substr($backups[1], 5) } grep { length == 24 } wal_names($bucket)), 'and so is the WAL before them');
ok((grep { $_ eq substr($backups[1], 5) } wal_names($bucket)), 'the WAL of the oldest backup kept is there');

# Replica and clone: fetch into an empty directory that exists, then recover with wal-fetch.
wait_archived($node);
my $rows = table_checksum($node, 't');
for my $which ('LATEST', $backups[1])
{
	my $clone = PostgreSQL::Test::Cluster->new('clone_' . ($which eq 'LATEST' ? 'latest' : 'named'));
	mkdir $clone->data_dir or die "could not create directory: $!";
	walg_ok('backup-fetch', $clone->data_dir, $which, "backup-fetch $which");
	ok(-d $clone->data_dir . '/pg_wal' && !-l $clone->data_dir . '/pg_wal', 'pg_wal is a directory');
	ok(-f $clone->data_dir . '/backup_label' && !-e $clone->data_dir . '/recovery.signal', 'the label is there, recovery settings are not');
	$clone->append_conf('postgresql.conf', 'port = ' . $clone->port . "\narchive_mode = off\nunix_socket_directories = '" . $clone->host
	    . "'\nlisten_addresses = ''\nrecovery_target_action = promote\nrestore_command = 'envdir \"$env\" wal-g wal-fetch \"%f\" \"%p\"'\n");
	write_text($clone->data_dir . '/recovery.signal', '');
	$clone->start;
	wait_until('the clone is promoted', sub { $clone->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 'f' });
	is(table_checksum($clone, 't'), $rows, "the clone of $which has the same rows");
	$clone->stop;
}

($code) = walg('wal-fetch', '0000000100000000000000FF', new_directory('none') . '/x');
is($code, 74, 'a segment that is not there: as WAL-G says it');
$node->stop;
done_testing();
