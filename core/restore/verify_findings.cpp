#include "core/restore/verify_findings.h"

#include "core/base/text.h"

namespace forge::restore {
namespace {

constexpr std::size_t kListedProblems = 10;

}  // namespace

bool concerns_object(const Status& status) {
    switch (status.kind()) {
        case Kind::kNotFound:
        case Kind::kCorrupt:
        case Kind::kDenied:
        case Kind::kInvalid:
        case Kind::kConflict:
        case Kind::kExhausted: return true;
        default: return false;
    }
}

void ObjectProblems::error(const Status& status, const std::string& key) {
    std::string message = status.is(Kind::kNotFound) ? "is missing" : status.message();
    for (const std::string& prefix : {key + ": ", quoted(key) + ": ", "object " + quoted(key) + ": "})
        if (message.starts_with(prefix)) message.erase(0, prefix.size());
    error(std::move(message));
}

void ObjectProblems::add(Level level, std::string text) {
    level_ = std::max(level_, level);
    if (texts_.size() < kListedProblems)
        texts_.push_back(std::move(text));
    else
        ++more_;
}

std::string ObjectProblems::text() const {
    std::string joined;
    for (const std::string& text : texts_) joined += (joined.empty() ? "" : "; ") + text;
    if (more_ > 0) joined += "; and " + std::to_string(more_) + " more";
    return joined;
}

void FindingReport::object(const std::string& key, std::uint64_t stored_size, const ObjectProblems& problems,
                           const std::string& remark) {
    ++progress_.objects_done;
    send({key, problems.level(), stored_size, problems.empty() ? remark : problems.text()});
}

void FindingReport::other(const std::string& name, VerifyFinding::Level level, const std::string& detail) {
    send({name, level, 0, detail});
}

std::uint64_t FindingReport::errors() const {
    const std::lock_guard lock(mutex_);
    return errors_;
}

void FindingReport::send(const VerifyFinding& finding) {
    const std::lock_guard lock(mutex_);
    if (finding.level == VerifyFinding::Level::kError) ++errors_;
    report_(finding);
}

}  // namespace forge::restore
