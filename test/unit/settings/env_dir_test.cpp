#include "core/settings/env_dir.h"

#include <unistd.h>

#include "core/settings/sources.h"
#include "test/unit/settings/test_directory.h"

namespace forge::settings {
namespace {

using Variables = std::map<std::string, std::string>;

class EnvDir : public DirectoryTest {
protected:
    Variables read() {
        auto variables = read_env_dir(inputs_.env_dir, [](std::string_view) { return true; });
        EXPECT_TRUE(variables.ok()) << variables.status().to_string();
        return variables.ok() ? variables->value_or(Variables{{"no", "directory"}}) : Variables();
    }
};

TEST_F(EnvDir, FirstLineWithTrailingBlanksCut) {
    variable("A", "value");
    variable("B", "value \t \nsecond line\n");
    variable("C", " leading blanks stay\n");
    variable("D", std::string_view("one\0two", 7));
    variable("E", "");
    variable("F", "\n");
    variable(".hidden", "x");
    std::filesystem::create_directory(inputs_.env_dir + "/directory");
    EXPECT_EQ(
        read(),
        (Variables{
            {"A", "value"}, {"B", "value"}, {"C", " leading blanks stay"}, {"D", "one\ntwo"}, {"E", ""}, {"F", ""}}));
}

TEST_F(EnvDir, AbsentIsNotTheSameAsEmptyOrBroken) {
    EXPECT_EQ(read(), Variables());
    std::filesystem::remove(inputs_.env_dir);
    EXPECT_EQ(read(), (Variables{{"no", "directory"}}));
    write("env", "a file");
    const auto broken = read_env_dir(inputs_.env_dir, [](std::string_view) { return true; });
    ASSERT_FALSE(broken.ok());
    EXPECT_TRUE(broken.status().is(Kind::kInvalid));
}

TEST_F(EnvDir, OnlyKnownFilesAreRead) {
    variable("WALG_S3_PREFIX", "s3://b/p");
    ASSERT_EQ(::symlink("nowhere", (inputs_.env_dir + "/ca.crt").c_str()), 0);
    auto variables = read_env_dir(inputs_.env_dir, is_known_variable);
    ASSERT_TRUE(variables.ok()) << variables.status().to_string();
    EXPECT_EQ(*variables, (Variables{{"WALG_S3_PREFIX", "s3://b/p"}}));
}

TEST_F(EnvDir, UnreadableFileIsAnErrorThatNamesIt) {
    ASSERT_EQ(::symlink("nowhere", (inputs_.env_dir + "/WALG_S3_PREFIX").c_str()), 0);
    const auto broken = read_env_dir(inputs_.env_dir, is_known_variable);
    ASSERT_FALSE(broken.ok());
    EXPECT_NE(broken.status().message().find(inputs_.env_dir + "/WALG_S3_PREFIX"), std::string::npos);
}

TEST_F(EnvDir, MountOfKubernetesIsRead) {  // K1
    write("env/..2026_1/AWS_REGION", "one");
    ASSERT_EQ(::symlink("..2026_1", (inputs_.env_dir + "/..data").c_str()), 0);
    ASSERT_EQ(::symlink("..data/AWS_REGION", (inputs_.env_dir + "/AWS_REGION").c_str()), 0);
    EXPECT_EQ(read(), (Variables{{"AWS_REGION", "one"}}));
}

TEST(KnownVariables, StorageVariablesHaveThreeSpellings) {
    EXPECT_TRUE(is_known_variable("AWS_ENDPOINT"));
    EXPECT_TRUE(is_known_variable("WALG_AWS_ENDPOINT"));
    EXPECT_TRUE(is_known_variable("WALE_AWS_ENDPOINT"));
    EXPECT_TRUE(is_known_variable("WALG_S3_CA_CERT_FILE"));
    EXPECT_FALSE(is_known_variable("WALG_WALG_LIBSODIUM_KEY"));
    EXPECT_FALSE(is_known_variable("PATH"));
}

}  // namespace
}  // namespace forge::settings
