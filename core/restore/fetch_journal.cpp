#include "core/restore/fetch_journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/base/text.h"
#include "core/layout/json_text.h"

namespace forge::restore {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr std::size_t kLimit = std::size_t{4} << 30;

// Of this run of the kernel: what was written under another one may have been lost with it.
std::string boot_id() {
    const auto text = forge::read_file("/proc/sys/kernel/random/boot_id", 256);
    return text.ok() ? std::string(trim(*text)) : std::string();
}

std::string line_of(const json& object) { return object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"; }

json header_of(const Places& places, const std::string& backup, const backup::Digest& sentinel_sha256) {
    json tablespaces = json::object();
    for (const TablespacePlace& place : places.tablespaces) tablespaces[place.oid] = place.location;
    return {{"version", kVersion},
            {"backup", backup},
            {"sentinel_sha256", to_hex(sentinel_sha256)},
            {"tablespaces", std::move(tablespaces)}};
}

PartRecord record_of(const json& line) {
    PartRecord record;
    record.files = line.at("files").get<std::vector<std::string>>();
    for (const auto& [name, mode] : line.at("directories").items())
        record.directories.emplace_back(name, mode.get<mode_t>());
    for (const auto& [name, target] : line.at("links").items())
        record.symlinks.emplace_back(name, target.get<std::string>());
    return record;
}

}  // namespace

bool Journal::is_there(const std::string& target_directory) {
    return path_exists(join_path(target_directory, kJournalName));
}

std::optional<std::string> Journal::backup_in(const std::string& target_directory) {
    const auto text = forge::read_file(join_path(target_directory, kJournalName), kLimit);
    if (!text.ok()) return std::nullopt;
    const json first = json::parse(text->substr(0, text->find('\n')), nullptr, false);
    if (!first.is_object() || !first.contains("backup") || !first["backup"].is_string()) return std::nullopt;
    return first["backup"].get<std::string>();
}

Result<std::unique_ptr<Journal>> Journal::open(const Places& places, const std::string& backup,
                                               const backup::Digest& sentinel_sha256) {
    std::unique_ptr<Journal> journal(new Journal(join_path(places.target, kJournalName)));
    // Even an empty one may have files beside it: a kill can come while it is begun anew.
    journal->resumed_ = path_exists(journal->path_);
    FORGE_ASSIGN(journal->fd_, open_file(journal->path_, O_RDWR | O_CREAT | O_NOFOLLOW | O_APPEND));
    if (::flock(journal->fd_.get(), LOCK_EX | LOCK_NB) != 0)
        return Status(Kind::kInvalid, "another restore works in directory " + forge::quoted(places.target),
                      "Wait for it to end, or stop it.");
    FORGE_ASSIGN(const std::string text, forge::read_file(journal->path_, kLimit));
    json header = header_of(places, backup, sentinel_sha256);
    if (text.find('\n') != std::string::npos) FORGE_TRY(journal->read_lines(text, line_of(header)));
    // After a restart of the machine, and for a journal whose first line was cut off, from the beginning.
    if (journal->done_.empty()) {
        header["boot"] = boot_id();
        FORGE_TRY(journal->start(line_of(header)));
    }
    return journal;
}

Status Journal::read_lines(const std::string& text, const std::string& header) {
    const std::vector<std::string> lines = split(text, '\n');  // the last one is empty, or was cut short
    json first = json::parse(lines.front(), nullptr, false);
    if (!first.is_object()) return {};
    const json boot = first.contains("boot") ? first["boot"] : json();
    first.erase("boot");
    if (line_of(first) != header)
        return Status(Kind::kInvalid,
                      "directory " + forge::quoted(parent_path(path_)) + " holds an unfinished restore of backup " +
                          (first.contains("backup") ? first["backup"].dump() : "?") +
                          ", or one with other places of tablespaces",
                      "Restore that backup in the same way to complete it, or delete the directory.");
    if (boot != json(boot_id()) || boot_id().empty()) return {};
    if (::ftruncate(fd_.get(), static_cast<off_t>(text.size() - lines.back().size())) != 0)
        return errno_status(errno, "could not truncate file", path_);
    try {
        for (std::size_t i = 1; i + 1 < lines.size(); ++i) {
            const json line = json::parse(lines[i]);
            done_[line.at("part").get<std::string>()] = record_of(line);
        }
    } catch (const json::exception& error) {
        return Status(Kind::kCorrupt, "file " + forge::quoted(path_) + " is damaged: " + error.what(),
                      "Delete directory " + forge::quoted(parent_path(path_)) + " and restore again.");
    }
    return {};
}

Status Journal::start(const std::string& header) {
    if (::ftruncate(fd_.get(), 0) != 0) return errno_status(errno, "could not truncate file", path_);
    FORGE_TRY(write_fd(fd_.get(), as_bytes(header), path_));
    // The mark of an unfinished directory must be there before anything else is.
    FORGE_TRY(sync_fd(fd_.get(), path_));
    return sync_directory(parent_path(path_));
}

const PartRecord* Journal::done(const std::string& key) const {
    const auto found = done_.find(key);
    return found == done_.end() ? nullptr : &found->second;
}

void PartLine::add_file(std::string_view name) {
    if (!files_.empty()) files_ += ',';
    files_ += layout::json_string(name, false);
}

void PartLine::add_directory(std::string_view name, mode_t mode) {
    if (!directories_.empty()) directories_ += ',';
    directories_ += layout::json_string(name, false) + ":" + std::to_string(mode);
}

void PartLine::add_symlink(std::string_view name, std::string_view target) {
    if (!links_.empty()) links_ += ',';
    links_ += layout::json_string(name, false) + ":" + layout::json_string(target, false);
}

std::string PartLine::text(std::string_view key) const {
    std::string line = "{\"part\":" + layout::json_string(key, false);
    line.append(",\"files\":[").append(files_).append("],\"directories\":{").append(directories_);
    return line.append("},\"links\":{").append(links_).append("}}\n");
}

Status Journal::add(const std::string& key, const PartLine& line) {
    const std::string text = line.text(key);
    const std::lock_guard lock(mutex_);
    return write_fd(fd_.get(), as_bytes(text), path_);
}

Status Journal::remove() {
    FORGE_TRY(remove_file(path_));
    return sync_directory(parent_path(path_));
}

}  // namespace forge::restore
