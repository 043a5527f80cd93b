#include "extension/events.h"

#include "extension/wall_clock.h"

#include <sys/file.h>
#include <sys/stat.h>

namespace forge::server {

namespace {

constexpr const char* kDirectory = "forge_backup";
constexpr const char* kFile = "forge_backup/events";
// The file is shortened by the next start of the server above this, to as many events as shared memory holds.
constexpr off_t kLongFile = 1 << 20;
constexpr std::size_t kFields = 5;

// Open and locked; writers share the lock, who shortens the file has it alone.
class EventFile {
public:
    EventFile(int flags, int lock) : file_(open(kFile, flags | O_CLOEXEC, static_cast<mode_t>(pg_file_create_mode))) {
        if (file_ >= 0 && flock(file_, lock) != 0) close_now();
    }
    ~EventFile() { close_now(); }
    EventFile(const EventFile&) = delete;
    EventFile& operator=(const EventFile&) = delete;
    int get() const { return file_; }
    bool good() const { return file_ >= 0; }

private:
    void close_now() {
        if (file_ >= 0) close(file_);
        file_ = -1;
    }
    int file_;
};

// On one line, whatever a message brings along.
std::string one_line(std::string_view text) {
    std::string line(text);
    for (char& c : line)
        if (static_cast<unsigned char>(c) < ' ') c = ' ';
    return line;
}

// The caller holds the lock.
void keep(EventsInfo& events, TimestampTz at, const std::array<std::string_view, kFields - 1>& texts) {
    EventRow& row = events.rows[events.count++ % kMaxEvents];
    row.at = at;
    row.kind.set(texts[0]);
    row.subject.set(texts[1]);
    row.outcome.set(texts[2]);
    row.detail.set(texts[3]);
}

// Times as microseconds: exact, and nothing to parse.
std::string format_row(const EventRow& row) {
    return std::to_string(unix_micros(row.at)) + "\t" + std::string(row.kind.view()) + "\t" +
           std::string(row.subject.view()) + "\t" + std::string(row.outcome.view()) + "\t" +
           std::string(row.detail.view()) + "\n";
}

// The caller holds the lock.
void keep_line(EventsInfo& events, std::string_view line) {
    std::array<std::string_view, kFields> fields;
    for (std::size_t i = 0; i < kFields; ++i) {
        const std::size_t end = i + 1 == kFields ? line.size() : line.find('\t');
        if (end == line.npos) return;
        fields[i] = line.substr(0, end);
        line.remove_prefix(std::min(line.size(), end + 1));
    }
    const auto micros = parse_number<std::int64_t>(fields[0]);
    if (micros) keep(events, from_unix_micros(*micros), {fields[1], fields[2], fields[3], fields[4]});
}

std::string read_whole(int file, off_t size) {
    // Of a very long file only what shared memory can hold is of interest.
    constexpr off_t kMost = static_cast<off_t>(kMaxEvents) * static_cast<off_t>(sizeof(EventRow));
    const off_t from = std::max<off_t>(0, size - kMost);
    std::string text(static_cast<std::size_t>(size - from), '\0');
    const ssize_t got = pread(file, text.data(), text.size(), from);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return from == 0 ? text : text.substr(std::min(text.size(), text.find('\n') + 1));
}

void shorten(int file) {
    std::string text;
    for (const EventRow& row : copy_events()) text += format_row(row);
    if (ftruncate(file, 0) == 0) (void)!pwrite(file, text.data(), text.size(), 0);
}

bool is_loaded() {
    const StateLock lock(shared_state(), LW_SHARED);
    return shared_events()->is_loaded;
}

void write_line(const EventRow& row) {
    (void)mkdir(kDirectory, static_cast<mode_t>(pg_dir_create_mode));
    const EventFile file(O_WRONLY | O_CREAT | O_APPEND, LOCK_SH);
    const std::string line = format_row(row);
    if (file.good()) (void)!write(file.get(), line.data(), line.size());
}

// Only `when(newest of the kind or null)` holds.
template <typename When>
void add(const std::array<std::string_view, kFields - 1>& texts, const When& when) {
    if (shared_state() == nullptr) return;
    load_events();
    EventRow row{};
    const std::string clean = one_line(texts[3]);
    {
        const StateLock lock(shared_state(), LW_EXCLUSIVE);
        EventsInfo& events = *shared_events();
        if (!when(events)) return;
        keep(events, GetCurrentTimestamp(), {texts[0], texts[1], texts[2], clean});
        row = events.rows[(events.count - 1) % kMaxEvents];
    }
    write_line(row);
    wake_scheduler();  // which tells listeners
}

const EventRow* newest_of(const EventsInfo& events, std::string_view kind) {
    for (std::uint64_t i = events.count; i > events.count - std::min(events.count, kMaxEvents); --i) {
        const EventRow& row = events.rows[(i - 1) % kMaxEvents];
        if (row.kind.view() == kind) return &row;
    }
    return nullptr;
}

}  // namespace

void add_event(std::string_view kind, std::string_view subject, std::string_view outcome, std::string_view detail) {
    add({kind, subject, outcome, detail}, [](const EventsInfo&) { return true; });
}

void add_change(std::string_view kind, std::string_view subject, std::string_view outcome, std::string_view detail) {
    // As it would be kept: a long subject is cut.
    EventRow row{};
    row.subject.set(subject);
    row.outcome.set(outcome);
    add({kind, subject, outcome, detail}, [&](const EventsInfo& events) {
        const EventRow* const newest = newest_of(events, kind);
        return newest == nullptr || newest->subject.view() != row.subject.view() ||
               newest->outcome.view() != row.outcome.view();
    });
}

std::vector<EventRow> copy_events() {
    std::vector<EventRow> rows;
    if (shared_state() == nullptr) return rows;
    rows.reserve(kMaxEvents);
    const StateLock lock(shared_state(), LW_SHARED);
    const EventsInfo& events = *shared_events();
    for (std::uint64_t i = events.count - std::min(events.count, kMaxEvents); i < events.count; ++i)
        rows.push_back(events.rows[i % kMaxEvents]);
    return rows;
}

EventCounts count_events() {
    if (shared_state() == nullptr) return {};
    const StateLock lock(shared_state(), LW_SHARED);
    return {shared_events()->count, shared_events()->told};
}

void note_told(std::uint64_t count) {
    const StateLock lock(shared_state(), LW_EXCLUSIVE);
    EventsInfo& events = *shared_events();
    events.told = std::max(events.told, count);
}

void load_events() {
    if (shared_state() == nullptr || is_loaded()) return;
    const EventFile file(O_RDWR, LOCK_EX);
    struct stat info {};
    const bool readable = file.good() && fstat(file.get(), &info) == 0;
    const std::string text = readable ? read_whole(file.get(), info.st_size) : std::string();
    {
        const StateLock lock(shared_state(), LW_EXCLUSIVE);
        EventsInfo& events = *shared_events();
        if (std::exchange(events.is_loaded, true)) return;
        std::string_view rest(text);
        for (std::size_t end = rest.find('\n'); end != rest.npos; end = rest.find('\n')) {
            keep_line(events, rest.substr(0, end));
            rest.remove_prefix(end + 1);
        }
        events.told = events.count;
    }
    if (readable && info.st_size > kLongFile) shorten(file.get());
}

}  // namespace forge::server
