// Where a clone finds its source: the prefix that was given, or one below it, and what there is instead.
#pragma once

#include <memory>
#include <string>

#include "cli/common.h"

namespace forge::cli {

// The prefix of the settings where it has backups; else the highest <prefix>/wal/<version> that has some, which is then
// what session.loaded() says. Null = an error was reported, with the prefixes beside it whose names contain the
// cluster's (a site in front of the name is often forgotten).
std::shared_ptr<repository::Repository> open_source(Session& session);

// One line a backup: name, timeline, when it finished. To standard error.
void list_what_exists(Session& session, repository::Repository& repository);

// "shop" of s3://bucket/spilo/shop/wal/15; empty for a prefix of another form.
std::string cluster_of_prefix(const std::string& storage);

}  // namespace forge::cli
