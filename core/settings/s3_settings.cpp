// The dialect and the credentials of an S3 store.
#include <fcntl.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/settings/draft.h"
#include "core/settings/storage_url.h"

namespace forge::settings {

namespace {

struct Endpoint {
    std::optional<bool> path_style;
    bool own = false;  // from the setting: what the environment says about addressing is about another endpoint
};

Result<Endpoint> load_endpoint(Draft& draft) {
    Endpoint result;
    auto found = draft.sources.find("s3_endpoint", {"AWS_ENDPOINT"});
    const auto wale = draft.sources.variable({"WALE_S3_ENDPOINT"});
    WaleEndpoint parsed;
    if (wale) {
        auto outcome = parse_wale_endpoint(wale->value);
        if (!outcome.ok()) return outcome.status().with_context(wale->subject());
        parsed = std::move(outcome).value();
    }
    store::S3Options& s3 = draft.settings.s3;
    if (found) {
        auto outcome = parse_endpoint(found->value);
        if (!outcome.ok()) return outcome.status().with_context(found->subject());
        s3.endpoint = std::move(outcome).value();
        result.own = found->rank == 0;
    } else if (wale) {
        s3.endpoint = parsed.endpoint;
        found = wale;
    }
    if (!result.own) result.path_style = parsed.path_style;
    draft.note("s3_endpoint", s3.endpoint, found);
    return result;
}

Status load_path_style(Draft& draft, const Endpoint& endpoint) {
    auto found = draft.sources.setting("s3_path_style", "auto");
    if (!found && !endpoint.own) found = draft.sources.variable({"AWS_S3_FORCE_PATH_STYLE"});
    bool& path_style = draft.settings.s3.path_style;
    if (found) {
        const auto value = parse_bool(found->value);
        if (!value) return found->invalid("this is neither on nor off", "Use \"on\" or \"off\".");
        path_style = *value;
    } else {
        path_style = endpoint.path_style.value_or(!draft.settings.s3.endpoint.empty());
    }
    draft.note("s3_path_style", path_style ? "on" : "off", found);
    return {};
}

Status load_region(Draft& draft) {
    const auto found = draft.sources.find("s3_region", {"AWS_REGION"});
    if (found) {
        if (found->value.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") !=
            std::string::npos) {
            return found->invalid("the region has characters that no region has", "Write it as in \"eu-central-1\".");
        }
        draft.settings.s3.region = found->value;
    }
    draft.note("s3_region", draft.settings.s3.region, found);
    return {};
}

Status load_ca_file(Draft& draft) {
    const auto found = draft.sources.find("s3_ca_file", {"S3_CA_CERT_FILE"});
    if (found) {
        auto file = open_file(found->value, O_RDONLY);
        if (!file.ok()) {
            return file.status()
                .with_kind(Kind::kDenied)
                .with_hint("Name a readable file with the certificates of the S3 server's authority in PEM form.")
                .with_context(found->subject());
        }
        draft.settings.s3.ca_file = found->value;
    }
    draft.note("s3_ca_file", draft.settings.s3.ca_file, found);
    return {};
}

Status load_server_side_encryption(Draft& draft) {
    store::S3Options& s3 = draft.settings.s3;
    if (const auto found = draft.sources.variable({"S3_SSE_C"})) {
        return found->invalid("keys of the customer on the server's side (SSE-C) are not supported",
                              "Remove the variable; use libsodium keys, which the server never sees.");
    }
    const auto method = draft.sources.variable({"S3_SSE"});
    const auto key = draft.sources.variable({"S3_SSE_KMS_ID"});
    if (method && method->value != "AES256" && method->value != "aws:kms") {
        return method->invalid("this is no kind of server-side encryption", "Use \"AES256\" or \"aws:kms\".");
    }
    const bool kms = method && method->value == "aws:kms";
    if (kms && !key) return method->invalid("\"aws:kms\" needs a key", "Set S3_SSE_KMS_ID to the id of the key.");
    if (key && !kms) {
        return key->invalid("a key id is of use with \"aws:kms\" only", "Set S3_SSE to \"aws:kms\", or remove it.");
    }
    if (method) s3.server_side_encryption = method->value;
    if (key) s3.kms_key_id = key->value;
    draft.note("s3_sse", s3.server_side_encryption, method);
    const auto storage_class = draft.sources.variable({"S3_STORAGE_CLASS"});
    if (storage_class) s3.storage_class = storage_class->value;
    draft.note("s3_storage_class", s3.storage_class, storage_class);
    return {};
}

std::optional<Found> access_key_of(const Sources& sources) {
    return sources.variable({"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"});
}

std::optional<Found> secret_key_of(const Sources& sources) {
    return sources.variable({"AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"});
}

Result<store::S3Credentials> read_credentials(const Inputs& inputs) {
    FORGE_ASSIGN(const Sources sources, Sources::read(inputs));
    const auto access = access_key_of(sources);
    const auto secret = secret_key_of(sources);
    if (!access || !secret) {
        const std::string missing = !access && !secret ? "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                                    : access           ? "AWS_SECRET_ACCESS_KEY"
                                                       : "AWS_ACCESS_KEY_ID";
        std::string hint = "Set " + missing + " in " + sources.places() + ".";
        if (sources.variable({"AWS_ROLE_ARN"})) hint += " Roles (AWS_ROLE_ARN) are not supported.";
        return Status(Kind::kDenied, "no credentials for the S3 store", hint);
    }
    store::S3Credentials credentials{access->value, secret->value, {}};
    // A token belongs to its keys: one that a weaker source has is left over from other ones.
    const auto token = sources.variable({"AWS_SESSION_TOKEN"});
    if (token && token->rank <= secret->rank) credentials.session_token = token->value;
    return credentials;
}

void note_secret(Draft& draft, const std::string& name, const std::optional<Found>& found) {
    draft.note(name, found ? "(secret)" + change_of_file(found->file) : "", found);
}

}  // namespace

Status load_s3(Draft& draft) {
    FORGE_ASSIGN(const Endpoint endpoint, load_endpoint(draft));
    FORGE_TRY(load_path_style(draft, endpoint));
    FORGE_TRY(load_region(draft));
    FORGE_TRY(load_ca_file(draft));
    FORGE_TRY(load_server_side_encryption(draft));
    draft.settings.s3.credentials = [inputs = draft.inputs] { return read_credentials(inputs); };
    note_secret(draft, "s3_access_key_id", access_key_of(draft.sources));
    note_secret(draft, "s3_secret_access_key", secret_key_of(draft.sources));
    return {};
}

}  // namespace forge::settings
