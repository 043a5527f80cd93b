// Owner records as rows, the same in SQL and on the command line.
#pragma once

#include <string>

#include "cli/list_rows.h"
#include "core/repository/owner.h"

namespace forge::cli {

// When ("before", "after"), system identifier, cluster name, namespace, id, created by, created at.
Row owner_row(const std::string& when, const repository::OwnerRecord& record);

}  // namespace forge::cli
