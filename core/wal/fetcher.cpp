#include "core/wal/fetcher.h"

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/wal/segment_copy.h"
#include "core/wal/spool.h"

namespace forge::wal {

Status take_fetched_ahead(const std::string& name, const FetchOptions& options, const store::CallContext& context) {
    if (options.spool_directory.empty() || layout::classify_wal_name(name) != layout::WalKind::kSegment)
        return Status(Kind::kNotFound, "WAL file " + quoted(name) + " is not fetched ahead");
    return Spool(options.spool_directory)
        .take(name, options.destination, {options.segment_size, options.system_identifier}, context);
}

Status fetch_wal(repository::Repository& repository, const std::string& name, const FetchOptions& options,
                 const store::CallContext& context) {
    const auto kind = layout::classify_wal_name(name);
    if (!kind) return Status(Kind::kInvalid, quoted(name) + " is no name of a WAL file");
    FORGE_ASSIGN(const std::unique_ptr<Source> source, repository.open_wal(name, context));
    return copy_wal_file(*source, name, *kind, options.segment_size, temporary_path(options.destination),
                         options.destination);
}

}  // namespace forge::wal
