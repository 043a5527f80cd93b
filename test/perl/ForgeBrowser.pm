# A headless Chromium, driven through chromedriver (the W3C WebDriver protocol): opens a page, tells what the console said
# and what was asked of the network, runs expressions, takes pictures.
package ForgeBrowser;

use strict;
use warnings;

use ForgeTest;
use HTTP::Tiny;
use IPC::Run ();
use JSON::PP ();
use MIME::Base64 ();
use PostgreSQL::Test::Cluster;

# Chromium as root wants no sandbox; the other switches keep it from the network.
my @switches = qw(--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
  --disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --force-color-profile=srgb);

# Options: width and height of the window, in pixels; it is that wide, however narrow, as on a phone.
sub new
{
	my ($class, %option) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $home = new_directory('browser');
	my $self = bless { url => "http://127.0.0.1:$port", http => HTTP::Tiny->new(timeout => 60) }, $class;
	my $log = "$home/chromedriver.log";
	local $ENV{HOME} = $home;
	delete local $ENV{DBUS_SESSION_BUS_ADDRESS};
	$self->{driver} = IPC::Run::start([ 'chromedriver', "--port=$port" ], '<', \'', '>', $log, '2>&1');
	wait_until('chromedriver answers', sub { $self->{http}->get("$self->{url}/status")->{success} }) or die 'no chromedriver';
	my $session = $self->ask(POST => '/session', {
		capabilities => { alwaysMatch => {
			browserName => 'chrome',
			'goog:loggingPrefs' => { browser => 'ALL', performance => 'ALL' },
			'goog:chromeOptions' => {
				args => [ @switches, "--user-data-dir=$home/profile" ],
				mobileEmulation => { deviceMetrics => {
					width => $option{width} // 1200, height => $option{height} // 1000, pixelRatio => 1, mobile => JSON::PP::false, touch => JSON::PP::false } }
			} } } });
	$self->{session} = "/session/$session->{sessionId}";
	return $self;
}

sub ask
{
	my ($self, $method, $path, $body) = @_;
	my $answer = $self->{http}->request($method, "$self->{url}$path",
		{ $body ? (content => JSON::PP::encode_json($body)) : (), headers => { 'Content-Type' => 'application/json' } });
	my $decoded = eval { JSON::PP::decode_json($answer->{content}) } // {};
	die "chromedriver: $method $path: $answer->{status} $answer->{content}" unless $answer->{success};
	return $decoded->{value};
}

sub open_file
{
	my ($self, $path) = @_;
	$self->ask(POST => "$self->{session}/url", { url => "file://$path" });
	return;
}

# What a JavaScript expression gives.
sub value
{
	my ($self, $expression) = @_;
	return $self->ask(POST => "$self->{session}/execute/sync", { script => "return $expression;", args => [] });
}

sub command
{
	my ($self, $name, $parameters) = @_;
	return $self->ask(POST => "$self->{session}/goog/cdp/execute", { cmd => $name, params => $parameters });
}

# "light" or "dark".
sub prefer
{
	my ($self, $scheme) = @_;
	$self->command('Emulation.setEmulatedMedia', { features => [ { name => 'prefers-color-scheme', value => $scheme } ] });
	return;
}

# Lines on the console since the last call.
sub console
{
	my ($self) = @_;
	return map { $_->{message} } @{ $self->ask(POST => "$self->{session}/se/log", { type => 'browser' }) };
}

# URLs that were asked for since the last call, but for those of the browser's own start page.
sub requests
{
	my ($self) = @_;
	my @messages = map { JSON::PP::decode_json($_->{message})->{message} } @{ $self->ask(POST => "$self->{session}/se/log", { type => 'performance' }) };
	return map { $_->{params}{request}{url} }
	  grep { $_->{method} eq 'Network.requestWillBeSent' && $_->{params}{documentURL} !~ /^chrome(?:-untrusted)?:/ } @messages;
}

# A PNG of the top of the page, `height` pixels of it.
sub picture
{
	my ($self, $width, $height) = @_;
	my $shot = $self->command('Page.captureScreenshot',
		{ format => 'png', captureBeyondViewport => JSON::PP::true, clip => { x => 0, y => 0, width => $width, height => $height, scale => 1 } });
	return MIME::Base64::decode_base64($shot->{data});
}

sub quit
{
	my ($self) = @_;
	return unless $self->{driver};
	eval { $self->ask(DELETE => $self->{session}) } if $self->{session};
	$self->{driver}->kill_kill;
	delete $self->{driver};
	return;
}
sub DESTROY { local ($@, $?); $_[0]->quit; }

1;
