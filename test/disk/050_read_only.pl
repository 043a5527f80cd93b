# A data directory that becomes read-only in the middle of a base backup: the backup fails, and backup mode is over.
use strict;
use warnings;

use ForgeDisk;
use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary', prepare => sub { mount_at($_[0]->data_dir, '200m') },
	conf => "full_page_writes = off\nautovacuum = off\nbgwriter_lru_maxpages = 0\nlog_checkpoints = off\n");
my $data = $node->data_dir;
my $bucket = bucket_of($node);
my $before = join(' ', backup_names($bucket));
ok(!in_backup_mode($node), 'without a backup pages are not written whole');
$node->append_conf('postgresql.conf', "forge_backup.disk_rate_limit = '6MB'\n");
$node->reload;
wait_archived($node);

my ($out, $err) = ('', '');
my $backup = IPC::Run::start([ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-c', 'SELECT forge_backup.trigger_basebackup()', 'postgres' ],
	'<', \'', '>', \$out, '2>', \$err);
ok(wait_until('it copies', sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_progress_basebackup WHERE backup_streamed > 0") }),
	'D5: a backup runs');
ok(in_backup_mode($node), 'D5: the server is in backup mode');
wait_archived($node);
read_only($data);
ok(!open(my $refused, '>', "$data/pg_wal/x"), 'D5: the data directory becomes read-only');
$backup->finish;
like($err, qr/ERROR: .*could not write to directory "pg_wal": Read-only file system/, 'D5: the backup fails and says why');
is(join(' ', backup_names($bucket)), $before, 'D5: there is no such backup');
ok(wait_until('the parts are removed', sub { join(' ', backup_folders()) eq $before }), 'D5: nor its parts');

writable($data);
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_stat_progress_basebackup'), 0, 'D5: its process has ended');
ok(!in_backup_mode($node), 'D5: backup mode was ended');
$node->append_conf('postgresql.conf', "forge_backup.disk_rate_limit = 0\n");
$node->reload;
like($node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()'), qr/^base_/, 'D5: the next backup succeeds');
$node->stop;

sub backup_folders
{
	my %seen = map { m{^basebackups_005/(base_[0-9A-F_D]+)/} ? ($1 => 1) : () } tree($bucket);
	return sort keys %seen;
}

done_testing();
