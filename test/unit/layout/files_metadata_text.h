// files_metadata.json from what was read of one.
#pragma once

#include <string>

#include "core/base/text.h"
#include "core/layout/backup_json.h"

namespace forge::test {

inline std::string files_metadata_json(const layout::FilesMetadata& metadata) {
    MemorySink sink;
    layout::FilesMetadataWriter writer(sink);
    bool written = true;
    for (const auto& [name, entry] : metadata.files) written = written && writer.add_file(name, entry).ok();
    for (const auto& [part, members] : metadata.tar_file_sets) {
        written = written && writer.add_part(part).ok();
        for (const std::string& member : members) written = written && writer.add_member(member).ok();
    }
    written = written && writer.finish(metadata.databases_by_names).ok();
    return written ? std::string(as_text(sink.bytes())) : "";
}

}  // namespace forge::test
