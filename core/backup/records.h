// What a backup says about its files: the lists of its manifest, and files_metadata.json for other programs.
#pragma once

#include <deque>
#include <string_view>
#include <vector>

#include "core/backup/delta_parent.h"
#include "core/backup/manifest.h"
#include "core/backup/packer.h"

namespace forge::backup {

inline constexpr std::string_view kLabelMember = "backup_label";
inline constexpr std::string_view kMapMember = "tablespace_map";

struct BackupFiles {
    std::deque<PackedMember> packed;        // by part; PackedMember::part is an index in `parts`
    std::deque<SkippedFile> skipped;        // point into the parent, which outlives them
    std::vector<ManifestFile> from_memory;  // pg_control, map and label, which are in no part of `packed`
    std::vector<ManifestPart> parts;        // part_001…, then pg_control, then the label
};

// `files` outlives the result.
ManifestLists lists_of(const BackupFiles& files);
// Does not finish the sink.
Status write_files_metadata(const BackupFiles& files, Sink& sink);

}  // namespace forge::backup
