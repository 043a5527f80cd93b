// The tar stream of a part of a backup, compared with what the backup's manifest says of it.
#pragma once

#include <memory>
#include <string>

#include "core/backup/manifest.h"
#include "core/repository/repository.h"

namespace forge::restore {

class PartReading {
public:
    // `record`: of the manifest, which outlives this; null where there is none, so that nothing is compared.
    explicit PartReading(const backup::ManifestPart* record) : record_(record) {}
    // The source lives no longer than this.
    Result<std::unique_ptr<Source>> open(repository::Repository& repository, const std::string& key,
                                         codec::Method method, const store::CallContext& context);
    // Once the source was read to its end: kCorrupt when it is not what the manifest says.
    Status compare();

private:
    const backup::ManifestPart* record_;
    backup::StreamDigest compressed_, tar_;  // tar_'s digest is taken for manifests of version 1 only
};

}  // namespace forge::restore
