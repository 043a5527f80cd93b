#include "cli/restore_statistics.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/measurement.h"
#include "core/base/text.h"

namespace forge::cli {

namespace {

// Whoever holds the lock needs a fraction of a millisecond.
constexpr int kTries = 20;
constexpr milliseconds kPause{1};
constexpr std::size_t kLongest = 16 << 10;

bool lock_directory(int fd) {
    const CancelToken nobody;
    for (int i = 0; i < kTries; ++i) {
        if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
        nobody.wait_for(kPause);
    }
    return false;
}

// Replaced as a whole, so that a kill leaves the old one or the new one.
Status add_to_file(const std::string& path, Statistics statistics) {
    const auto before = read_file(path, kLongest);
    if (before.ok())
        if (const auto known = decode_statistics(trim(*before))) statistics.merge(*known);
    const std::string temporary = path + ".new";
    {
        FORGE_ASSIGN(const Fd file, open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600));
        const std::string text = encode_statistics(statistics) + "\n";
        FORGE_TRY(write_fd(file.get(), as_bytes(text), temporary));
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) return errno_status(errno, "could not rename file", temporary);
    return {};
}

}  // namespace

void keep_restore_statistics(const std::string& data_directory) {
    const Statistics statistics = take_statistics();
    if (statistics.empty() || !path_exists(join_path(data_directory, "PG_VERSION"))) return;
    const std::string directory = join_path(data_directory, kStatisticsDirectory);
    (void)::mkdir(directory.c_str(), 0700);
    const auto locked = open_file(directory, O_RDONLY | O_DIRECTORY);
    if (!locked.ok() || !lock_directory(locked->get())) return;
    (void)add_to_file(join_path(data_directory, kRestoreStatisticsFile), statistics);
}

}  // namespace forge::cli
