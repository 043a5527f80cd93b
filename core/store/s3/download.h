// Reading one object: checks that every announced byte came, and goes on by range where a connection broke.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/store/s3/client.h"

namespace forge::store::s3 {

// `shown_key` is the key for messages. The client outlives the source.
Result<std::unique_ptr<Source>> open_download(Client& client, const std::string& key, const std::string& shown_key,
                                              std::optional<ByteRange> range, const CallContext& context);

}  // namespace forge::store::s3
