// What the tests of the stores share.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <thread>

#include "core/base/status.h"

namespace forge::store {

inline void expect_ok(const Status& status) { EXPECT_TRUE(status.ok()) << status.to_string(); }

// The value, or the end of the test with the reason.
template <typename T>
T must(Result<T> result) {
    if (!result.ok()) throw std::runtime_error(result.status().to_string());
    return std::move(result).value();
}

// Asks again until true; false after ten seconds.
inline bool eventually(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

inline std::string random_text(std::size_t size) {
    std::mt19937_64 engine(size);
    std::string text;
    text.reserve(size + 8);
    while (text.size() < size) {
        const std::uint64_t word = engine();
        text.append(reinterpret_cast<const char*>(&word), sizeof word);
    }
    text.resize(size);
    return text;
}

class TemporaryDirectory {
public:
    TemporaryDirectory() {
        std::string name = std::filesystem::temp_directory_path() / "forge_store.XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
        path_ = name;
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

}  // namespace forge::store
