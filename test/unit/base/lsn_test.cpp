#include "core/base/lsn.h"

#include <gtest/gtest.h>

namespace forge {
namespace {

TEST(Lsn, GoesBothWays) {
    EXPECT_EQ(format_lsn(50331688), "0/3000028");
    EXPECT_EQ(parse_lsn("0/3000028"), Lsn{50331688});
    EXPECT_EQ(format_lsn(0xFFFFFFFFFFFFFFFF), "FFFFFFFF/FFFFFFFF");
    EXPECT_EQ(parse_lsn("ffffffff/FFFFFFFF"), Lsn{0xFFFFFFFFFFFFFFFF});
    EXPECT_EQ(parse_lsn("1/0"), Lsn{1} << 32);
}

TEST(Lsn, RefusesEverythingElse) {
    for (const char* text : {"", "/", "1/", "/1", "1", "1/2/3", "123456789/0", "0/123456789", "g/0", "0x1/0", " 0/1",
                             "0/1 ", "-1/0", "0/+1"}) {
        EXPECT_FALSE(parse_lsn(text)) << text;
    }
}

}  // namespace
}  // namespace forge
