// What is used of libcrypto, loaded when it is first called (core/base/late_library.h).
#pragma once

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "core/base/late_library.h"

namespace forge {

FORGE_LATE_FUNCTION(libcrypto, EVP_Digest);
FORGE_LATE_FUNCTION(libcrypto, EVP_DigestFinal_ex);
FORGE_LATE_FUNCTION(libcrypto, EVP_DigestInit_ex);
FORGE_LATE_FUNCTION(libcrypto, EVP_DigestUpdate);
FORGE_LATE_FUNCTION(libcrypto, EVP_MD_CTX_free);
FORGE_LATE_FUNCTION(libcrypto, EVP_MD_CTX_new);
FORGE_LATE_FUNCTION(libcrypto, EVP_md5);
FORGE_LATE_FUNCTION(libcrypto, EVP_sha256);
FORGE_LATE_FUNCTION(libcrypto, HMAC);

}  // namespace forge
