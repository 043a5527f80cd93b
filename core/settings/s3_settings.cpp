// The dialect and the credentials of an S3 store.
#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <array>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/settings/draft.h"
#include "core/settings/storage_url.h"
#include "core/store/s3/credentials.h"

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

// Empty keys where there are none; half a pair is an error.
Result<store::S3Credentials> written_credentials(const Sources& sources) {
    const auto access = access_key_of(sources);
    const auto secret = secret_key_of(sources);
    if (!access && !secret) return store::S3Credentials{};
    if (!access || !secret) {
        const std::string missing = access ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID";
        return Status(Kind::kDenied, "no credentials for the S3 store: " + missing + " is not set",
                      "Set " + missing + " in " + sources.places() + ".");
    }
    store::S3Credentials credentials{access->value, secret->value, {}};
    // A token belongs to its keys: one that a weaker source has is left over from other ones.
    const auto token = sources.variable({"AWS_SESSION_TOKEN"});
    if (token && token->rank <= secret->rank) credentials.session_token = token->value;
    return credentials;
}

std::string value_of(const Sources& sources, std::string_view name) {
    const auto found = sources.variable({name});
    return found ? found->value : "";
}

// Of the user that runs us, whatever HOME says: the server's may be another one.
std::string home_directory() {
    std::array<char, 4096> buffer{};
    struct ::passwd entry {};
    struct ::passwd* found = nullptr;
    if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return {};
    return found->pw_dir;
}

// "http://host" and "http://host/" are the same to people.
Result<std::string> service_address(const Sources& sources, std::string_view name, const std::string& standard) {
    const auto found = sources.variable({name});
    if (!found) return standard;
    auto address = parse_endpoint(found->value);
    if (!address.ok()) return address.status().with_context(found->subject());
    return address;
}

Result<std::string> metadata_endpoint(const Sources& sources) {
    if (const auto disabled = sources.variable({"AWS_EC2_METADATA_DISABLED"})) {
        const auto value = parse_bool(disabled->value);
        if (!value) return disabled->invalid("this is neither true nor false", "Use \"true\" or \"false\".");
        if (*value) return std::string();
    }
    const bool ipv6 = to_lower(value_of(sources, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")) == "ipv6";
    return service_address(sources, "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                           ipv6 ? store::s3::kMetadataEndpointIpv6 : store::s3::kMetadataEndpoint);
}

std::string container_url(const Sources& sources) {
    const std::string path = value_of(sources, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    if (path.empty()) return value_of(sources, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    return "http://169.254.170.2" + std::string(path.starts_with('/') ? "" : "/") + path;
}

Result<store::s3::CredentialPlaces> credential_places(const Sources& sources, const store::S3Options& s3,
                                                      store::S3Credentials written) {
    store::s3::CredentialPlaces places;
    places.keys = std::move(written);
    places.region = s3.region;
    places.ca_file = s3.ca_file;
    places.proxy = s3.proxy;
    places.role_arn = value_of(sources, "AWS_ROLE_ARN");
    if (const auto name = sources.variable({"AWS_ROLE_SESSION_NAME"})) places.role_session_name = name->value;
    places.web_identity_token_file = value_of(sources, "AWS_WEB_IDENTITY_TOKEN_FILE");
    FORGE_ASSIGN(places.sts_endpoint, service_address(sources, "AWS_ENDPOINT_URL_STS", ""));
    places.profile = value_of(sources, "AWS_PROFILE");
    places.credentials_file = value_of(sources, "AWS_SHARED_CREDENTIALS_FILE");
    places.credentials_file_named = !places.credentials_file.empty();
    const std::string home = places.credentials_file_named ? "" : home_directory();
    if (!home.empty()) places.credentials_file = join_path(home, ".aws/credentials");
    places.container_url = container_url(sources);
    places.container_token = value_of(sources, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    places.container_token_file = value_of(sources, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    FORGE_ASSIGN(places.metadata_endpoint, metadata_endpoint(sources));
    places.hint = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in " + sources.places() + ".";
    return places;
}

// Keys that are written down win, unless they are there to assume a role with.
bool are_issued(const Sources& sources, const store::S3Credentials& written) {
    if (written.access_key_id.empty()) return true;
    return sources.variable({"AWS_ROLE_ARN"}) && !sources.variable({"AWS_WEB_IDENTITY_TOKEN_FILE"});
}

void note_secret(Draft& draft, const std::string& name, const std::optional<Found>& found) {
    draft.note(name, found ? "(secret)" + change_of_file(found->file) : "", found);
}

// The variable that decides which source is asked.
std::optional<Found> deciding_variable(const Sources& sources) {
    for (const char* name :
         {"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
          "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_SERVICE_ENDPOINT"}) {
        if (const auto found = sources.variable({name})) return found;
    }
    return std::nullopt;
}

// Files are read at every use, so that nobody has to restart anything after changing them.
Status load_credentials(Draft& draft) {
    store::S3Options& s3 = draft.settings.s3;
    const auto access = access_key_of(draft.sources);
    const auto secret = secret_key_of(draft.sources);
    note_secret(draft, "s3_access_key_id", access);
    note_secret(draft, "s3_secret_access_key", secret);
    auto provider = std::make_shared<store::s3::CredentialProvider>();
    store::S3Options place;
    place.region = s3.region;
    place.ca_file = s3.ca_file;
    place.proxy = s3.proxy;
    s3.credentials = [inputs = draft.inputs, place,
                      provider](const store::CredentialQuestion& question) -> Result<store::S3Credentials> {
        FORGE_ASSIGN(const Sources sources, Sources::read(inputs));
        FORGE_ASSIGN(const store::S3Credentials written, written_credentials(sources));
        if (!are_issued(sources, written)) return written;
        FORGE_ASSIGN(const store::s3::CredentialPlaces places, credential_places(sources, place, written));
        return provider->get(places, question);
    };
    const auto written = written_credentials(draft.sources);
    if (!written.ok() || !are_issued(draft.sources, *written)) return {};  // half a pair is told when it is needed
    FORGE_ASSIGN(const store::s3::CredentialPlaces places, credential_places(draft.sources, s3, *written));
    draft.note("s3_credentials", store::s3::name_of_source(places), deciding_variable(draft.sources));
    s3.describe_credentials = [provider] { return provider->describe(); };
    return {};
}

}  // namespace

Status load_s3(Draft& draft) {
    FORGE_ASSIGN(const Endpoint endpoint, load_endpoint(draft));
    FORGE_TRY(load_path_style(draft, endpoint));
    FORGE_TRY(load_region(draft));
    FORGE_TRY(load_ca_file(draft));
    FORGE_TRY(load_server_side_encryption(draft));
    return load_credentials(draft);
}

}  // namespace forge::settings
