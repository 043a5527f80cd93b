// The journal of a restore that is not complete: a file in the target directory that says which backup is being
// restored there and which parts are done, so that the same command, given again, goes on where the last one was
// killed. Its presence together with the absence of global/pg_control is what marks a directory as unfinished.
//
// One JSON object a line. The first: version, backup, digest of its sentinel, boot id of the machine, places of the
// tablespaces. Each other: a part that was read to its end, with the files, directories and links that came of it. A
// line that a kill cut short does not count. Lines are not synced one by one: they tell of data that is not synced
// either, and after a restart of the machine (another boot id) nothing of both is believed.
//
// Thread-safe after open().
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/backup/sha256.h"
#include "core/base/file.h"
#include "core/restore/fetch_places.h"

namespace forge::restore {

inline constexpr std::string_view kJournalName = "forge_restore.journal";

// What came of one part.
struct PartRecord {
    std::vector<std::string> files;
    std::vector<std::pair<std::string, mode_t>> directories;
    std::vector<std::pair<std::string, std::string>> symlinks;  // name -> target
};

// What came of a part, as the line that will say so: a part can hold a million files.
class PartLine {
public:
    void add_file(std::string_view name);
    void add_directory(std::string_view name, mode_t mode);
    void add_symlink(std::string_view name, std::string_view target);
    std::string text(std::string_view key) const;

private:
    std::string files_, directories_, links_;  // members of JSON objects, without brackets
};

class Journal {
public:
    // The target has a journal: its restore may be taken up again.
    static bool is_there(const std::string& target_directory);
    // Which backup it is of; nothing when there is none, or it was cut off before it said so.
    static std::optional<std::string> backup_in(const std::string& target_directory);
    // Starts a journal in the target, or takes up the one that is there. kInvalid: it is of another backup or has other
    // places of tablespaces, or another process restores there now.
    static Result<std::unique_ptr<Journal>> open(const Places& places, const std::string& backup,
                                                 const backup::Digest& sentinel_sha256);

    bool resumed() const { return resumed_; }  // files may be there already
    // What an earlier attempt did with the part; null = it has to be read. By object key.
    const PartRecord* done(const std::string& key) const;
    std::size_t done_count() const { return done_.size(); }
    Status add(const std::string& key, const PartLine& line);
    // The restore is complete.
    Status remove();

private:
    explicit Journal(std::string path) : path_(std::move(path)) {}
    Status read_lines(const std::string& text, const std::string& header);
    Status start(const std::string& header);

    std::string path_;
    Fd fd_;  // holds the lock
    bool resumed_ = false;
    std::map<std::string, PartRecord> done_;
    std::mutex mutex_;
};

}  // namespace forge::restore
