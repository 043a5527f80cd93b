# A server whose image lacks forge_backup: what deploy/spilo/make_payload collects is used from a directory elsewhere.
use strict;
use warnings;

use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $place = new_directory('volume') . '/forge_backup';
my $said;
IPC::Run::run([ source_dir() . '/deploy/spilo/make_payload', $place ], '>', \$said, '2>&1') or BAIL_OUT("no payload: $said");
my ($program, $wal_g) = map { "$place/bin/$_" } qw(forge-backup wal-g);
my $version = `forge-backup --version`;
is(`$program --version`, $version, 'the executable runs with the libraries that were collected');
unlike(`ldd $place/libexec/forge-backup`, qr/not found/, 'none is missing');
for my $late (qw(libarchive libcrypto libcurl)) {
	my @found = glob("$place/libexec/lib/$late.so.*");
	is(@found, 1, "$late, which is loaded when it is needed, is there");
	my @outside = grep { !m{^\Q$place\E/} && !m{/lib(?:c|m|dl|pthread|rt|resolv)\.so} }
	  `LD_LIBRARY_PATH=$place/libexec/lib ldd @found` =~ m{=> (/\S+)}g;
	is("@outside", '', 'with all that it needs in turn');
}
like(`$wal_g --version`, qr/./, 'and as wal-g');

# First what a reload can do: the archive library by its path, the SQL objects by a script.
my $node = forge_node('volume', preload => 0, start => 0);
$node->append_conf('postgresql.conf', "archive_library = '$place/lib/forge_backup.so'\nforge_backup.helper_path = '$program'\n");
$node->start;
my $segment = wait_archived($node);
ok((grep { $_ eq $segment } wal_names(bucket_of($node))), 'WAL is archived');
is(library_of(archiver_pid($node)), "$place/lib/forge_backup.so", 'by the library from there');
make_objects($node);
my $questions = sub { return ($node->psql('postgres', 'SELECT count(*) FROM forge_backup.backup_list()'))[0]; };
rename("$place/libexec/forge-backup", "$place/libexec/away") or die "could not rename: $!";
isnt($questions->(), 0, 'without the executable there nothing is answered');
rename("$place/libexec/away", "$place/libexec/forge-backup") or die "could not rename: $!";
is($questions->(), 0, 'with it, it is: the executable from there does the work');
like(status_value($node, 'preloaded'), qr/^off/, 'the SQL objects are there without an extension');

# Then with the scheduler: the library is preloaded by its name, which workers are started by as well.
$node->append_conf('postgresql.conf', "dynamic_library_path = '$place/lib:\$libdir'\nshared_preload_libraries = 'forge_backup'\n");
$node->restart;
make_objects($node);
like(status_value($node, 'preloaded'), qr/^on/, 'it is preloaded');
wait_first_backup($node);
my $scheduler = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'forge_backup scheduler'");
is(library_of($scheduler), "$place/lib/forge_backup.so", 'the scheduler runs from there, and makes the first backup');
$node->safe_psql('postgres', 'SELECT forge_backup.trigger_basebackup()');
is($node->safe_psql('postgres', 'SELECT count(*) FROM forge_backup.backups WHERE restorable'), 2, 'a backup can be asked for in SQL');

# The same objects as those of the extension: name, arguments, rights, comments.
my $objects = <<'END';
SELECT proname, pg_get_function_arguments(oid), pg_get_function_result(oid), proacl, prosrc, obj_description(oid, 'pg_proc')
FROM pg_proc WHERE pronamespace = 'forge_backup'::regnamespace ORDER BY 1, 2
END
my $views = <<'END';
SELECT relname, relacl, pg_get_viewdef(oid), obj_description(oid, 'pg_class')
FROM pg_class WHERE relnamespace = 'forge_backup'::regnamespace AND relkind = 'v' ORDER BY 1
END
my @by_script = map { $node->safe_psql('postgres', $_) } $objects, $views;
$node->safe_psql('postgres', 'DROP SCHEMA forge_backup CASCADE');
my $other = forge_node('installed');
# Both have the same superuser.
my @by_extension = map { $other->safe_psql('postgres', $_) } $objects, $views;
is($by_script[0], $by_extension[0], 'the script makes the functions of the extension');
is($by_script[1], $by_extension[1], 'and its views');
done_testing();

sub make_objects
{
	my ($server) = @_;
	$server->safe_psql('postgres', read_text("$place/share/forge_backup.sql"));
	return is($server->safe_psql('postgres', "SELECT DISTINCT probin FROM pg_proc WHERE pronamespace = 'forge_backup'::regnamespace AND probin IS NOT NULL"),
		"$place/lib/forge_backup.so", 'the script makes the SQL objects for the library from there');
}

# The one library of ours that a process has mapped, or all of them.
sub library_of
{
	my ($pid) = @_;
	my %mapped = map { m{(/\S*/forge_backup\.so)} ? ($1 => 1) : () } split /\n/, read_text("/proc/$pid/maps");
	return join(' ', sort keys %mapped);
}
