# Every command in README.md and docs/*.md runs, in the order of the page, on a server and a bucket of its own.
#
# A page's ```sh blocks run in a shell, ```sql blocks in psql, ```ini blocks go into postgresql.conf before a restart. Names in the
# text that stand for the reader's own (bucket, directories, a moment) are replaced by real ones, see %stands_for. A block after
# a comment <!-- fails --> must fail; one after <!-- run by: WHAT --> is run elsewhere, and WHAT must exist. In the first line of a
# page that holds for all of it, and WHAT must name the page.
use strict;
use warnings;

use ForgeDocs;
use ForgeTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $root = source_dir();
my @pages = ("$root/README.md", sort glob("$root/docs/*.md"));
my $swift = start_swift();
my $dev = read_text("$root/dev");

for my $page (@pages)
{
	my $name = $page =~ s{^\Q$root\E/}{}r;
	if (my $test = run_elsewhere(read_text($page)))
	{
		like(read_text("$root/$test"), qr/\Q$name\E/, "$name: run by $test");
		next;
	}
	my @blocks = blocks_of(read_text($page));
	next unless @blocks;
	my $home = new_directory('home');
	my $node = forge_node($name =~ s/\W/_/gr, start => 0, preload => 0, storage => undef, key => 0);
	# A page that does not configure a server itself finds one that is.
	my $configures = grep { $_->{kind} eq 'ini' && $_->{text} =~ /archive_library/ } @blocks;
	my %stands_for = (
		'/var/lib/postgresql/15/main' => $node->data_dir,
		'/var/lib/postgresql' => $home,
		's3://my-bucket' => "s3://$swift->{BUCKET}/" . ($name =~ s/\W/-/gr),
		'https://s3.example.com' => $swift->{ENDPOINT},
		'my-access-key' => $swift->{ACCESS_KEY},
		'my-secret-key' => $swift->{SECRET_KEY});
	prepare($node, $home, \%stands_for) unless $configures;

	for my $block (@blocks)
	{
		my $where = "$name line $block->{line}";
		if ($block->{elsewhere})
		{
			ok(-e "$root/$block->{elsewhere}" || $dev =~ /\Q$block->{elsewhere}\E/, "$where: run by $block->{elsewhere}");
			next;
		}
		my $text = $block->{text};
		if ($text =~ /2026-11-22[ T]09:30:00/)
		{
			$node->safe_psql('postgres', 'CREATE TABLE IF NOT EXISTS tick (at timestamptz); INSERT INTO tick VALUES (now())');
			my $moment = $node->safe_psql('postgres', 'SELECT now()');
			$node->safe_psql('postgres', 'INSERT INTO tick VALUES (now())');
			wait_archived($node);
			$text =~ s/2026-11-22[ T]09:30:00\+01/$moment/g;
		}
		for my $word (sort { length $b <=> length $a } keys %stands_for)
		{
			$text =~ s/\Q$word\E/$stands_for{$word}/g;
		}
		if ($block->{kind} eq 'ini')
		{
			$node->append_conf('postgresql.conf', $text);
			$node->{_pid} ? $node->restart : $node->start;
			pass("$where: the server starts with these settings");
			next;
		}
		my ($code, $output) = $block->{kind} eq 'sql' ? run_sql($node, $text) : run_shell($node, $text, $home, $where);
		next unless defined $code;
		my ($first) = $block->{text} =~ /(.*)/;
		ok($block->{fails} ? $code != 0 : $code == 0, "$where: $first" . ($block->{fails} ? ' fails, as it should' : ''))
		  or diag($output);
	}
	$node->stop if $node->{_pid};
}

done_testing();

# A configured, running server with a backup, and the directories that pages speak of.
sub prepare
{
	my ($node, $home, $stands_for) = @_;
	mkdir "$home/forge_backup";
	mkdir "$home/forge_backup/secret";
	mkdir "$home/forge_backup/env";
	write_text("$home/forge_backup/key", "$key_hex\n", 0600);
	write_text("$home/forge_backup/secret/AWS_ACCESS_KEY_ID", "$swift->{ACCESS_KEY}\n", 0600);
	write_text("$home/forge_backup/secret/AWS_SECRET_ACCESS_KEY", "$swift->{SECRET_KEY}\n", 0600);
	my %variable = (
		swift_env($swift),
		WALG_S3_PREFIX => "$stands_for->{'s3://my-bucket'}/my-database",
		WALG_LIBSODIUM_KEY_PATH => "$home/forge_backup/key",
		WALG_LIBSODIUM_KEY_TRANSFORM => 'hex');
	write_text("$home/forge_backup/env/$_", "$variable{$_}\n", 0600) for keys %variable;
	$node->append_conf('postgresql.conf', <<"END");
shared_preload_libraries = 'forge_backup'
archive_mode = on
archive_library = 'forge_backup'
forge_backup.storage = '$stands_for->{'s3://my-bucket'}/my-database'
forge_backup.s3_endpoint = '$swift->{ENDPOINT}'
forge_backup.s3_region = '$swift->{REGION}'
forge_backup.s3_path_style = on
forge_backup.secret_dir = '$home/forge_backup/secret'
forge_backup.encryption_key_files = '$home/forge_backup/key'
END
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION forge_backup');
	wait_first_backup($node);
	wait_archived($node);
	return;
}

sub run_sql
{
	my ($node, $text) = @_;
	$text =~ s/CREATE EXTENSION forge_backup/CREATE EXTENSION IF NOT EXISTS forge_backup/;
	my ($code, $stdout, $stderr) = $node->psql('postgres', $text, on_error_stop => 1);
	return ($code, "$stdout$stderr");
}

# undef for what the test of the tests does itself, after a look that it exists.
sub run_shell
{
	my ($node, $text, $home, $where) = @_;
	if ($text =~ /^(\.\/dev \w+|make\b)/)
	{
		for my $command (split /\n/, $text)
		{
			ok($command =~ /^\.\/dev (\w+)/ ? $dev =~ /^    \Q$1\E\)/m : $dev =~ /\bmake\b/, "$where: $command is known to ./dev");
		}
		return;
	}
	my ($stdout, $stderr) = ('', '');
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres');
	my $done = IPC::Run::run([ 'bash', '-e' ], '<', \"cd '$home'\n$text", '>', \$stdout, '2>', \$stderr, IPC::Run::timeout(120));
	return ($done ? 0 : 1, "$stdout$stderr");
}
