// What verification finds: problems collected object by object, reported one object at a time.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "core/restore/verify.h"

namespace forge::restore {

// The object is what is wrong, not the store: verification notes it and goes on.
bool concerns_object(const Status& status);

// What is wrong with one object. One thread at a time.
class ObjectProblems {
public:
    using Level = VerifyFinding::Level;

    void error(std::string text) { add(Level::kError, std::move(text)); }
    void warning(std::string text) { add(Level::kWarning, std::move(text)); }
    // The error without the name of the object, which the finding has anyway.
    void error(const Status& status, const std::string& key);
    bool empty() const { return texts_.empty(); }
    bool has_error() const { return level_ == Level::kError; }
    Level level() const { return level_; }
    // At most ten problems in one line.
    std::string text() const;

private:
    void add(Level level, std::string text);

    Level level_ = Level::kOk;
    std::vector<std::string> texts_;
    std::size_t more_ = 0;
};

// Thread-safe.
class FindingReport {
public:
    FindingReport(const std::function<void(const VerifyFinding&)>& report, VerifyProgress& progress)
        : report_(report), progress_(progress) {}

    // An object was looked at. `remark`: what to say when nothing is wrong with it.
    void object(const std::string& key, std::uint64_t stored_size, const ObjectProblems& problems,
                const std::string& remark = {});
    // Something that is no object: what is missing, the backup as a whole.
    void other(const std::string& name, VerifyFinding::Level level, const std::string& detail);
    void missing(const std::string& key, VerifyFinding::Level level, const std::string& detail = "is missing") {
        other(key, level, detail);
    }
    std::uint64_t errors() const;

private:
    void send(const VerifyFinding& finding);

    const std::function<void(const VerifyFinding&)>& report_;
    VerifyProgress& progress_;
    mutable std::mutex mutex_;
    std::uint64_t errors_ = 0;
};

}  // namespace forge::restore
