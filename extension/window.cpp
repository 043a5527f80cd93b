#include "extension/window.h"

#include "extension/durability.h"

namespace forge::server {

using protocol::Frame;
using protocol::Tag;

namespace {

// The last commit of what is complete. What earlier looks found counts no more when WAL below it is missing now.
CommitSample latest_commit(const WindowInfo& info, XLogRecPtr complete_to) {
    CommitSample latest{};
    if (info.latest.lsn <= complete_to) latest = info.latest;
    for (std::size_t i = 0; i < info.sample_count; ++i) {
        const CommitSample& sample = info.samples[i];
        if (sample.lsn <= complete_to && sample.lsn > latest.lsn) latest = sample;
    }
    return latest;
}

void add_sample(WindowInfo& info, const CommitSample& sample, XLogRecPtr complete_to) {
    if (info.sample_count == kCommitSamples) {
        info.latest = latest_commit(info, complete_to);
        std::copy(info.samples + 1, info.samples + kCommitSamples, info.samples);
        --info.sample_count;
    }
    info.samples[info.sample_count++] = sample;
}

}  // namespace

void note_commits(const char* file, const Frame& answer) {
    const bool is_history = std::string_view(file).ends_with(".history");
    const CommitSample sample{answer.number(Tag::kLatestLsn), instant_of(answer, Tag::kLatestTime)};
    bool wake = false;
    update_state([&](SharedState& state) {
        // With it a look can follow the server's timelines.
        wake = is_history && !state.window.is_known;
        if (wake) state.durability.look_wanted = true;
        TimeLineID timeline = 0;
        if (sample.lsn == InvalidXLogRecPtr) return;
        // What an older timeline holds behind the point where the server left it is lost.
        if (std::sscanf(file, "%8X", &timeline) == 1 && timeline == state.durability.timeline)
            add_sample(state.window, sample, state.durability.complete_to);
    });
    if (wake) wake_scheduler();
}

WindowQuestion window_question() {
    WindowQuestion question;
    if (shared_state() == nullptr) return question;
    const auto state = copy_state();
    const WindowInfo& info = state->window;
    const XLogRecPtr complete_to = state->durability.complete_to;
    question.oldest = info.backup.view();
    question.newest = state->scheduler.newest.view();
    question.wanted = !info.is_known || (info.latest.lsn != InvalidXLogRecPtr && info.latest.lsn > complete_to);
    return question;
}

void note_window(const FoundWindow& found, bool any_backups) {
    update_state([&](SharedState& state) {
        WindowInfo& info = state.window;
        // The history of the server's timeline may not be archived so far, and leads to no backup then.
        info.is_known = !found.backup.empty() || !any_backups;
        info.backup.set(found.backup);
        info.earliest = {found.earliest_lsn, found.earliest};
        info.latest = {found.latest_lsn, found.latest};
        info.looked_at = GetCurrentTimestamp();
    });
}

Window recovery_window(const SharedState* state) {
    Window window;
    if (state == nullptr) return window;
    using State = Window::State;
    const WindowInfo& info = state->window;
    window.state = RecoveryInProgress()                       ? State::kStandby
                   : !XLogArchivingActive()                   ? State::kNotArchived
                   : state->store.state == StoreState::kOff   ? State::kOff
                   : !info.is_known                           ? State::kUnknown
                   : info.backup.empty()                      ? State::kNoBackup
                                                              : State::kKnown;
    if (window.state != State::kKnown) return window;
    window.backup = info.backup.view();
    window.earliest = info.earliest.at;
    window.earliest_lsn = info.earliest.lsn;
    const CommitSample latest = latest_commit(info, state->durability.complete_to);
    window.latest = latest.at;
    window.latest_lsn = latest.lsn;
    window.looked_at = info.looked_at;
    return window;
}

std::string_view window_state_name(Window::State state) {
    switch (state) {
        case Window::State::kKnown: return "known";
        case Window::State::kNoBackup: return "no backup";
        case Window::State::kUnknown: return "unknown";
        case Window::State::kOff: return "off";
        case Window::State::kNotArchived: return "not archived";
        case Window::State::kStandby: return "standby";
        case Window::State::kNotPreloaded: return "not preloaded";
    }
    return "unknown";
}

}  // namespace forge::server
