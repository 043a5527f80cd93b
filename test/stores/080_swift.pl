# The whole way on a real S3 server: OpenStack Swift.
use strict;
use warnings;

use ForgeFlow;
use Test::More;

flow('swift');
done_testing();
