#include "extension/durability.h"

#include "extension/backlog.h"

namespace forge::server {

namespace {

// What was archived in a run counts as soon as it joins what a look has confirmed.
void join(DurabilityInfo& info) {
    const bool meets = info.complete_to != InvalidXLogRecPtr && info.run_from <= info.complete_to;
    if (meets && info.run_to > info.complete_to) info.complete_to = info.run_to;
}

void extend(DurabilityInfo& info, TimeLineID timeline, XLogRecPtr start, XLogRecPtr end) {
    // A file of an older timeline may lie beyond the point where the server left that one.
    if (timeline < info.timeline) {
        info.look_wanted = true;
        return;
    }
    info.timeline = timeline;
    if (start <= info.run_to && end >= info.run_from) {
        info.run_from = std::min(info.run_from, start);
        info.run_to = std::max(info.run_to, end);
    } else {
        info.run_from = start;
        info.run_to = end;
    }
    join(info);
}

void broadcast() {
    if (SharedState* const state = shared_state(); state != nullptr) ConditionVariableBroadcast(&state->durable);
}

struct Place {
    TimeLineID timeline;
    XLogSegNo number;
};
std::optional<Place> place_of(std::string_view file) {
    if (file.size() != XLOG_FNAME_LEN) return std::nullopt;
    const std::string name(file);
    if (!IsXLogFileName(name.c_str())) return std::nullopt;
    Place place{};
    XLogFromFileName(name.c_str(), &place.timeline, &place.number, wal_segment_size);
    return place;
}

XLogRecPtr start_of(XLogSegNo number) { return number * static_cast<std::uint64_t>(wal_segment_size); }

// Just behind where the last record begins that a commit may need; asks every process that writes WAL, so it is not cheap.
XLogRecPtr last_important() {
    const XLogRecPtr start = GetLastImportantRecPtr();
    return start == InvalidXLogRecPtr ? start : start + 1;
}

// The last moment at which all that was written is durable by now; if there was none, the earliest known with something
// that is not.
TimestampTz at_risk_since(const DurabilityInfo& info, const std::optional<Backlog>& known, XLogRecPtr durable,
                          TimestampTz now) {
    TimestampTz since = 0;
    for (std::size_t i = 0; i < info.sample_count; ++i) {
        if (is_covered(info.samples[i].lsn, durable)) since = info.samples[i].last;
    }
    if (since != 0) return since;
    if (info.sample_count > 0) now = info.samples[0].first;
    const Backlog backlog = known ? *known : count_backlog();
    return backlog.first == InvalidXLogRecPtr ? now : std::min(now, backlog.first_finished_at);
}

void add_sample(DurabilityInfo& info, XLogRecPtr written, TimestampTz now) {
    auto* const samples = info.samples;
    std::size_t& count = info.sample_count;
    if (count > 0 && samples[count - 1].lsn >= written) {
        samples[count - 1].last = now;
        return;
    }
    std::size_t settled = 0;
    while (settled + 1 < count && is_covered(samples[settled + 1].lsn, info.complete_to)) ++settled;
    std::copy(samples + settled, samples + count, samples);
    count -= settled;
    if (count == kWrittenSamples) {
        // Every second one: of a long outage the beginning matters.
        for (std::size_t i = 0; i < count / 2; ++i) samples[i] = samples[2 * i];
        count /= 2;
    }
    samples[count++] = {written, now, now};
}

}  // namespace

std::optional<XLogRecPtr> segment_start(std::string_view file) {
    const auto place = place_of(file);
    if (!place) return std::nullopt;
    return start_of(place->number);
}

XLogRecPtr segment_end(std::string_view file) {
    const auto place = place_of(file);
    return place ? start_of(place->number + 1) : InvalidXLogRecPtr;
}

void note_archived(const char* file) {
    const auto place = place_of(file);
    if (!place) return;
    bool look_wanted = false;
    update_state([&](SharedState& state) {
        extend(state.durability, place->timeline, start_of(place->number), start_of(place->number + 1));
        look_wanted = state.durability.look_wanted;
    });
    if (look_wanted) wake_scheduler();
    broadcast();
}

void note_dropped(const char* file) {
    const auto place = place_of(file);
    if (!place) return;
    update_state([&](SharedState& state) {
        DurabilityInfo& info = state.durability;
        info.complete_to = std::min(info.complete_to, start_of(place->number));
        info.run_from = info.run_to = InvalidXLogRecPtr;
        info.look_wanted = true;
    });
}

void note_start_of_writing(bool promoted) {
    if (RecoveryInProgress()) return;
    const XLogRecPtr here = GetXLogInsertRecPtr();
    update_state([&](SharedState& state) {
        DurabilityInfo& info = state.durability;
        if (info.start_from == InvalidXLogRecPtr || promoted) info.start_from = here;
    });
    note_written();
}

FinishedWal finished_wal() {
    const XLogRecPtr here = GetFlushRecPtr(nullptr);
    FinishedWal wal;
    wal.written_to = here - here % static_cast<std::uint64_t>(wal_segment_size);
    const Backlog backlog = count_backlog();
    wal.not_waiting_to = backlog.first == InvalidXLogRecPtr ? wal.written_to : std::min(wal.written_to, backlog.first);
    return wal;
}

void note_look(XLogRecPtr complete, bool all_there) {
    const TimeLineID timeline = RecoveryInProgress() ? 0 : GetWALInsertionTimeLine();
    update_state([&](SharedState& state) {
        DurabilityInfo& info = state.durability;
        info.complete_to = complete;
        info.timeline = std::max(info.timeline, timeline);
        if (complete != InvalidXLogRecPtr && !all_there) info.run_from = info.run_to = InvalidXLogRecPtr;
        join(info);
    });
    broadcast();
}

XLogRecPtr written_so_far() {
    XLogRecPtr written = last_important();
    update_state([&](SharedState& state) { written = std::max(written, state.durability.start_from); });
    return written;
}

XLogRecPtr note_written() {
    XLogRecPtr written = last_important();
    update_state([&](SharedState& state) {
        written = std::max(written, state.durability.start_from);
        add_sample(state.durability, written, GetCurrentTimestamp());
    });
    return written;
}

bool is_covered(XLogRecPtr written, XLogRecPtr durable) {
    return durable != InvalidXLogRecPtr && written <= durable + SizeOfXLogLongPHD;
}

AtRisk data_at_risk(const SharedState* state, const std::optional<Backlog>& backlog) {
    AtRisk risk;
    if (state == nullptr) return risk;
    using State = AtRisk::State;
    if (RecoveryInProgress()) {
        risk.state = State::kStandby;
        return risk;
    }
    const XLogRecPtr written = note_written();
    risk.current = GetXLogInsertRecPtr();
    risk.state = !XLogArchivingActive()                     ? State::kNotArchived
                 : state->store.state == StoreState::kOff   ? State::kOff
                 : state->durability.complete_to == InvalidXLogRecPtr ? State::kUnknown
                 : is_covered(written, state->durability.complete_to) ? State::kDurable
                                                                      : State::kAtRisk;
    if (risk.state != State::kDurable && risk.state != State::kAtRisk) return risk;
    risk.durable = state->durability.complete_to;
    if (risk.state == State::kDurable) return risk;
    const TimestampTz now = GetCurrentTimestamp();
    risk.bytes = risk.current > risk.durable ? risk.current - risk.durable : 0;
    risk.since = at_risk_since(state->durability, backlog, risk.durable, now);
    risk.seconds = static_cast<std::uint64_t>(std::max<std::int64_t>(0, now - risk.since) / USECS_PER_SEC);
    return risk;
}

std::string_view risk_name(AtRisk::State state) {
    switch (state) {
        case AtRisk::State::kDurable: return "durable";
        case AtRisk::State::kAtRisk: return "at risk";
        case AtRisk::State::kUnknown: return "unknown";
        case AtRisk::State::kOff: return "off";
        case AtRisk::State::kNotArchived: return "not archived";
        case AtRisk::State::kStandby: return "standby";
        case AtRisk::State::kNotPreloaded: return "not preloaded";
    }
    return "unknown";
}

}  // namespace forge::server
