// Credentials that are issued, against services that answer by script.
#include "core/store/s3/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <thread>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/store/s3/signer.h"
#include "test/unit/store/scripted_server.h"
#include "test/unit/store/support.h"

namespace forge::store::s3 {

namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

constexpr const char* kSecret = "issued-secret-words";
constexpr const char* kToken = "issued-session-token";
constexpr const char* kRole = "arn:aws:iam::123456789012:role/app";

// In this many seconds from now, as the services write it.
std::string expiry(std::int64_t in_seconds) {
    return format_rfc3339(Instant::from_seconds(SystemClock().now().seconds() + in_seconds), 0);
}

std::string issued_json(const std::string& id, std::int64_t lifetime) {
    return R"({"Code":"Success","Type":"AWS-HMAC","AccessKeyId":")" + id + R"(","SecretAccessKey":")" + kSecret +
           R"(","Token":")" + kToken + R"(","Expiration":")" + expiry(lifetime) + "\"}";
}

std::string issued_xml(const std::string& action, const std::string& id, std::int64_t lifetime) {
    return "<" + action + "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" + action +
           "Result><Credentials><AccessKeyId>" + id + "</AccessKeyId><SecretAccessKey>" + kSecret +
           "</SecretAccessKey><SessionToken>" + kToken + "</SessionToken><Expiration>" + expiry(lifetime) +
           "</Expiration></Credentials></" + action + "Result></" + action + "Response>";
}

Step sts_error(int status, const std::string& code) {
    return answer(status, "<ErrorResponse><Error><Type>Sender</Type><Code>" + code +
                              "</Code><Message>this repeats issued-secret-words</Message></Error></ErrorResponse>");
}

class WarningLogger final : public Logger {
public:
    void log(LogLevel level, std::string_view message) override {
        const std::lock_guard lock(mutex_);
        if (level == LogLevel::kWarning) warnings.emplace_back(message);
    }
    std::vector<std::string> warnings;

private:
    std::mutex mutex_;
};

class Credentials : public testing::Test {
protected:
    void script(std::vector<Step> steps) { server_ = std::make_unique<ScriptedServer>(std::move(steps)); }
    // An instance with a role; every round of asking takes three steps.
    void instance(std::vector<std::string> documents) {
        std::vector<Step> steps;
        for (std::string& document : documents) {
            steps.push_back(answer(200, "metadata-token"));
            steps.push_back(answer(200, "app\n"));
            steps.push_back(answer(200, std::move(document)));
        }
        script(std::move(steps));
        places_.metadata_endpoint = server_->endpoint();
    }
    void web_identity(std::vector<Step> steps) {
        script(std::move(steps));
        places_.role_arn = kRole;
        places_.sts_endpoint = server_->endpoint();
        places_.web_identity_token_file = file("token", "the-identity");
    }
    std::string file(const std::string& name, const std::string& content) {
        const std::string path = join_path(directory_.path(), name);
        expect_ok(write_file_durably(path, as_bytes(content)));
        return path;
    }
    CredentialQuestion question() {
        CredentialQuestion result;
        result.context.deadline = Deadline::after(seconds(15));
        result.logger = &logger_;
        return result;
    }
    Result<S3Credentials> get() { return provider_.get(places_, question()); }
    Result<S3Credentials> after_refusal(const S3Credentials& refused, bool expired) {
        CredentialQuestion asked = question();
        asked.refused = &refused;
        asked.expired = expired;
        return provider_.get(places_, asked);
    }

    TemporaryDirectory directory_;
    std::unique_ptr<ScriptedServer> server_;
    CredentialPlaces places_{.keys = {},
                             .region = "eu-central-1",
                             .role_arn = "",
                             .web_identity_token_file = "",
                             .sts_endpoint = "",
                             .profile = "",
                             .credentials_file = "",
                             .container_url = "",
                             .container_token = "",
                             .container_token_file = "",
                             .metadata_endpoint = "",
                             .ca_file = "",
                             .proxy = "",
                             .hint = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in \"/etc/x\"."};
    WarningLogger logger_;
    CredentialProvider provider_{[] { return 0.0; }};
};

