#include "core/base/late_library.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace forge {
namespace {

// The loader's own list of what this process has mapped.
bool is_loaded(const LateLibrary& library) {
    void* handle = ::dlopen(library.soname(), RTLD_LAZY | RTLD_NOLOAD);
    if (handle != nullptr) ::dlclose(handle);
    return handle != nullptr;
}

TEST(LateLibrary, IsLoadedByItsFirstCall) {
    ASSERT_FALSE(is_loaded(libarchive));
    const LateFunction<const char*()> version(libarchive, "archive_version_string");
    ASSERT_FALSE(is_loaded(libarchive));
    EXPECT_EQ(std::string(version()).rfind("libarchive ", 0), 0U);
    EXPECT_TRUE(is_loaded(libarchive));
}

TEST(LateLibrary, GivesFunctionsOfAnyNumberOfArguments) {
    LateLibrary libc("libc.so.6");
    const LateFunction<int(char*, std::size_t, const char*, ...)> print(libc, "snprintf");
    char text[32];
    EXPECT_EQ(print(text, sizeof text, "%d %s %d", 1, "two", 3), 7);
    EXPECT_STREQ(text, "1 two 3");
}

TEST(LateLibrary, MayBeCalledFirstByManyThreads) {
    LateLibrary libm("libm.so.6");
    const LateFunction<double(double)> root(libm, "sqrt");
    std::vector<double> roots(8);
    std::vector<std::thread> threads;
    for (double& result : roots) threads.emplace_back([&] { result = root(81); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(roots, std::vector<double>(8, 9));
}

// Threads of other tests must not be there when a death test forks, so it runs as a new process.
TEST(LateLibraryDeathTest, EndsTheProcessWhenThereIsNone) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    LateLibrary none("libnone-such.so.1");
    const LateFunction<int()> anything(none, "anything");
    EXPECT_EXIT(anything(), testing::ExitedWithCode(127), "error while loading shared libraries: libnone-such.so.1");
    LateLibrary libm("libm.so.6");
    const LateFunction<int()> missing(libm, "no_such_function");
    EXPECT_EXIT(missing(), testing::ExitedWithCode(127), "no_such_function");
}

}  // namespace
}  // namespace forge
