# The storage is changed, or switched off, while a base backup is made: it ends at once, and the new storage gets one.
use strict;
use warnings;

use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $node = forge_node('primary', conf => "forge_backup.disk_rate_limit = '1MB'\n", first_backup => 0);
my $old = bucket_of($node);
my $new = new_directory('bucket');

sub set_on { $node->append_conf('postgresql.conf', "$_[0]\n"); $node->reload; return; }
sub problem { return $node->safe_psql('postgres', q{SELECT value || ' | ' || detail FROM forge_backup.status() WHERE name = 'backup_problem'}); }

wait_until('a base backup is being made', sub { $node->safe_psql('postgres', q{SELECT bytes_done > 0 FROM forge_backup.progress}) eq 't' });
ok(seconds(sub {
	set_on("forge_backup.storage = 'file://$new'");
	wait_until('it ends', sub { problem() =~ /storage was changed/ });
}) < 20, 'a base backup ends when the storage is another one');
like(problem(), qr{storage was changed during the base backup, from file://\Q$old\E \| A new base backup is made in the new one\.}, 'which status() says');
wait_until('the next one is being made at once', sub { $node->safe_psql('postgres', q{SELECT bytes_done > 0 FROM forge_backup.progress}) eq 't' }, 40);
set_on('forge_backup.disk_rate_limit = 0');
wait_until('the new storage has one', sub { backup_names($new) });
is($node->safe_psql('postgres', 'SELECT bool_and(restorable) FROM forge_backup.backups'), 't', 'the new storage gets a base backup that can be restored');
is_deeply([ backup_names($old) ], [], 'the old one has none');
wait_until('nor a part of one', sub { !grep { m{/tar_partitions/} } tree($old) });
# The backup is there a little before the server knows.
ok(wait_until('the problem is gone', sub { status_value($node, 'backup_problem') eq '' }), 'and the problem is gone');

set_on("forge_backup.disk_rate_limit = '1MB'");
my $asked = IPC::Run::start([ 'psql', '-XAt', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c', 'SELECT forge_backup.trigger_basebackup()' ], '<', \'', '>', \my $out, '2>', \my $err);
wait_until('another one is being made', sub { $node->safe_psql('postgres', q{SELECT bytes_done > 0 FROM forge_backup.progress}) eq 't' });
set_on("forge_backup.storage = ''");
$asked->finish;
like($err, qr/ERROR: .*storage was switched off during the base backup/, 'nor does one wait for a storage that is switched off');
done_testing();
