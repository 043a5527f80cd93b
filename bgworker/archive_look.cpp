#include "bgworker/archive_look.h"

#include "extension/configured.h"
#include "extension/settings.h"

namespace forge::server {

namespace {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;

// A long listing takes its time; the wait is interruptible.
constexpr std::chrono::seconds kPatience{60};

// Where the server is. A standby's WAL is the primary's to archive: there only the backup counts.
Frame question_from_here(bool contents) {
    Frame question(FrameType::kContinuity);
    struct Place {
        TimeLineID timeline;
        XLogRecPtr position;
    };
    const Place place = call_server([] {
        Place here{0, InvalidXLogRecPtr};
        if (RecoveryInProgress())
            (void)GetXLogReplayRecPtr(&here.timeline);
        else
            here.position = GetFlushRecPtr(&here.timeline);
        if (!XLogArchivingActive()) here.position = InvalidXLogRecPtr;
        return here;
    });
    question.add_number(Tag::kTimeline, place.timeline).add_number(Tag::kFinishLsn, place.position);
    if (place.position != InvalidXLogRecPtr) {
        const WindowQuestion window = window_question();
        question.add_number(Tag::kWindow, contents || window.wanted ? 1 : 0);
        question.add(Tag::kBackup, window.oldest).add(Tag::kBackup, window.newest);
    }
    return question.add_number(Tag::kFull, contents ? 1 : 0);
}

void take_row(ArchiveLook& look, const Frame& frame) {
    const auto fields = frame.all(Tag::kValue);
    if (fields.size() >= 2 && fields[0] == "on disk") look.on_disk.emplace_back(fields[1]);
    if (fields.size() >= 4 && fields[0] == "hole")
        look.holes.push_back({std::string(fields[1]), std::string(fields[2]),
                              parse_number<std::uint64_t>(fields[3]).value_or(1), "lost"});
}

void take_end(ArchiveLook& look, const Frame& frame) {
    const std::string_view state = frame.text(Tag::kState);
    look.state = state == "backup"    ? ArchiveLook::State::kBackup
                 : state == "damaged" ? ArchiveLook::State::kDamaged
                 : state == "foreign" ? ArchiveLook::State::kForeign
                                      : ArchiveLook::State::kNoBackups;
    look.problem = frame.text(Tag::kMessage);
    look.backup = frame.text(Tag::kName);
    look.first_file = frame.text(Tag::kWal);
    look.started_at = instant_of(frame, Tag::kStartTime);
    look.finished_at = instant_of(frame, Tag::kFinishTime);
    look.waiting = frame.number(Tag::kCounter);
    if (!frame.has(Tag::kWindow)) return;
    look.window = FoundWindow{std::string(frame.text(Tag::kWindow)), instant_of(frame, Tag::kEarliestTime),
                             instant_of(frame, Tag::kLatestTime), frame.number(Tag::kEarliestLsn),
                             frame.number(Tag::kLatestLsn)};
}

// The mark ".ready" keeps the file from being recycled; only then is it certain that it is there.
bool mark_ready(const char* name) {
    char done[MAXPGPATH];
    char ready[MAXPGPATH];
    char path[MAXPGPATH];
    StatusFilePath(done, name, ".done");
    StatusFilePath(ready, name, ".ready");
    pg_snprintf(path, sizeof(path), XLOGDIR "/%s", name);
    if (access(ready, F_OK) == 0) return false;
    if (access(done, F_OK) == 0) {
        if (durable_rename(done, ready, LOG) != 0) return false;
    } else {
        XLogArchiveNotify(name);
    }
    if (access(path, F_OK) == 0) return true;
    (void)unlink(ready);
    return false;
}

}  // namespace

Result<ArchiveLook> look_at_archive(bool contents, const HelperLink::WakeCheck& on_wake) {
    HelperLink link(HelperRole::kQuery, on_wake);
    const Deadline deadline = deadline_in(kPatience);
    FORGE_TRY(link.start(deadline));
    FORGE_ASSIGN(const Frame configured, link.configure(1, settings_snapshot(), deadline));
    ArchiveLook look;
    note_configured(configured);
    update_state([&](SharedState& state) { look.store = state.store.state; });
    if (look.store == StoreState::kError) return status_of(configured);
    if (look.store == StoreState::kOff) return look;
    Frame question = question_from_here(contents);
    const bool measure = contents && configured.number(Tag::kClone) != 0;
    FORGE_TRY(link.send(question.add_number(Tag::kMeasure, measure ? 1 : 0), deadline));
    for (;;) {
        auto answer = link.receive(deadline);
        if (answer.status().is(Kind::kTimeout)) return Status(Kind::kTimeout, "the store does not answer");
        FORGE_ASSIGN(const Frame frame, std::move(answer));
        if (frame.type == FrameType::kFailed) return status_of(frame);
        if (frame.type == FrameType::kRow) take_row(look, frame);
        if (frame.type != FrameType::kDone) continue;
        take_end(look, frame);
        if (measure) look.bytes_stored = frame.number(Tag::kBytesStored);
        return look;
    }
}

std::uint64_t archive_again(const std::vector<std::string>& names) {
    std::uint64_t marked = 0;
    for (const std::string& name : names) {
        const char* const file = name.c_str();
        if (call_server([file] { return mark_ready(file); })) ++marked;
    }
    if (marked > 0)
        call_server([] {
            PgArchForceDirScan();
            PgArchWakeup();
        });
    return marked;
}

}  // namespace forge::server
