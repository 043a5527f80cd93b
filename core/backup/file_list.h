// The files of one backup, by name. A list can be of millions: one sequence, sorted once.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "core/backup/file_checksum.h"
#include "core/base/time.h"

namespace forge::backup {

// Where the content of a file is.
enum class FileKind : std::uint8_t {
    kWhole,      // in the parts of this backup
    kIncrement,  // the pages that changed since the parent are in the parts of this backup
    kSkipped,    // unchanged since the parent: nothing is in the parts of this backup
};
struct ListedFile {
    std::string name;  // relative to the data directory, without leading slash
    FileKind kind = FileKind::kWhole;
    // Of the whole file as it is in this backup, wherever its content is stored; what is not known is nothing.
    std::optional<std::uint64_t> size{};
    std::optional<FileChecksum> checksum{};
    Instant mtime{};
};

class FileList {
public:
    // In any order; then sort().
    void add(ListedFile file) { files_.push_back(std::move(file)); }
    // Before the first look. A name that is there twice, or nothing.
    const std::string* sort();

    // Null: not in the list.
    ListedFile* find(std::string_view name);
    const ListedFile* find(std::string_view name) const;
    // By name, bytewise.
    auto begin() { return files_.begin(); }
    auto end() { return files_.end(); }
    auto begin() const { return files_.begin(); }
    auto end() const { return files_.end(); }
    std::size_t size() const { return files_.size(); }

private:
    std::deque<ListedFile> files_;  // an array would be there twice while it grows
};

}  // namespace forge::backup
