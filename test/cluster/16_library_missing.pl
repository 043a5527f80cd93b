# The file of archive_library is gone: the servers start, WAL is kept, and it goes on when the file is back.
# scenarios: 16
# ways: reload
use strict;
use warnings;

use File::Copy qw(copy);
use ForgeLab;
use ForgeTest;
use Test::More;
use Time::HiRes qw(time);

my $library = new_directory('library') . '/forge_backup.so';
my $directory = qx(pg_config --pkglibdir) =~ s/\s+$//r;
copy("$directory/forge_backup.so", $library) or die "could not copy the library: $!";
my $lab = lab(parameters => { archive_library => $library });
my ($segment) = $lab->switch_segments(1);
$lab->within(60, 'a library outside of the server\'s directories archives', sub { $lab->is_stored($segment) });

rename($library, "$library.away") or die "could not rename: $!";
ok($lab->stop_members, 'all members end');
my $begin = time();
$lab->start_members;
$lab->within(30, 'library gone: leader', sub { $lab->leader }, $begin);
$lab->within(60, 'library gone: all members run', sub { $lab->all_running }, $begin);
($segment) = $lab->switch_segments(1);
$lab->within(60, 'library gone: the log says which file',
	sub { $lab->log_of($lab->leader) =~ /FATAL: +could not access file "\Q$library\E": No such file/ });
like($lab->sql("SELECT string_agg(name, ' ') FROM pg_ls_archive_statusdir()"), qr/$segment\.ready/, 'library gone: WAL is kept');

$begin = time();
rename("$library.away", $library) or die "could not rename: $!";
$lab->within(60, 'library back: WAL is archived', sub { $lab->is_stored($segment) }, $begin);
$lab->stop;
done_testing();
