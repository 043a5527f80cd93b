// The services and files that issue credentials, each asked once.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/store/s3/credentials.h"
#include "core/store/s3/endpoint.h"
#include "core/store/s3/http_client.h"
#include "core/store/s3/signer.h"
#include "core/store/s3/xml.h"

namespace forge::store::s3 {

namespace {

constexpr std::size_t kMaxAnswer = 256 << 10;
constexpr std::size_t kMaxFile = 1 << 20;
constexpr milliseconds kNearby{1000};  // services of this host: a machine without one must not pay for it
constexpr int kNearbyAttempts = 2;
constexpr milliseconds kAllOfNearby{8000};
constexpr milliseconds kAllOfTokenService{15000};
constexpr std::int64_t kClockTolerance = 60'000'000'000;

struct Reply {
    int status = 0;
    std::string body;
    std::optional<Instant> date;  // the clock of the service
};

// `failure` says how far a request without answer got.
Result<Reply> ask(HttpClient& http, const HttpRequest& request, const CallContext& context,
                  HttpFailure* failure = nullptr) {
    const HttpClient::Started started = http.start(request, context);
    if (failure != nullptr) *failure = started.exchange->failure();
    FORGE_TRY(started.status);
    FORGE_ASSIGN(std::string body, started.exchange->read_text(kMaxAnswer));
    const HttpResponse& response = started.exchange->response();
    return Reply{response.status, std::move(body), parse_http_date(response.header("date"))};
}

// The life that is left counts from the issuer's clock, which is the one it is measured by.
void set_expiry(IssuedCredentials& issued, Instant expires, const std::optional<Instant>& date) {
    issued.expires = expires;
    const Instant now = date.value_or(SystemClock().now());
    issued.lifetime = milliseconds((expires.nanos / 1'000'000) - (now.nanos / 1'000'000));
}

std::string text_of(const nlohmann::json& object, const char* name) {
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool is_one_line(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x20; });
}

// Kinds as for a store, the code in the text, nothing else of what the service says: it may repeat what it was sent.
Status refusal_of(const Reply& reply, const std::string& code, const std::string& hint) {
    const bool slower = reply.status == 429 || code.starts_with("Throttling") || code == "RequestLimitExceeded";
    const bool later = reply.status >= 500 || code == "IDPCommunicationError";
    const Kind kind = slower ? Kind::kThrottled : later ? Kind::kUnavailable : Kind::kDenied;
    std::string text = "the request was refused (" + std::to_string(reply.status);
    if (!code.empty() && code.size() <= 64 && is_one_line(code)) text += " " + code;
    return Status(kind, text + ")", hint).with_http(reply.status, code, "");
}

// The form in which agents and metadata services give credentials.
Result<IssuedCredentials> parse_issued(const Reply& reply, const std::string& hint) {
    const nlohmann::json answer = nlohmann::json::parse(reply.body, nullptr, false);
    const bool object = answer.is_object();
    const std::string code = object ? text_of(answer, "Code") : "";
    if (reply.status != 200 || (!code.empty() && code != "Success")) return refusal_of(reply, code, hint);
    IssuedCredentials issued;
    if (object) {
        issued.keys.access_key_id = text_of(answer, "AccessKeyId");
        issued.keys.secret_access_key = text_of(answer, "SecretAccessKey");
        issued.keys.session_token = text_of(answer, "Token");
    }
    if (issued.keys.access_key_id.empty() || issued.keys.secret_access_key.empty() ||
        !is_one_line(issued.keys.access_key_id) || !is_one_line(issued.keys.session_token)) {
        return Status(Kind::kUnavailable, "the answer has no credentials in it", hint).with_http(reply.status, "", "");
    }
    const Result<Instant> expires = parse_time(text_of(answer, "Expiration"));
    if (expires.ok()) set_expiry(issued, *expires, reply.date);
    return issued;
}

// ---- the instance's metadata service ----

constexpr const char* kMetadataHint = "Give the instance a role that may use the bucket, or set "
                                      "AWS_EC2_METADATA_DISABLED to \"true\".";

class MetadataService {
public:
    MetadataService(const std::string& endpoint, const CallContext& context)
        : endpoint_(endpoint), context_(context),
          http_(HttpOptions{
              .ca_file = "", .proxy = "", .limit = nullptr, .connect_timeout = kNearby, .stall_timeout = kNearby}) {}

