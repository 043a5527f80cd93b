# The manual pages and the completion of shells: made from what --help says, whole, the same each time, and at work in a real bash.
use strict;
use warnings;

use ForgeTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my ($code, $overview) = forge_cli('--help');
my @commands = $overview =~ /^  ([a-z-]+) +[A-Z]/mg;
cmp_ok(scalar(@commands), '>', 10, 'the overview lists the commands');

# Every page, every option of the help in it, and no complaint of the formatter's.
my $first = new_directory('first');
my $second = new_directory('second');
is((forge_cli('man', '--into', $_))[0], 0, "pages into $_") for $first, $second;
is_deeply([ sort map { s{.*/}{}r } glob "$first/*" ], [ sort 'forge-backup.1', map { "forge-backup-$_.1" } @commands ], 'a page a command');
is(read_text($_ =~ s/\Q$first\E/$second/r), read_text($_), "$_ is the same each time") for glob "$first/*";
for my $command (@commands)
{
	my (undef, $help) = forge_cli($command, '--help');
	my $page = read_text("$first/forge-backup-$command.1");
	my $plain = $page =~ s/\\-/-/gr;
	my @options = $help =~ /(?<![\w-])(--[a-z][a-z0-9-]+)/g;
	is_deeply([ grep { index($plain, $_) < 0 } @options ], [], "the page of $command has every option of its help");
	is((forge_cli('man', $command))[1], $page, "man $command prints it");
	my ($text, $complaints) = ('', '');
	IPC::Run::run([ 'groff', '-man', '-ww', '-Kutf8', '-Tutf8', "$first/forge-backup-$command.1" ], '>', \$text, '2>', \$complaints);
	is($complaints, '', "and it is well formed");
}
is((forge_cli('man', 'nonsense'))[0], 2, 'there is no page for what does not exist');
is((forge_cli('completion', 'fish'))[0], 2, 'nor a script for another shell');

# What bash offers after these words.
my $scripts = new_directory('scripts');
write_text("$scripts/$_", (forge_cli('completion', $_))[1]) for 'bash', 'zsh';
sub offered
{
	my ($stdout, $stderr) = ('', '');
	my $script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _forge_backup; printf "%s\n" "${COMPREPLY[@]}"';
	IPC::Run::run([ 'bash', '-c', $script, 'bash', "$scripts/bash", 'forge-backup', @_ ], '>', \$stdout, '2>', \$stderr);
	is($stderr, '', "no error after: @_");
	return join ' ', sort split /\n/, $stdout;
}
is(offered('bac'), 'backup-fetch backup-list backup-mark backup-push', 'commands');
is(offered(''), join(' ', sort @commands), 'all of them, and none that is internal');
is(offered('restore', '--target-ac'), '--target-action', 'options of the command');
is(offered('check', '--target-ac'), '', 'and of no other');
is(offered('restore', '--target-action', 'p'), 'pause promote', 'words of an option');
is(offered('--env-dir', 'check', 'wal-p'), 'wal-push', 'the value of an option is no command');
is(offered('--env-dir', "$scripts"), $scripts, 'directories');
is(offered('--env-dir', "$scripts/ba"), '', 'but no file where a directory is wanted');
is(offered('--s3-ca-file', "$scripts/ba"), "$scripts/bash", 'files');

# zsh, in a terminal of its own: what it puts on the line for the one possibility.
SKIP:
{
	skip 'zsh is not installed', 2 if system('command -v zsh >/dev/null') != 0;
	rename("$scripts/zsh", "$scripts/_forge-backup") or die $!;
	for my $case ([ 'restore --target-ac', 'restore --target-action' ], [ 'backup-p', 'backup-push' ])
	{
		my $script = <<'END';
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; PS1=; print READY"
zpty -r shell seen '*READY*READY*'
zpty -w -n shell "forge-backup $2"$'\t'
zpty -r shell seen "*$3*"
print -r -- "$seen"
zpty -d shell
END
		my $seen = '';
		IPC::Run::run([ 'zsh', '-f', '-c', $script, 'zsh', $scripts, @$case ], '<', \'', '>', \$seen, '2>&1', IPC::Run::timeout(60));
		like($seen, qr/\Q$case->[1]\E/, "zsh completes $case->[0]");
	}
}

done_testing();
