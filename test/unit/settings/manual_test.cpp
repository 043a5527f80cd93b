// The manual, the server's table of settings and the code name the same things.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "core/base/file.h"
#include "core/settings/sources.h"

namespace forge::settings {
namespace {

std::string text_of(const std::string& path) {
    auto text = read_file(std::string(FORGE_TEST_DATA) + "/../../" + path, 1 << 20);
    EXPECT_TRUE(text.ok()) << text.status().to_string();
    return text.ok() ? *text : "";
}

std::set<std::string> matches(const std::string& text, const char* pattern) {
    std::set<std::string> found;
    const std::regex expression(pattern);
    for (std::sregex_iterator it(text.begin(), text.end(), expression), end; it != end; ++it) found.insert((*it)[1]);
    return found;
}

TEST(Manual, DescribesEverySettingOfTheServer) {
    const auto defined = matches(text_of("extension/settings.cpp"), R"re("(forge_backup\.[a-z0-9_]+)")re");
    const auto described = matches(text_of("docs/settings.md"), R"re(\n### `(forge_backup\.[a-z0-9_]+)`)re");
    EXPECT_GT(defined.size(), 15U);
    EXPECT_EQ(defined, described);
}

TEST(Manual, DescribesEveryVariable) {
    const std::string manual = text_of("docs/settings.md");
    const auto described =
        matches(manual.substr(manual.find("\n## Variables")), R"re(`([A-Z][A-Z0-9]*_[A-Z0-9_]+|SCOPE|PGVERSION)`)re");
    const auto known = known_variables();
    for (const std::string_view name : known) EXPECT_TRUE(described.contains(std::string(name))) << name;
    for (const std::string& name : described) {
        // "WALG_" and "WALE_" alone are the prefixes.
        EXPECT_TRUE(name == "WALG_" || name == "WALE_" || is_known_variable(name)) << name;
    }
}

TEST(Manual, EverySettingHasDefaultContextAndExample) {
    const std::string manual = text_of("docs/settings.md");
    const std::regex heading(R"re(\n### `([a-z0-9_.]+)`\n)re");
    for (std::sregex_iterator it(manual.begin(), manual.end(), heading), end; it != end; ++it) {
        const auto start = static_cast<std::size_t>(it->position() + it->length());
        const std::string section = manual.substr(start, manual.find("\n##", start) - start);
        for (const char* needed :
             {"\n- **Default**: ", "\n- **Context**: reload\n", "\n- **Example**: `forge_backup."}) {
            EXPECT_THAT(section, testing::HasSubstr(needed)) << (*it)[1];
        }
    }
}

}  // namespace
}  // namespace forge::settings