    Result<IssuedCredentials> credentials() {
        FORGE_TRY(take_token());
        const std::string folder = "/latest/meta-data/iam/security-credentials/";
        FORGE_ASSIGN(const Reply roles, ask(http_, get(folder), context_));
        if (roles.status != 200) return refusal_of(roles, "", kMetadataHint);
        const std::string role(trim(split(roles.body, '\n')[0]));
        if (role.empty() || !is_one_line(role) || role.size() > 128) {
            return Status(Kind::kDenied, "the instance has no role", kMetadataHint).with_http(roles.status, "", "");
        }
        FORGE_ASSIGN(const Reply document, ask(http_, get(folder + uri_encode(role, false)), context_));
        FORGE_ASSIGN(IssuedCredentials issued, parse_issued(document, kMetadataHint));
        issued.source = "instance metadata, role " + role;
        return issued;
    }

private:
    // Services that only know the first version of the protocol have no tokens; and where the answer with the token
    // cannot reach a container (it may not pass a router), others can.
    Status take_token() {
        HttpRequest request;
        request.method = "PUT";
        request.url = endpoint_ + "/latest/api/token";
        request.headers = {{"x-aws-ec2-metadata-token-ttl-seconds", "300"}};
        request.first_byte_timeout = kNearby;
        HttpFailure failure = HttpFailure::kNone;
        const Result<Reply> reply = ask(http_, request, context_, &failure);
        if (!reply.ok()) {
            const bool connected = failure == HttpFailure::kUnknownOutcome;
            if (reply.status().is(Kind::kTimeout) && connected) return check_context(context_);
            return reply.status();
        }
        if (reply->status == 403 || reply->status == 404 || reply->status == 405 || reply->status == 501) return {};
        if (reply->status != 200) return refusal_of(*reply, "", kMetadataHint);
        token_ = trim(reply->body);
        if (token_.empty() || !is_one_line(token_)) {
            return Status(Kind::kUnavailable, "the answer has no token in it", kMetadataHint)
                .with_http(reply->status, "", "");
        }
        return {};
    }

    HttpRequest get(const std::string& path) const {
        HttpRequest request;
        request.method = "GET";
        request.url = endpoint_ + path;
        if (!token_.empty()) request.headers = {{"x-aws-ec2-metadata-token", token_}};
        request.first_byte_timeout = kNearby;
        return request;
    }

    std::string endpoint_;
    CallContext context_;
    HttpClient http_;
    std::string token_;
};

CallContext within(CallContext context, milliseconds span) {
    context.deadline = context.deadline.or_earlier(Deadline::after(span));
    return context;
}

Result<IssuedCredentials> from_metadata(const CredentialPlaces& places, const CallContext& caller) {
    FORGE_ASSIGN(const Endpoint endpoint, parse_endpoint(places.metadata_endpoint));
    const CallContext context = within(caller, kAllOfNearby);
    for (int attempt = 1;; ++attempt) {
        Result<IssuedCredentials> issued = MetadataService(endpoint.origin(), context).credentials();
        if (issued.ok() || !issued.status().retryable() || attempt == kNearbyAttempts || context.deadline.passed()) {
            if (issued.ok()) return issued;
            return issued.status().with_context("instance metadata service");
        }
    }
}

// ---- the container's agent ----

constexpr const char* kContainerHint =
    "Check AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, AWS_CONTAINER_CREDENTIALS_FULL_URI "
    "and AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE.";

// Over http a token goes to the agents of AWS and to this host only.
Status check_container_url(const std::string& url) {
    const std::size_t scheme = url.find("://");
    const std::size_t end = scheme == std::string::npos ? scheme : url.find_first_of("/?#", scheme + 3);
    const Result<Endpoint> endpoint = parse_endpoint(url.substr(0, end));
    FORGE_TRY(endpoint.status());
    constexpr std::string_view kHosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]",
                                           "localhost",     "127.0.0.1",      "[::1]"};
    if (endpoint->https || std::find(std::begin(kHosts), std::end(kHosts), endpoint->host) != std::end(kHosts)) {
        return {};
    }
    return Status(Kind::kInvalid, "host " + forge::quoted(endpoint->host) + " is neither an agent of AWS nor this one",
                  "Use https in AWS_CONTAINER_CREDENTIALS_FULL_URI, or an address of the agent.");
}