// ---- the instance ----

TEST_F(Credentials, InstanceGivesThoseOfItsRole) {
    instance({issued_json("ID1", 3600)});
    const S3Credentials keys = must(get());
    EXPECT_EQ(keys.access_key_id, "ID1");
    EXPECT_EQ(keys.secret_access_key, kSecret);
    EXPECT_EQ(keys.session_token, kToken);
    EXPECT_EQ(keys.source, "instance metadata, role app");
    EXPECT_THAT(server_->requests(),
                ElementsAre("PUT /latest/api/token", "GET /latest/meta-data/iam/security-credentials/",
                            "GET /latest/meta-data/iam/security-credentials/app"));
    EXPECT_EQ(server_->seen()[0].headers.at("x-aws-ec2-metadata-token-ttl-seconds"), "300");
    EXPECT_EQ(server_->seen()[2].headers.at("x-aws-ec2-metadata-token"), "metadata-token");
    EXPECT_EQ(must(get()).access_key_id, "ID1");
    EXPECT_THAT(server_->requests(), SizeIs(3)) << "asked for once";
    EXPECT_THAT(provider_.describe(),
                AllOf(StartsWith("instance metadata, role app, access key fingerprint " +
                                 sha256_hex(as_bytes(std::string_view("ID1"))).substr(0, 8) + ", expires 20"),
                      Not(HasSubstr(kSecret)), Not(HasSubstr(kToken)), Not(HasSubstr("ID1"))));
}

TEST_F(Credentials, FirstVersionOfTheMetadataServiceNeedsNoToken) {
    script({answer(404), answer(200, "app"), answer(200, issued_json("ID1", 3600))});
    places_.metadata_endpoint = server_->endpoint();
    EXPECT_EQ(must(get()).access_key_id, "ID1");
    EXPECT_EQ(server_->seen()[1].headers.count("x-aws-ec2-metadata-token"), 0U);
}

TEST_F(Credentials, InstanceWithoutRoleIsSaid) {
    script({answer(200, "metadata-token"), answer(404, "<html>")});
    places_.metadata_endpoint = server_->endpoint();
    const Status status = get().status();
    EXPECT_TRUE(status.is(Kind::kDenied)) << status.to_string();
    EXPECT_THAT(status.message(), HasSubstr("instance metadata service: the request was refused (404)"));
}

TEST_F(Credentials, MetadataServiceThatFailsIsAskedAgain) {
    script({answer(503), answer(200, "metadata-token"), answer(200, "app"), answer(200, issued_json("ID1", 3600))});
    places_.metadata_endpoint = server_->endpoint();
    EXPECT_EQ(must(get()).access_key_id, "ID1");
    script({answer(503)});
    places_.metadata_endpoint = server_->endpoint();
    const Status status = get().status();
    EXPECT_TRUE(status.is(Kind::kUnavailable)) << status.to_string();
    EXPECT_THAT(server_->requests(), SizeIs(2));
}

TEST_F(Credentials, NonsenseFromTheMetadataServiceIsRefused) {
    for (const char* document : {"", "<html>", "[]", "{}", R"({"Code":"Failed"})", R"({"AccessKeyId":1})",
                                 R"({"AccessKeyId":"a\r\nb","SecretAccessKey":"b"})"}) {
        CredentialProvider fresh;
        instance({document});
        EXPECT_FALSE(fresh.get(places_, question()).ok()) << document;
    }
}

// ---- nothing anywhere ----

