# A cluster is restored to an earlier moment under its own name and prefix, twice, to different moments: "forge-backup clone"
# bootstraps it where the one before wrote.
# scenarios: 13 20
# ways: preload patroni4
use strict;
use warnings;

use ForgeFaults;
use ForgeLab;
use ForgeTest;
use Test::More;

my $store = start_fake();
my $lab = cluster();
$lab->within(60, 'a base backup', sub { $lab->backups });
my ($first) = $lab->backups;
$lab->sql('CREATE TABLE lines (n int)');
my %after = map { $_ => insert($lab, $_) } 1 .. 3;
# The newest backup is of a time that no restore goes to.
$lab->sql('SELECT forge_backup.trigger_basebackup()');
finish($lab);

{
	my %before = $lab->contents;
	$lab = cluster("--recovery-target-time=$after{1}");
	$lab->within(120, 'the first restore runs, with a replica', sub { $lab->all_running });
	is(rows($lab), '1', 'with what was there at that moment');
	like($lab->sql('SELECT pg_walfile_name(pg_current_wal_lsn())'), qr/^00000002/, 'on a new timeline');
	my ($replica) = $lab->replicas;
	like(said($lab, $replica), qr/\Q$first\E.*replica has been created using forge/s, 'the replica is made from the backup on its way, not the newest');
	is(rows($lab, $replica), '1', 'and has the same rows');
	insert($lab, 10);
	$lab->sql('SELECT forge_backup.trigger_basebackup()');
	finish($lab);
	is_kept('the first restore', %before);
}
{
	my %before = $lab->contents;
	$lab = cluster("--recovery-target-time=$after{2} --recovery-target-timeline=1");
	$lab->within(120, 'the second restore runs, with a replica', sub { $lab->all_running });
	is(rows($lab), '1 2', 'with what was there at the other moment, and nothing of the first restore');
	like($lab->sql('SELECT pg_walfile_name(pg_current_wal_lsn())'), qr/^00000003/, 'on a timeline that the first restore did not take');
	my ($replica) = $lab->replicas;
	is(rows($lab, $replica), '1 2', 'the replica has the same rows');
	my ($segment) = $lab->switch_segments(1);
	$lab->within(60, 'the second restore archives', sub { $lab->is_stored($segment) });
	$lab->sql('SELECT forge_backup.trigger_basebackup()');
	my $offset = -s $replica->{log};
	$lab->remake(90, 'a replica of it is made anew', $replica);
	my ($newest) = reverse $lab->backups;
	like(substr($lab->log_of($replica), $offset), qr/\Q$newest\E.*replica has been created using forge/s, 'from its own backup');
	ok($lab->stop_members(limit => 60), 'its members stop');
	$lab->start_members;
	$lab->within(60, 'and run again', sub { $lab->all_running });
	finish($lab);
	is_kept('the second restore', %before);
}
done_testing();

# The cluster, new or restored: nothing but the store is left of the one before.
sub cluster
{
	my ($target) = @_;
	my %restore;
	if ($target)
	{
		my $env = new_directory('source') . '/env';
		$lab->write_env(spilo_env(%{ $lab->{pod} }), $env);
		$restore{bootstrap} = {
			method => 'forge',
			forge => { command => "forge-backup clone --env-dir $env $target", keep_existing_recovery_conf => JSON::PP::true } };
	}
	my $cluster = lab(members => 2, store => $store, start => 0, %restore);
	$cluster->{said} = { map { $_->{name} => -s $_->{log} // 0 } $cluster->members };
	$cluster->start_members;
	return $cluster if $target;
	$cluster->within(120, 'the cluster runs', sub { $cluster->all_running });
	$cluster->sql('CREATE EXTENSION forge_backup');
	return $cluster;
}

# What a member logged in this life of the cluster.
sub said { return substr($_[0]->log_of($_[1]), $_[0]{said}{ $_[1]{name} }); }

sub rows { return $_[0]->sql(@_[ 1 .. $#_ ], "SELECT string_agg(n::text, ' ' ORDER BY n) FROM lines"); }

# A moment after this row, and before the next one.
sub insert
{
	my ($cluster, $number) = @_;
	$cluster->sql("INSERT INTO lines VALUES ($number)");
	my $moment = $cluster->sql("SELECT pg_sleep(0.2), to_char(clock_timestamp(), 'YYYY-MM-DD\"T\"HH24:MI:SS.MSOF:00')") =~ s/^\|//r;
	$cluster->sql('SELECT pg_sleep(0.2)');
	return $moment;
}

sub finish
{
	my ($cluster) = @_;
	my @segments = $cluster->switch_segments(2);
	$cluster->within(60, 'all its WAL is stored', sub { $cluster->is_stored(@segments) });
	return $cluster->stop;
}

sub is_kept
{
	my ($what, %before) = @_;
	my %now = $lab->contents;
	my @changed = grep { ($now{$_} // '') ne $before{$_} } sort keys %before;
	return is("@changed", '', "$what: no object is gone or replaced");
}