Result<IssuedCredentials> ask_container(const CredentialPlaces& places, const CallContext& context) {
    FORGE_TRY(check_container_url(places.container_url));
    std::string token = places.container_token;
    if (!places.container_token_file.empty()) {
        FORGE_ASSIGN(token, read_file(places.container_token_file, kMaxFile));
    }
    token = trim(token);
    if (!is_one_line(token)) return Status(Kind::kInvalid, "the authorization token is not one line", kContainerHint);
    HttpClient http(HttpOptions{
        .ca_file = "", .proxy = "", .limit = nullptr, .connect_timeout = kNearby, .stall_timeout = kNearby});
    HttpRequest request;
    request.method = "GET";
    request.url = places.container_url;
    if (!token.empty()) request.headers = {{"authorization", token}};
    request.first_byte_timeout = 3 * kNearby;  // it may have to ask somebody else
    FORGE_ASSIGN(const Reply reply, ask(http, request, context));
    return parse_issued(reply, kContainerHint);
}

Result<IssuedCredentials> from_container(const CredentialPlaces& places, const CallContext& caller) {
    Result<IssuedCredentials> issued = ask_container(places, within(caller, kAllOfNearby));
    if (!issued.ok()) return issued.status().with_context("credentials of the container");
    issued->source = "container credentials";
    return issued;
}

// ---- the shared credentials file ----

// "[name]" and below it "key = value". Nothing if there is no such section.
std::optional<S3Credentials> find_profile(const std::string& text, const std::string& name) {
    std::optional<S3Credentials> found;
    bool inside = false;
    for (const std::string& raw : split(text, '\n')) {
        const std::string_view line = trim(raw);
        if (line.empty() || line.front() == '#' || line.front() == ';') continue;
        if (line.front() == '[') {
            inside = trim(line.substr(1, line.find(']') - 1)) == name;
            if (inside && !found) found.emplace();
            continue;
        }
        const std::size_t equals = line.find('=');
        if (!inside || equals == std::string_view::npos) continue;
        const std::string key = to_lower(trim(line.substr(0, equals)));
        const std::string value(trim(line.substr(equals + 1)));
        if (key == "aws_access_key_id") found->access_key_id = value;
        if (key == "aws_secret_access_key") found->secret_access_key = value;
        if (key == "aws_session_token") found->session_token = value;
    }
    return found;
}

// Nothing where nobody asked for a profile and there is none.
Result<std::optional<IssuedCredentials>> from_profile(const CredentialPlaces& places) {
    const bool wanted = !places.profile.empty();
    const std::string name = wanted ? places.profile : "default";
    if (places.credentials_file.empty()) return std::optional<IssuedCredentials>();
    const Result<std::string> text = read_file(places.credentials_file, kMaxFile);
    if (!text.ok()) {
        if (!wanted && !places.credentials_file_named) return std::optional<IssuedCredentials>();
        return text.status()
            .with_kind(Kind::kDenied)
            .with_hint("Make the file, or correct AWS_PROFILE and AWS_SHARED_CREDENTIALS_FILE.");
    }
    const std::optional<S3Credentials> keys = find_profile(*text, name);
    if (!keys && !wanted) return std::optional<IssuedCredentials>();
    if (!keys || keys->access_key_id.empty() || keys->secret_access_key.empty()) {
        return Status(Kind::kDenied,
                      "profile " + forge::quoted(name) + " in " + forge::quoted(places.credentials_file) +
                          (keys ? " has no keys" : " does not exist"),
                      "Give the profile an aws_access_key_id and an aws_secret_access_key.");
    }
    IssuedCredentials issued;
    issued.keys = *keys;
    issued.source = "profile " + forge::quoted(name) + " in " + places.credentials_file;
    return std::optional(std::move(issued));
}

