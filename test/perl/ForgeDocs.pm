# Pages of documentation as tests: their blocks, and whether an output has the shape that the page shows.
package ForgeDocs;

use strict;
use warnings;

use Exporter qw(import);
use ForgeTest;
use IPC::Run ();
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(blocks_of run_elsewhere run_sections);

# Fenced blocks of kind sh, sql and ini: kind, text, line, section (the heading above), output (the text of a block without
# kind that follows at once), fails or elsewhere where a remark stands before it.
sub blocks_of
{
	my ($text) = @_;
	my (@blocks, $block, $remark, $last);
	my ($line, $section) = (0, '');
	for (split /\n/, $text)
	{
		$line++;
		if ($block)
		{
			if (!/^\s*```\s*$/) { $block->{text} .= "$_\n"; next; }
			if ($block->{kind} =~ /^(sh|sql|ini)$/) { push @blocks, $last = $block; }
			else
			{
				$last->{output} = $block->{text} if $last && $block->{kind} eq '';
				undef $last;
			}
			undef $block;
		}
		elsif (/^\s*```(\w*)/)
		{
			$block = { kind => $1, text => '', line => $line, section => $section, %{ $remark // {} } };
			undef $remark;
		}
		elsif (/^<!-- fails -->/) { $remark = { fails => 1 }; }
		elsif (/^<!-- run by: (.*) -->/) { $remark = { elsewhere => $1 }; }
		elsif (/\S/)
		{
			undef $remark;
			undef $last;
			$section = $1 if /^##+ (.*)/;
		}
	}
	return @blocks;
}

# The test that runs a whole page, named in its first line.
sub run_elsewhere { return $_[0] =~ /\A<!-- run by: (.*) -->/ ? $1 : undef; }

# Runs the blocks of a page, which are all for the shell. Options:
#   run => CODE      runs a text in the shell, and returns exit code and output
#   before => {…}    by section, or "section N" for its Nth block: what happens to the cluster before it
#   names => CODE    returns by what the names of the page are replaced, word => real one
# The blocks of the first section are definitions: they stand before every other one. A command that only asks is
# repeated until the output has the shape shown, at most for a minute and a half.
sub run_sections
{
	my ($page, %option) = @_;
	my ($prelude, %count, %used) = ('');
	for my $block (blocks_of(read_text(source_dir() . "/$page")))
	{
		my $section = $block->{section};
		$prelude .= $block->{text} if !%count || $count{$section} && keys %count == 1;
		my $number = ++$count{$section};
		my @hooks = ("$section $number", $number == 1 ? $section : ());
		for my $hook (reverse @hooks)
		{
			my $code = $option{before}{$hook} or next;
			$used{$hook} = 1;
			$code->();
		}
		my %name = $option{names}->();
		my $real = sub { my ($text) = @_; $text =~ s/\Q$_\E/$name{$_}/g for sort { length $b <=> length $a } keys %name; return $text; };
		my ($first) = $block->{text} =~ /(.*)/;
		my $asks = $block->{output} && $block->{text} =~ /\A(psql|patronictl list|forge (check|backup-list|verify))/;
		my ($code, $output);
		my $end = time() + ($asks ? 90 : 0);
		while (1)
		{
			my $begin = keys %count == 1 ? '' : $real->($prelude);
			($code, $output) = $option{run}->($begin . $real->($block->{text}));
			last if time() > $end || has_shape($output, $block->{output}) && ($code == 0) != ($block->{fails} // 0);
			usleep(300_000);
		}
		note("$page line $block->{line}, $section:\n$block->{text}$output");
		ok(($code == 0) != ($block->{fails} // 0), "$section: $first") or diag($output);
		ok(has_shape($output, $block->{output}), "$section: and its output looks as the page says")
		  or diag("is:\n$output\nshould be like:\n$block->{output}") if $block->{output};
	}
	my @unused = grep { !$used{$_} } sort keys %{ $option{before} };
	return is("@unused", '', "every part of $page that a test prepares is there");
}

# Each line shown is there, in this order. A number in a line stands for any number, "…" for anything, a WAL file for any WAL file.
sub has_shape
{
	my ($output, $shape) = @_;
	my @lines = split /\n/, $output;
	for my $expected (grep { /\S/ } split /\n/, $shape // '')
	{
		# A line that is a number is meant as it stands.
		my $pattern = $expected =~ /^\s*\d{1,9}\s*$/ ? $expected =~ s/\s//gr : join '.*', map { shape_of($_) } split /\s*(?:…|\xe2\x80\xa6)\s*/, $expected, -1;
		shift @lines while @lines && $lines[0] !~ /^\s*$pattern\s*$/;
		return 0 unless @lines;
		shift @lines;
	}
	return 1;
}

sub shape_of
{
	my ($text) = @_;
	$text = quotemeta $text;
	$text =~ s/[0-9A-F]{24}/[0-9A-F]{24}/g;
	$text =~ s/(?<![\[\]\w{])\d+(?![\w}])/\\d+/g;
	$text =~ s/(\\ )+/\\s+/g;
	return $text;
}

1;
