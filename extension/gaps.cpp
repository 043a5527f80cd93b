#include "extension/gaps.h"

#include "extension/boundary.h"

#include <sys/stat.h>

namespace forge::server {

namespace {

constexpr const char* kDirectory = "forge_backup";
constexpr const char* kFile = "forge_backup/gaps";
constexpr const char* kTimeFormat = "%Y-%m-%dT%H:%M:%SZ";

// Segment number of a file name: the same on every timeline.
std::string_view position_of(std::string_view name) { return name.size() < 24 ? name : name.substr(8, 16); }

bool follows(std::string_view last, std::string_view first) {
    TimeLineID timeline = 0;
    TimeLineID next_timeline = 0;
    XLogSegNo number = 0;
    XLogSegNo next = 0;
    if (last.size() != XLOG_FNAME_LEN || first.size() != XLOG_FNAME_LEN) return false;
    XLogFromFileName(std::string(last).c_str(), &timeline, &number, wal_segment_size);
    XLogFromFileName(std::string(first).c_str(), &next_timeline, &next, wal_segment_size);
    return next == number + 1;
}

// The caller holds the lock.
void add_gap(GapsInfo& gaps, const Gap& gap, TimestampTz at) {
    if (gaps.count > 0) {
        GapRow& newest = gaps.rows[(gaps.count - 1) % kMaxGaps];
        if (newest.state == GapState::kOpen && newest.reason.view() == gap.reason &&
            follows(newest.last.view(), gap.first)) {
            newest.last.set(gap.last);
            newest.files += gap.files;
            newest.at = at;
            return;
        }
    }
    GapRow& row = gaps.rows[gaps.count++ % kMaxGaps];
    row.first.set(gap.first);
    row.last.set(gap.last);
    row.files = gap.files;
    row.reason.set(gap.reason);
    row.since = row.at = at;
    row.state = GapState::kOpen;
}

std::vector<std::string> split_tabs(std::string_view line) {
    std::vector<std::string> fields;
    for (;;) {
        const std::size_t tab = line.find('\t');
        fields.emplace_back(line.substr(0, tab));
        if (tab == line.npos) return fields;
        line.remove_prefix(tab + 1);
    }
}

std::optional<TimestampTz> parse_time(const std::string& text) {
    tm parts{};
    const char* const end = strptime(text.c_str(), kTimeFormat, &parts);
    if (end == nullptr || *end != '\0') return std::nullopt;
    return time_t_to_timestamptz(static_cast<pg_time_t>(timegm(&parts)));
}

struct Line {
    Gap gap;
    TimestampTz at = 0;
    std::string reason;
};

std::optional<Line> parse_line(std::string_view text) {
    const auto fields = split_tabs(text);
    if (fields.size() != 5) return std::nullopt;
    const auto at = parse_time(fields[0]);
    const auto files = parse_number<std::uint64_t>(fields[3]);
    if (!at || !files) return std::nullopt;
    return Line{{fields[1], fields[2], *files, {}}, *at, fields[4]};
}

// All lines have the length their reason gives them, so that one can be written over.
std::string format_line(const Gap& gap) {
    std::array<char, 128> text{};
    const time_t now = time(nullptr);
    tm parts{};
    gmtime_r(&now, &parts);
    const std::size_t length = strftime(text.data(), text.size(), kTimeFormat, &parts);
    pg_snprintf(text.data() + length, text.size() - length, "\t%.24s\t%.24s\t%010llu\t", gap.first.c_str(),
                gap.last.c_str(), static_cast<unsigned long long>(gap.files));
    return std::string(text.data()) + std::string(gap.reason) + "\n";
}

// The last line, and where it begins; nothing where the file does not end in a whole line.
std::optional<std::pair<Line, off_t>> last_line(int file, off_t size) {
    std::array<char, 256> tail{};
    const off_t from = std::max<off_t>(0, size - static_cast<off_t>(tail.size()));
    const ssize_t got = pread(file, tail.data(), tail.size(), from);
    if (got <= 0) return std::nullopt;
    std::string_view text(tail.data(), static_cast<std::size_t>(got));
    if (!text.ends_with('\n')) return std::nullopt;
    text.remove_suffix(1);
    const std::size_t before = text.rfind('\n');
    if (before == text.npos && from > 0) return std::nullopt;
    const std::size_t begin = before == text.npos ? 0 : before + 1;
    auto line = parse_line(text.substr(begin));
    if (!line) return std::nullopt;
    return std::pair(*std::move(line), from + static_cast<off_t>(begin));
}

// A gap that goes on is written over the last line, so that the file does not grow with every segment.
Status write_gap(int file, Gap gap) {
    struct stat info {};
    if (fstat(file, &info) != 0) return errno_status(errno, "could not stat file", kFile);
    off_t at = info.st_size;
    if (const auto last = last_line(file, at)) {
        if (last->first.reason == gap.reason && follows(last->first.gap.last, gap.first)) {
            gap.first = last->first.gap.first;
            gap.files += last->first.gap.files;
            at = last->second;
        }
    }
    const std::string line = format_line(gap);
    errno = 0;
    if (pwrite(file, line.data(), line.size(), at) == static_cast<ssize_t>(line.size()) && fsync(file) == 0) return {};
    return errno_status(errno != 0 ? errno : ENOSPC, "could not write file", kFile);
}

Status sync_directory(const char* directory) {
    const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool synced = fd >= 0 && fsync(fd) == 0;
    const int error = errno;
    if (fd >= 0) close(fd);
    return synced ? Status() : errno_status(error, "could not sync directory", directory);
}

Status keep_in_file(const Gap& gap) {
    if (mkdir(kDirectory, static_cast<mode_t>(pg_dir_create_mode)) != 0 && errno != EEXIST)
        return errno_status(errno, "could not create directory", kDirectory);
    const bool is_new = access(kFile, F_OK) != 0;
    const int file = open(kFile, O_RDWR | O_CREAT | O_CLOEXEC, static_cast<mode_t>(pg_file_create_mode));
    if (file < 0) return errno_status(errno, "could not open file", kFile);
    Status status = write_gap(file, gap);
    close(file);
    if (status.ok() && is_new) status = sync_directory(kDirectory);
    if (status.ok() && is_new) status = sync_directory(".");
    return status;
}

}  // namespace

Status record_gap(const Gap& gap) {
    FORGE_TRY(keep_in_file(gap));
    update_state([&](SharedState& state) { add_gap(state.gaps, gap, GetCurrentTimestamp()); });
    return {};
}

void load_gaps() {
    const std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(kFile, "re"), fclose);
    if (file == nullptr) return;
    std::array<char, 256> text{};
    while (fgets(text.data(), static_cast<int>(text.size()), file.get()) != nullptr) {
        const auto line = parse_line(trim(text.data()));
        if (!line) continue;
        Gap gap = line->gap;
        gap.reason = line->reason;
        update_state([&](SharedState& state) { add_gap(state.gaps, gap, line->at); });
    }
}