// ---- the token service ----

std::string sts_endpoint_of(const CredentialPlaces& places) {
    if (!places.sts_endpoint.empty()) return places.sts_endpoint;
    const bool china = places.region.starts_with("cn-");
    return "https://sts." + places.region + (china ? ".amazonaws.com.cn" : ".amazonaws.com");
}

class TokenService {
public:
    TokenService(const CredentialPlaces& places, Endpoint endpoint, const CredentialQuestion& question)
        : places_(places), endpoint_(std::move(endpoint)), context_(within(question.context, kAllOfTokenService)),
          now_(question.now), http_(HttpOptions{.ca_file = places.ca_file, .proxy = places.proxy, .limit = nullptr}) {}

    // `form` is the body; `keys` sign the request, which a web identity does not need.
    Result<IssuedCredentials> assume(const NameValues& form, const S3Credentials* keys) {
        const std::string body = canonical_query(form);
        FORGE_ASSIGN(Reply reply, ask(http_, request(body, keys), context_));
        const bool other_clock = reply.date && std::abs(reply.date->nanos - now_.nanos) > kClockTolerance;
        if (reply.status != 200 && keys != nullptr && other_clock) {
            now_ = *reply.date;  // the signature was of another time
            FORGE_ASSIGN(reply, ask(http_, request(body, keys), context_));
        }
        if (reply.status != 200) {
            const std::optional<ErrorAnswer> error = parse_error(reply.body);
            const std::string code = error ? error->code : "";
            return refusal_of(reply, code, hint_for(code));
        }
        const std::optional<AssumedRole> role = parse_assumed_role(reply.body);
        if (!role || !is_one_line(role->session_token)) {
            return Status(Kind::kUnavailable, "the answer of the token service has no credentials in it",
                          "Check that AWS_ENDPOINT_URL_STS is the address of a token service.");
        }
        IssuedCredentials issued;
        issued.keys.access_key_id = role->access_key_id;
        issued.keys.secret_access_key = role->secret_access_key;
        issued.keys.session_token = role->session_token;
        if (role->expires) set_expiry(issued, *role->expires, reply.date);
        return issued;
    }

private:
    HttpRequest request(const std::string& body, const S3Credentials* keys) const {
        HttpRequest http;
        http.method = "POST";
        http.url = endpoint_.origin() + "/";
        http.headers = {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"}};
        http.body = as_bytes(body);
        http.first_byte_timeout = milliseconds(5000);
        if (keys == nullptr) return http;
        SignedParts parts{"POST", "/", {}, http.headers, sha256_hex(http.body)};
        parts.headers.emplace_back("host", endpoint_.authority());
        parts.headers.emplace_back("x-amz-date", amz_date(now_));
        if (!keys->session_token.empty()) parts.headers.emplace_back("x-amz-security-token", keys->session_token);
        http.headers = parts.headers;
        http.headers.emplace_back("authorization", authorization(parts, *keys, {places_.region, "sts", now_}));
        return http;
    }

    std::string hint_for(const std::string& code) const {
        if (code == "AccessDenied" || code == "AccessDeniedException") {
            return "Let the trust policy of the role allow this identity to assume it.";
        }
        if (code == "ExpiredTokenException" || code == "InvalidIdentityToken") {
            return "Check that the file named by AWS_WEB_IDENTITY_TOKEN_FILE is renewed, and that the role trusts its "
                   "issuer.";
        }
        return "Check AWS_ROLE_ARN, AWS_REGION and AWS_ENDPOINT_URL_STS.";
    }

    const CredentialPlaces& places_;
    Endpoint endpoint_;
    CallContext context_;
    Instant now_;
    HttpClient http_;
};

NameValues role_form(const CredentialPlaces& places, const char* action) {
    return {{"Action", action},
            {"Version", "2011-06-15"},
            {"RoleArn", places.role_arn},
            {"RoleSessionName", places.role_session_name}};
}

Result<IssuedCredentials> from_web_identity(const CredentialPlaces& places, const CredentialQuestion& question) {
    if (places.role_arn.empty()) {
        return Status(Kind::kInvalid, "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not",
                      "Set AWS_ROLE_ARN to the role that the token is for.");
    }
    FORGE_ASSIGN(const Endpoint endpoint, parse_endpoint(sts_endpoint_of(places)));
    Result<std::string> token = read_file(places.web_identity_token_file, kMaxFile);
    if (!token.ok()) {
        return token.status()
            .with_kind(Kind::kDenied)
            .with_hint("AWS_WEB_IDENTITY_TOKEN_FILE must name the mounted token of the service account.");
    }
    NameValues form = role_form(places, "AssumeRoleWithWebIdentity");
    form.emplace_back("WebIdentityToken", trim(*token));
    Result<IssuedCredentials> issued = TokenService(places, endpoint, question).assume(form, nullptr);
    if (!issued.ok()) return issued.status().with_context("web identity, role " + forge::quoted(places.role_arn));
    issued->source = "web identity, role " + places.role_arn;
    return issued;
}

Result<IssuedCredentials> assume_role(const CredentialPlaces& places, const CredentialQuestion& question,
                                      const IssuedCredentials& base) {
    FORGE_ASSIGN(const Endpoint endpoint, parse_endpoint(sts_endpoint_of(places)));
    Result<IssuedCredentials> issued =
        TokenService(places, endpoint, question).assume(role_form(places, "AssumeRole"), &base.keys);
    if (!issued.ok()) return issued.status().with_context("role " + forge::quoted(places.role_arn));
    issued->source = "role " + places.role_arn + " assumed with " + base.source;
    return issued;
}

// ---- the order ----

Status nothing_found(const CredentialPlaces& places, const std::string& metadata) {
    std::string tried = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, neither are "
                        "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_CONTAINER_CREDENTIALS_FULL_URI, ";
    if (!places.credentials_file.empty())
        tried += "there is no profile in " + forge::quoted(places.credentials_file) + ", ";
    return Status(Kind::kDenied, "no credentials for the S3 store: " + tried + metadata,
                  places.hint + " Where the machine or the service account has a role, let it use the bucket.");
}

Result<IssuedCredentials> without_role(const CredentialPlaces& places, const CredentialQuestion& question,
                                       bool answered_before) {
    if (!places.keys.access_key_id.empty()) {
        IssuedCredentials written;
        written.keys = places.keys;
        written.source = "AWS_ACCESS_KEY_ID";
        return written;
    }
    FORGE_ASSIGN(std::optional<IssuedCredentials> profile, from_profile(places));
    if (profile) return *std::move(profile);
    if (!places.container_url.empty()) return from_container(places, question.context);
    if (places.metadata_endpoint.empty()) {
        return nothing_found(places, "and the instance metadata service is disabled (AWS_EC2_METADATA_DISABLED)");
    }
    Result<IssuedCredentials> issued = from_metadata(places, question.context);
    if (issued.ok()) return issued;
    const Status& failure = issued.status();
    // Who answered is there, and will answer again; who never did probably is not there.
    if (failure.is(Kind::kCancelled) || (failure.retryable() && (answered_before || failure.http_status() != 0))) {
        return failure;
    }
    return nothing_found(places, "and " + failure.message());
}

}  // namespace

std::string name_of_source(const CredentialPlaces& places) {
    if (!places.web_identity_token_file.empty() && places.keys.access_key_id.empty()) {
        return "web identity, role " + places.role_arn;
    }
    if (!places.role_arn.empty()) return "role " + places.role_arn;
    if (!places.profile.empty()) return "profile " + forge::quoted(places.profile) + " in " + places.credentials_file;
    if (!places.container_url.empty()) return "container credentials";
    return places.metadata_endpoint.empty() ? "none" : "instance metadata";
}

Result<IssuedCredentials> fetch_credentials(const CredentialPlaces& places, const CredentialQuestion& question,
                                            bool answered_before) {
    if (!places.web_identity_token_file.empty() && places.keys.access_key_id.empty()) {
        return from_web_identity(places, question);
    }
    Result<IssuedCredentials> base = without_role(places, question, answered_before);
    if (!base.ok() || places.role_arn.empty()) return base;
    return assume_role(places, question, *base);
}

}  // namespace forge::store::s3