TEST_F(Credentials, NothingFoundNamesWhatWasTriedAndCostsLittle) {
    places_.credentials_file = directory_.path() + "/none";
    const Status disabled = get().status();
    EXPECT_TRUE(disabled.is(Kind::kDenied)) << disabled.to_string();
    EXPECT_THAT(disabled.message(),
                AllOf(StartsWith("no credentials for the S3 store: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not "
                                 "set"),
                      HasSubstr("AWS_WEB_IDENTITY_TOKEN_FILE"), HasSubstr("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
                      HasSubstr("no profile in \"" + places_.credentials_file + "\""), HasSubstr("disabled")));
    EXPECT_THAT(disabled.hint(), StartsWith(places_.hint));

    // Somebody who takes connections and says nothing.
    script({[](Conversation& c) { c.hang(); }});
    places_.metadata_endpoint = server_->endpoint();
    const auto start = Steady::now();
    const Status silent = get().status();
    EXPECT_TRUE(silent.is(Kind::kDenied)) << silent.to_string();
    EXPECT_THAT(silent.message(), HasSubstr("instance metadata service: no answer from"));
    EXPECT_LT(Steady::now() - start, seconds(6));
    const std::size_t asked = server_->seen().size();
    EXPECT_EQ(get().status().message(), silent.message());
    EXPECT_EQ(server_->seen().size(), asked) << "the next ones do not pay for it again";
}

TEST_F(Credentials, CancellationEndsTheAsking) {
    script({[](Conversation& c) { c.hang(); }});
    places_.metadata_endpoint = server_->endpoint();
    CancelToken cancel;
    CredentialQuestion asked = question();
    asked.context.cancel = &cancel;
    std::thread canceller([&] {
        EXPECT_TRUE(eventually([&] { return !server_->seen().empty(); }));
        cancel.cancel();
    });
    EXPECT_TRUE(provider_.get(places_, asked).status().is(Kind::kCancelled));
    canceller.join();
    // Nobody else suffers from it.
    instance({issued_json("ID1", 3600)});
    EXPECT_EQ(must(get()).access_key_id, "ID1");
}

// ---- keeping and renewing ----

TEST_F(Credentials, S4RenewedBeforeTheyExpire) {
    instance({issued_json("ID1", 2), issued_json("ID2", 3600)});
    EXPECT_EQ(must(get()).access_key_id, "ID1");
    EXPECT_TRUE(eventually([&] { return must(get()).access_key_id == "ID2"; }));
    const S3Credentials renewed = must(get());
    const auto ahead = std::chrono::duration_cast<seconds>(renewed.ask_again - Steady::now());
    EXPECT_NEAR(static_cast<double>(ahead.count()), 3600 - 300, 5);
    EXPECT_THAT(logger_.warnings, SizeIs(0));
}

TEST_F(Credentials, LifeIsMeasuredByTheClockOfTheIssuer) {
    const std::string document = R"({"AccessKeyId":"ID1","SecretAccessKey":"x","Expiration":"2001-01-01T13:00:00Z"})";
    script({answer(200, "metadata-token"), answer(200, "app"),
            answer(200, document, "Date: Mon, 01 Jan 2001 12:00:00 GMT\r\n")});
    places_.metadata_endpoint = server_->endpoint();
    const S3Credentials keys = must(get());
    EXPECT_GT(keys.ask_again - Steady::now(), seconds(3000));
}

TEST_F(Credentials, OldOnesAreUsedWhileRenewalFails) {
    instance({issued_json("ID1", 3)});
    EXPECT_EQ(must(get()).access_key_id, "ID1");
    const int port = server_->port();
    server_.reset();  // from now on nobody listens there
    EXPECT_TRUE(eventually([&] {
        EXPECT_EQ(must(get()).access_key_id, "ID1");
        return !logger_.warnings.empty();
    }));
    EXPECT_THAT(logger_.warnings[0], AllOf(HasSubstr("could not renew the credentials of the store"),
                                           HasSubstr("127.0.0.1:" + std::to_string(port))));
    EXPECT_THAT(provider_.describe(), HasSubstr(", not renewed: instance metadata service: could not connect"));
    EXPECT_TRUE(eventually([&] { return !get().ok(); }));
    // It was there, so it will come back: not an error of configuration.
    EXPECT_TRUE(get().status().is(Kind::kUnavailable)) << get().status().to_string();
    EXPECT_THAT(logger_.warnings, SizeIs(1));
}

TEST_F(Credentials, S4ExpiredTokenIsRenewedAtOnce) {
    instance({issued_json("ID1", 3600), issued_json("ID2", 3600)});
    const S3Credentials first = must(get());
    const S3Credentials second = must(after_refusal(first, true));
    EXPECT_EQ(second.access_key_id, "ID2");
    EXPECT_EQ(must(after_refusal(first, true)).access_key_id, "ID2") << "somebody else has renewed them";
    EXPECT_THAT(server_->requests(), SizeIs(6));
}

TEST_F(Credentials, S2OtherRefusalsAreNoReasonToAskAgainSoon) {
    instance({issued_json("ID1", 3600), issued_json("ID2", 3600)});
    const S3Credentials first = must(get());
    for (int i = 0; i < 5; ++i) EXPECT_EQ(must(after_refusal(first, false)).access_key_id, "ID1");
    EXPECT_THAT(server_->requests(), SizeIs(3));
}

TEST_F(Credentials, OneThreadAsksForAll) {
    std::vector<Step> steps{answer(200, "metadata-token"), answer(200, "app"), [](Conversation& c) {
                                std::this_thread::sleep_for(milliseconds(100));
                                c.reply(200, issued_json("ID1", 3600));
                            }};
    script(std::move(steps));
    places_.metadata_endpoint = server_->endpoint();
    std::vector<std::thread> threads;
    std::atomic<int> good{0};
    for (int i = 0; i < 8; ++i) threads.emplace_back([&] { good += get().ok() ? 1 : 0; });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(good, 8);
    EXPECT_THAT(server_->requests(), SizeIs(3));
}

TEST_F(Credentials, OtherPlacesAreAskedAtOnce) {
    instance({issued_json("ID1", 3600)});
    EXPECT_EQ(must(get()).access_key_id, "ID1");
    places_.profile = "other";
    places_.credentials_file = file("credentials", "[other]\naws_access_key_id = F\naws_secret_access_key = S\n");
    EXPECT_EQ(must(get()).access_key_id, "F");
}

// ---- web identity ----

TEST_F(Credentials, WebIdentityIsExchangedUnsigned) {
    std::string form;
    web_identity({[&form](Conversation& c) {
        c.read_body();
        form = c.body;
        c.reply(200, issued_xml("AssumeRoleWithWebIdentity", "ID1", 3600));
    }});
    places_.role_session_name = "pod-0";
    const S3Credentials keys = must(get());
    EXPECT_EQ(keys.access_key_id, "ID1");
    EXPECT_EQ(keys.secret_access_key, kSecret);
    EXPECT_EQ(keys.session_token, kToken);
    EXPECT_EQ(keys.source, std::string("web identity, role ") + kRole);
    EXPECT_GT(keys.ask_again - Steady::now(), seconds(3200));
    EXPECT_EQ(form, "Action=AssumeRoleWithWebIdentity&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fapp&"
                    "RoleSessionName=pod-0&Version=2011-06-15&WebIdentityToken=the-identity");
    const auto headers = server_->seen()[0].headers;
    EXPECT_EQ(headers.count("authorization"), 0U);
    EXPECT_THAT(headers.at("content-type"), StartsWith("application/x-www-form-urlencoded"));
}

TEST_F(Credentials, TokenFileIsReadAtEveryUse) {
    // As Kubernetes mounts it: a link to a directory that is replaced as a whole.
    namespace fs = std::filesystem;
    const std::string mount = directory_.path() + "/mount";
    for (const char* version : {"v1", "v2"}) {
        fs::create_directories(mount + "/" + version);
        expect_ok(write_file_durably(mount + "/" + version + "/token", as_bytes(std::string("identity-") + version)));
    }
    fs::create_directory_symlink("v1", mount + "/..data");
    fs::create_symlink("..data/token", mount + "/token");
    std::vector<std::string> forms;
    const auto issue = [&forms](const char* id) {
        return [&forms, id](Conversation& c) {
            c.read_body();
            forms.push_back(c.body);
            c.reply(200, issued_xml("AssumeRoleWithWebIdentity", id, 3600));
        };
    };
    web_identity({issue("ID1"), issue("ID2")});
    places_.web_identity_token_file = mount + "/token";
    const S3Credentials first = must(get());
    fs::create_directory_symlink("v2", mount + "/..next");
    fs::rename(mount + "/..next", mount + "/..data");
    EXPECT_EQ(must(after_refusal(first, true)).access_key_id, "ID2");
    EXPECT_THAT(forms, ElementsAre(HasSubstr("WebIdentityToken=identity-v1"), HasSubstr("=identity-v2")));
}

TEST_F(Credentials, RefusedIdentityIsSaidWithoutSecrets) {
    web_identity({sts_error(400, "ExpiredTokenException")});
    const Status status = get().status();
    EXPECT_TRUE(status.is(Kind::kDenied)) << status.to_string();
    EXPECT_EQ(status.message(),
              std::string("web identity, role \"") + kRole + "\": the request was refused (400 ExpiredTokenException)");
    EXPECT_THAT(status.hint(), HasSubstr("AWS_WEB_IDENTITY_TOKEN_FILE"));
    EXPECT_THAT(status.to_string(), AllOf(Not(HasSubstr(kSecret)), Not(HasSubstr("the-identity"))));
    web_identity({sts_error(503, "ServiceUnavailable"), answer(200, "<html>"),
                  answer(200, issued_xml("AssumeRoleWithWebIdentity", "ID1", 3600))});
    EXPECT_TRUE(get().status().is(Kind::kUnavailable));
    EXPECT_TRUE(get().status().is(Kind::kUnavailable)) << "what heals by itself is asked for again at once";
    EXPECT_EQ(must(get()).access_key_id, "ID1");
    web_identity({sts_error(400, "Throttling")});
    EXPECT_TRUE(get().status().is(Kind::kThrottled));
}

TEST_F(Credentials, IncompleteWebIdentityIsSaid) {
    web_identity({answer(500)});
    places_.web_identity_token_file = directory_.path() + "/none";
    EXPECT_TRUE(get().status().is(Kind::kDenied));
    EXPECT_THAT(get().status().hint(), HasSubstr("AWS_WEB_IDENTITY_TOKEN_FILE"));
    places_.role_arn.clear();
    EXPECT_TRUE(get().status().is(Kind::kInvalid));
    EXPECT_THAT(server_->requests(), SizeIs(0));
}

// ---- other sources ----

TEST_F(Credentials, RoleIsAssumedWithASignedRequest) {
    script({answer(200, issued_xml("AssumeRole", "ID1", 3600))});
    places_.keys = {"BASE", "base-secret", "base-token"};
    places_.role_arn = kRole;
    places_.sts_endpoint = server_->endpoint();
    const S3Credentials keys = must(get());
    EXPECT_EQ(keys.access_key_id, "ID1");
    EXPECT_EQ(keys.source, std::string("role ") + kRole + " assumed with AWS_ACCESS_KEY_ID");
    const auto headers = server_->seen()[0].headers;
    EXPECT_THAT(headers.at("authorization"),
                AllOf(StartsWith("AWS4-HMAC-SHA256 Credential=BASE/"), HasSubstr("/eu-central-1/sts/aws4_request"),
                      HasSubstr("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token")));
    EXPECT_EQ(headers.at("x-amz-security-token"), "base-token");
}

TEST_F(Credentials, S3WrongClockDoesNotKeepFromAssumingARole) {
    const std::string date = "Date: Tue, 01 Jan 2030 12:00:00 GMT\r\n";
    script({answer(403, "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>", date),
            answer(200, issued_xml("AssumeRole", "ID1", 3600))});
    places_.keys = {"BASE", "base-secret", ""};
    places_.role_arn = kRole;
    places_.sts_endpoint = server_->endpoint();
    EXPECT_EQ(must(get()).access_key_id, "ID1");
    EXPECT_EQ(server_->seen()[1].headers.at("x-amz-date"), "20300101T120000Z");
}

TEST_F(Credentials, ContainerWantsItsTokenFile) {
    script({answer(200, issued_json("ID1", 3600))});
    places_.container_url = server_->endpoint() + "/v1/credentials?id=7";
    places_.container_token_file = file("pod-token", "pod-token\n");
    const S3Credentials keys = must(get());
    EXPECT_EQ(keys.access_key_id, "ID1");
    EXPECT_EQ(keys.source, "container credentials");
    EXPECT_THAT(server_->requests(), ElementsAre("GET /v1/credentials?id=7"));
    EXPECT_EQ(server_->seen()[0].headers.at("authorization"), "pod-token");
}

TEST_F(Credentials, ContainerTokenGoesToNoForeignHost) {
    for (const char* url : {"http://example.com/x", "http://127.0.0.1.example.com/x", "http://user@169.254.170.2/x",
                            "ftp://169.254.170.2/", "169.254.170.2/x"}) {
        places_.container_url = url;
        places_.container_token = "pod-token";
        const Status status = get().status();
        EXPECT_TRUE(status.is(Kind::kInvalid)) << url << ": " << status.to_string();
        EXPECT_THAT(status.to_string(), Not(HasSubstr("pod-token")));
    }
}

TEST_F(Credentials, ProfileOfTheSharedFile) {
    places_.credentials_file =
        file("credentials", "# comment\n[default]\naws_access_key_id=D\naws_secret_access_key=S1\n"
                            "[ backup ]\r\nAWS_ACCESS_KEY_ID = B\r\naws_secret_access_key = a=b\n"
                            "aws_session_token = T\n[empty]\n");
    EXPECT_EQ(must(get()).access_key_id, "D");
    places_.profile = "backup";
    const S3Credentials keys = must(get());
    EXPECT_EQ(keys.access_key_id, "B");
    EXPECT_EQ(keys.secret_access_key, "a=b");
    EXPECT_EQ(keys.session_token, "T");
    places_.profile = "empty";
    EXPECT_THAT(get().status().message(), HasSubstr("profile \"empty\" in"));
    places_.profile = "absent";
    EXPECT_THAT(get().status().message(), HasSubstr("does not exist"));
    places_.profile.clear();
    places_.credentials_file_named = true;
    places_.credentials_file += "-none";
    EXPECT_TRUE(get().status().is(Kind::kDenied));
}

TEST_F(Credentials, OrderIsThatOfTheSdks) {
    web_identity({answer(200, issued_xml("AssumeRoleWithWebIdentity", "WEB", 3600))});
    places_.credentials_file = file("credentials", "[default]\naws_access_key_id=FILE\naws_secret_access_key=S\n");
    ScriptedServer others({answer(200, issued_json("CONTAINER", 3600))});
    places_.container_url = others.endpoint();
    places_.metadata_endpoint = others.endpoint();
    EXPECT_EQ(must(get()).access_key_id, "WEB");
    places_.web_identity_token_file.clear();
    places_.role_arn.clear();
    EXPECT_EQ(must(get()).access_key_id, "FILE");
    places_.credentials_file.clear();
    EXPECT_EQ(must(get()).access_key_id, "CONTAINER");
    EXPECT_THAT(others.requests(), ElementsAre("GET /"));
}

}  // namespace

}  // namespace forge::store::s3
