#include "core/restore/in_place.h"

#include <set>

#include "test/unit/backup/fake_cluster.h"

namespace forge::restore {
namespace {

// What lies below a directory under names that begin with `name`.
std::set<std::string> contents_of(const test::TestDirectory& directory, const std::string& name) {
    std::set<std::string> contents;
    for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
        if (!entry.path().filename().string().starts_with(name)) continue;
        const std::string file = entry.is_directory() ? entry.path().string() + "/file" : entry.path().string();
        contents.insert(test::read_text(file));
    }
    return contents;
}

TEST(MakeWay, KeepsWhatSeveralRestoresOfOneSecondSetAside) {
    const test::TestDirectory directory;
    Occupied occupied;
    occupied.directory = directory.path();
    occupied.begun = true;
    std::set<std::string> written;
    for (int round = 0; round < 20; ++round) {
        const std::string text = "round " + std::to_string(round);
        test::write_text(directory / "pg_hba.conf", text);
        std::filesystem::create_directory(directory / "conf.d");
        test::write_text(directory / "conf.d/file", text);
        written.insert(text);
        const Status status = make_way(occupied, {"conf.d", "pg_hba.conf"});
        ASSERT_TRUE(status.ok()) << status.to_string();
    }
    EXPECT_EQ(contents_of(directory, "pg_hba.conf.before_restore."), written);
    EXPECT_EQ(contents_of(directory, "conf.d.before_restore."), written);
}

}  // namespace
}  // namespace forge::restore
