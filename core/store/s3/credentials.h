// Credentials that nobody wrote down: they are asked for when they are needed, and again before they expire. Where
// they may come from, in the order of AWS's own clients: a web identity (the token file of a Kubernetes service
// account), a profile in the shared credentials file, the container's agent, the instance's metadata service; and a
// role that is assumed with what one of these gave, or with keys that are written down.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/store/retry.h"
#include "core/store/s3/s3_store.h"

namespace forge::store::s3 {

inline constexpr const char* kMetadataEndpoint = "http://169.254.169.254";
inline constexpr const char* kMetadataEndpointIpv6 = "http://[fd00:ec2::254]";

// What the variables say about where to ask. Empty = not said.
struct CredentialPlaces {
    S3Credentials keys;  // written down; here to assume a role with
    std::string region = "us-east-1";
    std::string role_arn;
    std::string role_session_name = "forge-backup";
    std::string web_identity_token_file;  // read at every use: Kubernetes replaces it
    std::string sts_endpoint;             // "https://host[:port]"; empty = AWS of the region
    std::string profile;                  // empty = "default", which may be missing
    std::string credentials_file;
    bool credentials_file_named = false;  // by a variable: then it must be there
    std::string container_url;
    std::string container_token, container_token_file;  // value of the Authorization header
    std::string metadata_endpoint = kMetadataEndpoint;  // empty = not to be asked
    std::string ca_file;                                // as in S3Options
    std::string proxy;                                  // of the token service only: the others are never far away
    std::string hint;                                   // where keys could be written down, a sentence

    bool operator==(const CredentialPlaces&) const = default;
};

// The source that will be asked first: "web identity, role arn:…", "instance metadata".
std::string name_of_source(const CredentialPlaces& places);

struct IssuedCredentials {
    S3Credentials keys;
    std::string source;              // what describe() shows: never a secret
    std::optional<Instant> expires;  // by the clock of the issuer
    std::optional<milliseconds> lifetime;
};

// Asks the first source that is there, once. kDenied, with all that was tried, when there is none; retryable when a
// source that is there could not answer. `answered_before`: a metadata service that does not answer now has done so.
Result<IssuedCredentials> fetch_credentials(const CredentialPlaces& places, const CredentialQuestion& question,
                                            bool answered_before);

// Keeps what was issued. Thread-safe; one thread asks at a time, the others go on with what is still valid, or wait.
class CredentialProvider {
public:
    explicit CredentialProvider(Random random = random_fraction) : random_(std::move(random)) {}

    // Asked again well before the expiry, after a refusal (at once for an expired token, else once a minute), and when
    // the places are others than before.
    Result<S3Credentials> get(const CredentialPlaces& places, const CredentialQuestion& question);
    // "instance metadata, role app, access key fingerprint 1a2b3c4d, expires 2026-11-22 10:00:00 UTC", with the last
    // failure; empty before anything was asked for.
    std::string describe() const;

private:
    bool is_usable(const CredentialQuestion& question) const;
    Result<S3Credentials> settle(Result<IssuedCredentials> issued, const CredentialQuestion& question);
    void keep(IssuedCredentials issued);
    Result<S3Credentials> outcome() const;
    milliseconds jittered(milliseconds span) const;

    Random random_;
    mutable std::mutex mutex_;
    std::condition_variable done_;
    CredentialPlaces places_;
    bool asking_ = false;
    std::uint64_t rounds_ = 0;  // of asking
    std::optional<IssuedCredentials> current_;
    Steady::time_point issued_at_{};
    Steady::time_point expires_at_ = Steady::time_point::max();
    Status failure_;                     // of the last round
    Steady::time_point silent_until_{};  // a failure that asking again will not mend is not asked for again before
};

}  // namespace forge::store::s3
