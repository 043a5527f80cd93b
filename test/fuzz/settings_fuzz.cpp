// Where storages and secrets are named: addresses, keys, and the files of an env directory. What is refused is not
// repeated where it may hold a secret.
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "core/crypto/key.h"
#include "core/settings/env_dir.h"
#include "core/settings/storage_url.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

namespace {

// Stands for the secret: the fuzzer would find every text that our messages have by themselves.
constexpr std::string_view kSecret = "Zq7xK2vN9wLm";

bool shows_secret(const Status& status) { return status.to_string().find(kSecret) != std::string::npos; }

void storages(std::string_view text) {
    const auto place = settings::parse_storage(text);
    if (place.ok()) {
        const auto again = settings::parse_storage(place->url());
        require(again.ok() && again->url() == place->url() && again->directory == place->directory &&
                    again->bucket == place->bucket && again->prefix == place->prefix,
                "a storage's URL names the same place");
    } else {
        require(text.find('@') == std::string_view::npos || !shows_secret(place.status()), "no password is shown");
    }
}

void endpoints(std::string_view text) {
    const auto endpoint = settings::parse_endpoint(text);
    if (endpoint.ok()) {
        require(settings::parse_endpoint(*endpoint).value() == *endpoint, "an endpoint stays what it is");
    } else {
        require(!shows_secret(endpoint.status()), "an endpoint is not repeated");
    }
    const auto wale = settings::parse_wale_endpoint(text);
    if (wale.ok())
        require(settings::parse_endpoint(wale->endpoint).value() == wale->endpoint, "a WAL-E endpoint is an endpoint");
    else
        require(!shows_secret(wale.status()), "a WAL-E endpoint is not repeated");
}

void keys(std::string_view text) {
    for (const auto transform :
         {crypto::KeyTransform::kNone, crypto::KeyTransform::kHex, crypto::KeyTransform::kBase64}) {
        const auto key = crypto::Key::parse(text, transform, "a file");
        if (key.ok())
            require(key->fingerprint().size() == 8, "a key has a fingerprint");
        else
            require(!shows_secret(key.status()), "a key is not repeated");
    }
}

// One directory in memory for the whole run.
const std::string& directory() {
    struct Directory {
        std::string path = "/dev/shm/forge_fuzz_XXXXXX";
        Directory() { require(::mkdtemp(path.data()) != nullptr, "there is a directory"); }
        ~Directory() { std::filesystem::remove_all(path); }
    };
    static const Directory directory;
    return directory.path;
}

void env_files(std::string_view text) {
    std::ofstream(directory() + "/WALG_S3_PREFIX", std::ios::binary | std::ios::trunc) << text;
    const auto variables = settings::read_env_dir(directory(), [](std::string_view) { return true; });
    require(variables.ok() && variables->has_value() && (*variables)->size() == 1, "every file is a variable");
    const std::string& value = (*variables)->begin()->second;
    require(value.find('\0') == std::string::npos, "a value has no zero bytes, which end texts elsewhere");
    require(value.size() <= text.size(), "a value is not longer than its file");
}

}  // namespace

void one_input(ByteView data) {
    const std::string_view text = as_text(data);
    const std::string secret = std::string(text).append(kSecret);
    for (const std::string_view variant : {text, std::string_view(secret)}) {
        storages(variant);
        endpoints(variant);
        keys(variant);
    }
    if (data.size() % 16 == 0) env_files(text);
}

}  // namespace forge::fuzz
