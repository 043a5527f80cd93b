# The whole way on a real S3 server: versitygw.
use strict;
use warnings;

use ForgeFlow;
use Test::More;

flow('versitygw');
done_testing();
