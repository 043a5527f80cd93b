#include "core/wal/spool.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/measurement.h"
#include "core/base/text.h"
#include "core/wal/page_header.h"
#include "core/wal/segment_copy.h"

namespace forge::wal {

namespace {

constexpr std::string_view kPartSuffix = ".part";
constexpr std::string_view kLockName = "lock";
constexpr std::size_t kLongestNote = 64;
constexpr milliseconds kPatience{2000};  // with a part that does not grow
constexpr milliseconds kLook{1};

std::uint64_t file_size(const std::string& path) {
    const auto info = stat_path(path);
    return info.ok() ? static_cast<std::uint64_t>(info->st_size) : 0;
}

}  // namespace

std::string temporary_path(const std::string& destination) {
    return join_path(parent_path(destination), "xlogtemp.forge-" + std::to_string(::getpid()));
}

std::string Spool::part_path(const std::string& segment) const { return path(segment) + std::string(kPartSuffix); }

// All notes have one length but for the size of segments, which never changes: one write replaces the one before.
Status Spool::note(const Position& position) const {
    const std::string file = path(std::string(kLockName));
    FORGE_ASSIGN(const Fd fd, open_file(file, O_WRONLY | O_CREAT, 0600));
    const std::string text = position.segment + " " + std::to_string(position.segment_size) + "\n";
    return write_fd(fd.get(), as_bytes(text), file);
}

std::optional<Spool::Position> Spool::position() const {
    const auto text = read_file(path(std::string(kLockName)), kLongestNote);
    if (!text.ok()) return std::nullopt;
    const std::string_view line = std::string_view(*text).substr(0, text->find('\n'));
    const std::size_t blank = line.find(' ');
    if (blank == std::string_view::npos) return std::nullopt;
    const auto size = parse_number<std::uint64_t>(line.substr(blank + 1));
    Position position{std::string(line.substr(0, blank)), size.value_or(0)};
    if (layout::classify_wal_name(position.segment) != layout::WalKind::kSegment ||
        !layout::is_valid_segment_size(position.segment_size))
        return std::nullopt;
    return position;
}

Result<Fd> Spool::lock() const {
    FORGE_ASSIGN(Fd lock, open_file(path(std::string(kLockName)), O_RDWR | O_CREAT, 0600));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return Status(Kind::kAlreadyExists, "another process is fetching WAL ahead into " + quoted(directory_));
        return errno_status(errno, "could not lock directory", directory_);
    }
    return lock;
}

bool Spool::is_locked() const { return lock().status().is(Kind::kAlreadyExists); }

void Spool::wait_for_part(const std::string& segment, const store::CallContext& context) const {
    const StageScope scope(Stage::kWait);
    const std::string part = part_path(segment);
    std::uint64_t last = 0;
    auto patience = Deadline::after(kPatience);
    while (path_exists(part) && !patience.passed() && !context.deadline.passed()) {
        if (!is_locked()) return;  // left behind by a process that is gone
        if (const std::uint64_t now = file_size(part); now != last) {
            last = now;
            patience = Deadline::after(kPatience);
        }
        if (store::cancel_of(context).wait_for(kLook)) return;
    }
}

// The start of the file only, as it was checked whole before it got its name.
Result<std::uint64_t> Spool::check(const std::string& segment, const Expected& expected) const {
    const std::string what = "WAL file " + quoted(segment) + " in the spool";
    FORGE_ASSIGN(const std::unique_ptr<FileSource> source, FileSource::open(path(segment)));
    Bytes start(kLongHeaderSize);
    FORGE_ASSIGN(const std::size_t got, read_full(*source, start));
    FORGE_ASSIGN(const PageHeader header, parse_first_page(ByteView(start).first(got), what));
    const std::uint64_t size = expected.segment_size.value_or(header.segment_size);
    FORGE_TRY(check_first_page(header, segment, size, expected.system_identifier));
    if (file_size(path(segment)) != size) return Status(Kind::kCorrupt, what + " has another size");
    return size;
}

Status Spool::take(const std::string& segment, const std::string& destination, const Expected& expected,
                   const store::CallContext& context) const {
    wait_for_part(segment, context);
    const std::string spooled = path(segment);
    if (!path_exists(spooled)) return Status(Kind::kNotFound, "WAL file " + quoted(segment) + " is not in the spool");
    const auto size = check(segment, expected);
    Status status = size.status();
    if (status.ok()) {
        if (::rename(spooled.c_str(), destination.c_str()) == 0)
            return must_sync(destination) ? sync_directory(parent_path(destination)) : Status();
        if (errno != EXDEV) return errno_status(errno, "could not rename file", spooled);
        FORGE_ASSIGN(const std::unique_ptr<FileSource> whole, FileSource::open(spooled));
        status =
            copy_wal_file(*whole, segment, layout::WalKind::kSegment, *size, temporary_path(destination), destination);
    }
    FORGE_TRY(remove_file(spooled));
    return status;
}

Status Spool::clean(const std::vector<std::string>& wanted, bool parts) const {
    FORGE_ASSIGN(const std::vector<std::string> present, list_directory(directory_));
    for (const std::string& file : present) {
        const bool is_part = file.ends_with(kPartSuffix);
        const std::string segment = is_part ? file.substr(0, file.size() - kPartSuffix.size()) : file;
        if (layout::classify_wal_name(segment) != layout::WalKind::kSegment) continue;
        const bool is_wanted = std::find(wanted.begin(), wanted.end(), file) != wanted.end();
        if (is_part ? parts : !is_wanted) FORGE_TRY(remove_file(path(file)));
    }
    return {};
}

}  // namespace forge::wal
