// A directory of its own for each test, with the helpers that tests of settings share.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "core/base/file.h"
#include "core/settings/settings.h"

namespace forge::settings {

class DirectoryTest : public testing::Test {
protected:
    void SetUp() override {
        std::string name = (std::filesystem::temp_directory_path() / "forge_settings_XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        root_ = name;
        inputs_.env_dir = root_ + "/env";
        std::filesystem::create_directory(inputs_.env_dir);
    }
    void TearDown() override { std::filesystem::remove_all(root_); }

    std::string write(const std::string& name, std::string_view content) {
        const std::string path = root_ + "/" + name;
        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        EXPECT_TRUE(write_file_durably(path, as_bytes(content)).ok());
        return path;
    }
    void variable(const std::string& name, std::string_view value) { write("env/" + name, value); }
    void use_secret_dir() {
        inputs_.secret_dir = root_ + "/secret";
        std::filesystem::create_directories(inputs_.secret_dir);
    }
    Settings loaded() {
        auto settings = load(inputs_);
        EXPECT_TRUE(settings.ok()) << settings.status().to_string();
        return settings.ok() ? *settings : Settings();
    }
    Status failure() {
        const auto settings = load(inputs_);
        EXPECT_FALSE(settings.ok());
        return settings.status();
    }
    static Settings::Origin origin(const Settings& settings, const std::string& name) {
        for (const auto& origin : settings.origins) {
            if (origin.name == name) return origin;
        }
        return {name, "(no origin)", "(no origin)"};
    }

    std::string root_;
    Inputs inputs_;
};

}  // namespace forge::settings