void settle_gaps(std::string_view begin, const std::vector<Gap>& holes) {
    const auto overlaps = [](const GapRow& row, const Gap& hole) {
        return position_of(row.first.view()) <= position_of(hole.last) &&
               position_of(hole.first) <= position_of(row.last.view());
    };
    update_state([&](SharedState& state) {
        for (std::uint64_t i = 0; i < std::min<std::uint64_t>(state.gaps.count, kMaxGaps); ++i) {
            GapRow& row = state.gaps.rows[i];
            if (row.state != GapState::kOpen) continue;
            if (position_of(row.last.view()) < position_of(begin))
                row.state = GapState::kBridged;
            else if (std::none_of(holes.begin(), holes.end(), [&](const Gap& hole) { return overlaps(row, hole); }))
                row.state = GapState::kHealed;
        }
    });
}

bool is_known_gap(const Gap& hole) {
    bool known = false;
    update_state([&](SharedState& state) {
        for (std::uint64_t i = 0; i < std::min<std::uint64_t>(state.gaps.count, kMaxGaps); ++i) {
            const GapRow& row = state.gaps.rows[i];
            known =
                known || (row.state == GapState::kOpen && position_of(row.first.view()) <= position_of(hole.first) &&
                          position_of(hole.last) <= position_of(row.last.view()));
        }
    });
    return known;
}

std::string_view gap_state_name(GapState state) {
    switch (state) {
        case GapState::kOpen: return "open";
        case GapState::kBridged: return "bridged";
        case GapState::kHealed: return "healed";
    }
    return "open";
}

}  // namespace forge::server
