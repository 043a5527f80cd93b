// Permanence of a backup: what metadata.json says (walg-format 2.4). The sentinel is never rewritten.
#pragma once

#include <string>
#include <string_view>

#include "core/repository/repository.h"

namespace forge::repository {

// Rewrites metadata.json of the backup, all but the one value byte for byte as it is: members of other programs stay.
// Nothing is written when it says so already; a backup without metadata.json gets one from its sentinel. kNotFound when
// there is no such backup, kCorrupt when what is there cannot be read. Does not look at the chain: a permanent delta
// needs permanent ancestors, which the caller marks first, and nothing may be permanent above one that ceases to be.
Status mark_permanent(Repository& repository, const std::string& name, bool permanent,
                      const store::CallContext& context);

// The text with the value changed; the same text when it says so already.
Result<std::string> with_permanence(std::string_view metadata_json, bool permanent);

}  // namespace forge::repository
