// The facts of the report page, gathered: from the store, and from a server through forge_backup.report_facts().
#pragma once

#include "core/base/log.h"
#include "core/report/facts.h"
#include "core/repository/repository.h"
#include "core/retention/policy.h"
#include "core/settings/settings.h"

namespace forge::cli {

// With everything that the settings tell, and without a store: state off, or an error that says why it cannot be read.
report::Facts facts_without_store(const Result<settings::Settings>& loaded);

// Adds what the store tells. A store that cannot be read is a fact as well. `policy`: whose retention, its `retain` is
// set here.
void add_store_facts(report::Facts& facts, repository::Repository& repository, retention::Policy policy,
                     const store::CallContext& context, Logger& logger);

// Adds what the server told, as JSON.
void add_server_facts(report::Facts& facts, std::string_view json);

}  // namespace forge::cli
