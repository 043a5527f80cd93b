# A volume of the data directory that is full: nothing of ours is written there, so archiving goes on, and frees it.
use strict;
use warnings;

use ForgeDisk;
use ForgeTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $store = new_directory('store');
my $node = forge_node('primary', storage => "file://$store/bucket", prepare => sub { mount_at($_[0]->data_dir, '120m') });
my $data = $node->data_dir;
wait_archived($node);
my $postmaster = read_text("$data/postmaster.pid");

rename("$store/bucket", "$store/gone") or die $!;
write_text("$store/bucket", '');
my @waiting = map { switch_wal($node) } 1 .. 5;
ok(wait_until('the store is missed', sub { archive_value($node, 'problem IS NOT NULL') eq 't' }), 'D1: WAL waits for its store');
# The segment that the server writes to is there, so that it can live on what little it writes by itself.
$node->safe_psql('postgres', "SELECT pg_logical_emit_message(true, 'test', 'the next segment begins')");
my $filler = fill_disk($data);
is(free_disk($data), 0, 'D1: the volume is full');

unlink "$store/bucket";
rename("$store/gone", "$store/bucket") or die $!;
$node->reload;
for my $segment (@waiting)
{
	ok(wait_until("$segment is archived", sub { archive_state($node, $segment) eq 'done' }), "D1: $segment leaves a full volume");
}
is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM forge_backup.backup_list()'), 't', 'D1: backups can be listed');
is($node->safe_psql('postgres', 'SELECT count(*) > 0 FROM forge_backup.status()'), 't', 'D1: and the state be asked for');
is(read_text("$data/postmaster.pid"), $postmaster, 'D1: the server runs on');

unlink $filler;
$node->safe_psql('postgres', 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS i');
ok(wait_archived($node), 'D1: with room again all is as before');
like($node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()'), qr/^base_/, 'D1: base backups as well');
$node->stop;

done_testing();
