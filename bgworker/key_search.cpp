#include "bgworker/key_search.h"

#include "extension/settings.h"

namespace forge::server {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;

namespace {

constexpr std::chrono::seconds kStartPatience{30};
// A million objects may have to be asked for.
constexpr std::chrono::hours kLongest{24};

}  // namespace

void KeySearch::start(const std::vector<std::string>& keys, const HelperLink::WakeCheck& interrupted) {
    begun_ = begin(keys, interrupted);
}

Status KeySearch::begin(const std::vector<std::string>& keys, const HelperLink::WakeCheck& interrupted) {
    const Deadline patience = deadline_in(kStartPatience);
    deadline_ = deadline_in(kLongest);
    link_ = std::make_unique<HelperLink>(HelperRole::kQuery, interrupted);
    FORGE_TRY(link_->start(patience));
    FORGE_ASSIGN(const Frame configured, link_->configure(1, settings_snapshot(), patience));
    if (configured.text(Tag::kState) != "on") return Status(Kind::kCancelled, "the storage is not on");
    Frame question(FrameType::kSearchKeys);
    for (const std::string& key : keys) question.add(Tag::kKey, key);
    return link_->send(question, patience);
}

std::optional<Status> KeySearch::look() {
    if (!begun_.ok()) return finish(std::move(begun_));
    while (const auto frame = link_->poll()) {
        if (frame->type == FrameType::kFailed) return finish(status_of(*frame));
        if (frame->type == FrameType::kDone) return finish(Status());
    }
    if (!link_->running()) return finish(Status(Kind::kUnavailable, "the helper process ended"));
    if (SteadyClock::now() < deadline_) return std::nullopt;
    return finish(Status(Kind::kTimeout, "the helper process did not end in time"));
}

void KeySearch::stop() {
    link_.reset();
    begun_ = Status();
}

Status KeySearch::finish(Status status) {
    stop();
    return status;
}

}  // namespace forge::server
