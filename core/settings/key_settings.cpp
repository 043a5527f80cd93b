// The key ring.
#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/text.h"
#include "core/settings/draft.h"

namespace forge::settings {

namespace {

using crypto::Key;
using crypto::KeyTransform;

// 64 hex digits or 44 base64 characters where a file is expected: somebody took the setting for the key's own. Then the
// text must not get into a message.
bool looks_like_key(std::string_view text) {
    if (const auto bytes = from_hex(text); bytes && bytes->size() == 32) return true;
    const auto bytes = from_base64(text);
    return bytes && bytes->size() == 32;
}

Result<Key> key_from_file(const Found& found, const std::string& path, std::optional<KeyTransform> transform) {
    if (looks_like_key(path)) {
        return found.invalid("this is a key, not the name of a file with a key",
                             "Write the key to a file that only the server's user can read, and name the file here. "
                             "Consider the key as disclosed.");
    }
    // Relative to what? A command knows, a service does not.
    if (found.rank != 0 && !path.starts_with('/')) {
        return found.invalid("this is not an absolute path", "Name the key file by its absolute path.");
    }
    auto key = Key::from_file(path, transform);
    if (!key.ok()) return key.status().with_context(found.subject());
    return key;
}

Result<Key> key_from_text(const Found& found, std::string_view text, KeyTransform transform) {
    return Key::parse(text, transform, found.file.empty() ? found.name : found.file);
}

void note_key(Draft& draft, const Found& found, const Key& key) {
    const std::string file = key.origin().starts_with('/') ? key.origin() : found.file;
    std::optional<Found> origin = found;
    if (!file.empty()) origin->source = "file " + file;
    draft.note("encryption_key_files", "(secret) fingerprint " + key.fingerprint() + change_of_file(file), origin);
}

Status refuse_other_encryption(const Sources& sources) {
    auto found = sources.variable({"WALG_PGP_KEY", "WALG_PGP_KEY_PATH", "WALG_GPG_KEY_ID", "WALE_GPG_KEY_ID"});
    const char* what = "OpenPGP encryption";
    if (!found) {
        found = sources.variable({"WALG_CSE_KMS_ID", "YC_CSE_KMS_KEY_ID"});
        what = "encryption with keys of a key management service";
    }
    if (!found) return {};
    return found->invalid(
        std::string(what) + " is not supported, and its objects cannot be read",
        "Remove " + found->name +
            "; use libsodium keys (\"encryption_key_files\" or WALG_LIBSODIUM_KEY) with a new prefix.");
}

Status keys_of_setting(Draft& draft, const Found& found, std::vector<Key>& keys) {
    for (const std::string& piece : split(found.value, ',')) {
        const std::string path(trim(piece));
        if (path.empty()) continue;
        FORGE_ASSIGN(Key key, key_from_file(found, path, std::nullopt));
        note_key(draft, found, key);
        keys.push_back(std::move(key));
    }
    if (keys.empty()) return found.invalid("this names no file", "Name one key file, or several with commas between.");
    return {};
}

Result<KeyTransform> load_transform(const Sources& sources) {
    const auto found = sources.variable({"WALG_LIBSODIUM_KEY_TRANSFORM"});
    if (!found) return KeyTransform::kNone;
    // The value stays out of the message: a key may have got here by mistake.
    auto transform = crypto::parse_key_transform(found->value);
    if (transform.ok()) return transform;
    return found->invalid("this is no transform of a key", "Use \"none\", \"hex\" or \"base64\".");
}

Status old_keys(Draft& draft, const Found& found, KeyTransform transform, std::vector<Key>& keys) {
    std::string list = found.value;
    std::replace_if(
        list.begin(), list.end(), [](char c) { return c == ',' || c == '\n' || c == '\t'; }, ' ');
    for (const std::string& piece : split(list, ' ')) {
        if (piece.empty()) continue;
        // A key in base64 may begin with a slash, too.
        const bool is_path = piece.starts_with('/') && !(transform == KeyTransform::kBase64 && looks_like_key(piece));
        auto key = is_path ? key_from_file(found, piece, transform) : key_from_text(found, piece, transform);
        if (!key.ok()) return key.status();
        note_key(draft, found, *key);
        keys.push_back(std::move(key).value());
    }
    return {};
}

Status keys_of_variables(Draft& draft, std::vector<Key>& keys) {
    const auto active = draft.sources.variable({"WALG_LIBSODIUM_KEY", "WALG_LIBSODIUM_KEY_PATH"});
    const auto old = draft.sources.variable({"FORGE_OLD_LIBSODIUM_KEYS"});
    FORGE_ASSIGN(const KeyTransform transform, load_transform(draft.sources));
    if (!active) {
        if (!old) return {};
        return old->invalid("there are old keys, but no key to encrypt with", "Set WALG_LIBSODIUM_KEY as well.");
    }
    const bool is_path = active->name == "WALG_LIBSODIUM_KEY_PATH";
    auto key =
        is_path ? key_from_file(*active, active->value, transform) : key_from_text(*active, active->value, transform);
    if (!key.ok()) return key.status();
    note_key(draft, *active, *key);
    keys.push_back(std::move(key).value());
    return old ? old_keys(draft, *old, transform, keys) : Status();
}

}  // namespace

Status load_keys(Draft& draft) {
    FORGE_TRY(refuse_other_encryption(draft.sources));
    std::vector<Key> keys;
    if (const auto found = draft.sources.setting("encryption_key_files")) {
        FORGE_TRY(keys_of_setting(draft, *found, keys));
    } else {
        FORGE_TRY(keys_of_variables(draft, keys));
    }
    if (keys.empty()) draft.note("encryption_key_files", "", std::nullopt);
    draft.settings.keys = crypto::KeyRing(std::move(keys));
    return {};
}

}  // namespace forge::settings
