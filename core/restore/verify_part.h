// Reads one part of a backup to its very end and compares what is in it with what the backup's records say.
#pragma once

#include "core/restore/verify_inventory.h"
#include "core/restore/verify_pages.h"

namespace forge::restore {

// Reads the part and reports it. A control part sets backup.control, a label part (or label among the data) is compared
// with the sentinel. Parts of one backup may be checked by several threads at once, the control part alone before them.
// Fails only when the store does.
Status check_part(VerifyContext& context, Inventory& backup, InventoryPart& part);

}  // namespace forge::restore
