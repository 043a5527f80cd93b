// The S3 store against a server that misbehaves by script.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "core/base/text.h"
#include "core/store/s3/s3_store.h"
#include "core/store/s3/signer.h"
#include "core/store/s3/upload.h"
#include "test/unit/store/scripted_server.h"
#include "test/unit/store/support.h"

namespace forge::store {

namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

constexpr const char* kSecret = "very-secret-key";

class RecordingLogger final : public Logger {
public:
    void log(LogLevel level, std::string_view message) override {
        const std::lock_guard lock(mutex_);
        if (level == LogLevel::kWarning) warnings_.emplace_back(message);
    }
    std::vector<std::string> warnings() const {
        const std::lock_guard lock(mutex_);
        return warnings_;
    }

private:
    mutable std::mutex mutex_;
    std::vector<std::string> warnings_;
};

class S3Faults : public testing::Test {
protected:
    S3Options options(const std::string& endpoint) {
        S3Options result;
        result.bucket = "bucket";
        result.prefix = "p";
        result.endpoint = endpoint;
        result.path_style = true;
        result.part_size = 1000;
        result.connect_timeout = milliseconds(300);
        result.first_byte_timeout = milliseconds(300);
        result.stall_timeout = milliseconds(300);
        result.retry_first_delay = milliseconds(2);
        result.retry_max_delay = milliseconds(10);
        result.credentials = [this](const CredentialQuestion&) -> Result<S3Credentials> {
            ++asked_for_credentials_;
            return credentials_;
        };
        return result;
    }
    void script(std::vector<Step> steps) {
        server_ = std::make_unique<ScriptedServer>(std::move(steps));
        store_ = must(open_s3_store(options(server_->endpoint()), logger_));
    }
    static CallContext context(int attempts = 3) {
        return {.deadline = Deadline::after(milliseconds(15000)), .cancel = nullptr, .max_attempts = attempts};
    }
    Status put(const std::string& text, const CallContext& how = context()) {
        return store_->put("key", as_bytes(text), how);
    }
    Result<std::string> get(const CallContext& how = context()) {
        FORGE_ASSIGN(const auto source, store_->get("key", std::nullopt, how));
        return read_all_text(*source, 64 << 20);
    }
    std::size_t requests() const { return server_->seen().size(); }

    std::atomic<int> asked_for_credentials_{0};
    S3Credentials credentials_{"access", kSecret, ""};
    RecordingLogger logger_;
    std::unique_ptr<ScriptedServer> server_;
    std::unique_ptr<ObjectStore> store_;
};

double seconds_since(Steady::time_point start) { return std::chrono::duration<double>(Steady::now() - start).count(); }

Step hang() {
    return [](Conversation& c) { c.hang(); };
}

// Part of an object, and then something else than the rest.
Step cut_object(const std::string& content, std::size_t sent, std::function<void(Conversation&)> then) {
    return [=](Conversation& c) {
        c.read_body();
        c.send("HTTP/1.1 200 OK\r\nETag: \"" + to_hex(s3::md5(as_bytes(content))) +
               "\"\r\nContent-Length: " + std::to_string(content.size()) + "\r\n\r\n" + content.substr(0, sent));
        then(c);
    };
}

int closed_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    ::sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(fd, reinterpret_cast<::sockaddr*>(&address), size);
    ::getsockname(fd, reinterpret_cast<::sockaddr*>(&address), &size);
    ::close(fd);
    return ntohs(address.sin_port);
}

// ---- network ----

TEST_F(S3Faults, N1RefusedConnectionIsUnavailable) {
    const std::string host = "127.0.0.1:" + std::to_string(closed_port());
    store_ = must(open_s3_store(options("http://" + host), logger_));
    const Status status = put("x");
    EXPECT_TRUE(status.is(Kind::kUnavailable)) << status.to_string();
    EXPECT_EQ(status.message(), "could not write \"key\": could not connect to \"" + host + "\": Connection refused");
}

TEST_F(S3Faults, N1TotalDeadlineEndsTheRetries) {
    store_ = must(open_s3_store(options("http://127.0.0.1:" + std::to_string(closed_port())), logger_));
    const auto start = Steady::now();
    CallContext endless = context(1'000'000);
    endless.deadline = Deadline::after(milliseconds(200));
    EXPECT_TRUE(put("x", endless).retryable());
    EXPECT_LT(seconds_since(start), 2.0);
}

TEST_F(S3Faults, N2SilentServerIsGivenUpAndAskedAgain) {
    script({hang(), accept_put()});
    expect_ok(put("x"));
    EXPECT_EQ(requests(), 2U);
    script({hang()});
    const Status status = put("x", context(2));
    EXPECT_TRUE(status.is(Kind::kTimeout)) << status.to_string();
    EXPECT_THAT(status.message(), HasSubstr("no answer from \"127.0.0.1:"));
}

TEST_F(S3Faults, N2BlackholeEndsAtTheConnectTimeout) {
    // A full backlog drops what else wants to connect.
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    ::sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<::sockaddr*>(&address);
    ASSERT_EQ(::bind(listener, generic, size), 0);
    ASSERT_EQ(::listen(listener, 0), 0);
    ::getsockname(listener, generic, &size);
    std::vector<int> fillers;
    for (int i = 0; i < 4; ++i) {
        fillers.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
        static_cast<void>(::connect(fillers.back(), generic, size));
    }
    store_ = must(open_s3_store(options("http://127.0.0.1:" + std::to_string(ntohs(address.sin_port))), logger_));
    const auto start = Steady::now();
    const Status status = put("x", context(1));
    EXPECT_TRUE(status.is(Kind::kTimeout)) << status.to_string();
    EXPECT_LT(seconds_since(start), 2.0);
    for (const int fd : fillers) ::close(fd);
    ::close(listener);
}

TEST_F(S3Faults, N3StalledUploadIsSentAgain) {
    script({hang(), accept_put()});
    expect_ok(put(random_text(12'000'000)));
    EXPECT_EQ(requests(), 2U);
    EXPECT_NE(server_->seen()[0].connection, server_->seen()[1].connection);
}

TEST_F(S3Faults, N13SlowUploadIsNoStall) {
    // Longer in all than any timeout, but never without a byte for that long. Most of it waits in the kernel's buffers,
    // where only the peer's acknowledgements tell that bytes move.
    script({[](Conversation& c) {
        for (int i = 0; i < 12; ++i) {
            c.read_part(1'000'000);
            std::this_thread::sleep_for(std::chrono::milliseconds(80));
        }
        accept_put()(c);
    }});
    const auto start = Steady::now();
    expect_ok(put(random_text(12'000'000), context(1)));
    EXPECT_GT(seconds_since(start), 0.9);
}

TEST_F(S3Faults, N4StalledDownloadGoesOnByRange) {
    const std::string content = random_text(300'000);
    script({cut_object(content, 100'000, [](Conversation& c) { c.hang(); }), object(content)});
    EXPECT_TRUE(must(get()) == content);
    EXPECT_EQ(server_->seen().at(1).headers.at("range"), "bytes=100000-299999");
}

TEST_F(S3Faults, N4ReplacedObjectIsNotGluedTogether) {
    const std::string content = random_text(300'000);
    script({cut_object(content, 100'000, [](Conversation& c) { c.reset(); }), object(random_text(300'001))});
    EXPECT_TRUE(get().status().is(Kind::kConflict));
}

TEST_F(S3Faults, N5ResetAfterTheBodyIsSentAgain) {
    const Step reset_after_body = [](Conversation& c) {
        c.read_body();
        c.reset();
    };
    script({reset_after_body, accept_put()});
    expect_ok(put("content"));
    EXPECT_EQ(requests(), 2U);
}

TEST_F(S3Faults, N5OwnWorkOfAnAttemptWithoutAnswerCountsAsStored) {
    const Step reset_after_body = [](Conversation& c) {
        c.read_body();
        c.reset();
    };
    const Step conflict = s3_error(412, "PreconditionFailed");
    script({conflict /* the probe */, reset_after_body, conflict, object("content")});
    EXPECT_EQ(must(store_->put_if_absent("key", as_bytes("content"), context())), PutOutcome::kStored);
    script({conflict, reset_after_body, conflict, object("another")});
    EXPECT_EQ(must(store_->put_if_absent("key", as_bytes("content"), context())), PutOutcome::kAlreadyThere);
}

TEST_F(S3Faults, N6UnknownHostIsUnavailable) {
    store_ = must(open_s3_store(options("http://forge-backup.invalid"), logger_));
    const Status status = put("x", context(1));
    EXPECT_TRUE(status.retryable()) << status.to_string();
    EXPECT_THAT(status.message(), HasSubstr("\"forge-backup.invalid\""));
}

TEST_F(S3Faults, N10PageOfAProxyIsNoAnswer) {
    script({answer(200, "<html><body>Welcome</body></html>", "Content-Type: text/html\r\n")});
    for (const Status& status : {put("x"), get().status(), store_->head("key", context()).status(),
                                 list_all(*store_, "", context()).status(), store_->remove({"a", "b"}, context())}) {
        EXPECT_TRUE(status.is(Kind::kUnavailable)) << status.to_string();
        EXPECT_THAT(status.to_string(), HasSubstr("S3 server"));
    }
    EXPECT_FALSE(store_->put_if_absent("key", as_bytes("x"), context()).ok());
}

TEST_F(S3Faults, N11MissingContinueIsNotWaitedForLong) {
    script({accept_put()});  // never says "100 Continue"
    S3Options patient = options(server_->endpoint());
    patient.first_byte_timeout = patient.stall_timeout = milliseconds(10000);
    store_ = must(open_s3_store(patient, logger_));
    const auto start = Steady::now();
    expect_ok(put(random_text(2'000'000), context(1)));
    EXPECT_LT(seconds_since(start), 4.0);
}

TEST_F(S3Faults, N12DeadKeptConnectionIsReplaced) {
    const Step reset = [](Conversation& c) { c.reset(); };
    script({accept_put(), reset, accept_put()});
    expect_ok(put("one", context(1)));
    expect_ok(put("two", context(1)));  // one attempt only: the replacement is no retry of ours
    const auto seen = server_->seen();
    EXPECT_EQ(seen.at(1).connection, 1);
    EXPECT_EQ(seen.at(2).connection, 2);
}

TEST_F(S3Faults, N14ShortBodyIsCompletedByRange) {
    const std::string content = random_text(1000);
    script({cut_object(content, 900, [](Conversation& c) { c.close(); }), object(content)});
    EXPECT_TRUE(must(get()) == content);
}

TEST_F(S3Faults, N14AlwaysShortBodyIsCorrupt) {
    script({[](Conversation& c) {
        c.reply(c.headers.count("range") != 0 ? 206 : 200, "short",
                "ETag: \"e\"\r\nContent-Range: bytes 5-99/100\r\nContent-Length: " +
                    std::string(c.headers.count("range") != 0 ? "95" : "100") + "\r\n");
        c.close();
    }});
    const Status status = get().status();
    EXPECT_TRUE(status.is(Kind::kCorrupt) || status.is(Kind::kUnavailable)) << status.to_string();
    script({[](Conversation& c) {
        c.reply(200, {}, "ETag: \"e\"\r\nContent-Length: 100\r\n");
        c.close();
    }});
    const Status nothing = get().status();
    EXPECT_TRUE(nothing.is(Kind::kCorrupt)) << nothing.to_string();
}

TEST_F(S3Faults, N14BytesBehindTheAnnouncedEndAreNoContent) {
    script({[](Conversation& c) {
        c.reply(200, "0123456789 and more", "ETag: \"e\"\r\nContent-Length: 10\r\n");
        c.close();
    }});
    EXPECT_EQ(must(get()), "0123456789");
}

TEST_F(S3Faults, N14AnswerWithoutLengthIsRefused) {
    script({[](Conversation& c) {
        c.send("HTTP/1.1 200 OK\r\nETag: \"e\"\r\n\r\ncontent");
        c.close();
    }});
    EXPECT_TRUE(get().status().is(Kind::kUnavailable));
}

TEST_F(S3Faults, ChunkedAnswerIsReadToItsEndMark) {
    const std::string head = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    script({[head](Conversation& c) { c.send(head + "0\r\n\r\n"); }});
    EXPECT_EQ(must(get()), "first");
    script({[head](Conversation& c) {
        c.send(head);
        c.close();
    }});
    EXPECT_FALSE(get().ok());
}

// ---- credentials and clock ----

TEST_F(S3Faults, S2DeniedKeyIsAskedForOnceMore) {
    script({s3_error(403, "SignatureDoesNotMatch")});
    const Status status = put("x");
    EXPECT_TRUE(status.is(Kind::kDenied));
    EXPECT_EQ(requests(), 1U);  // the sources gave the same key again: no use in sending it
    EXPECT_EQ(asked_for_credentials_, 2);
    EXPECT_EQ(status.message(), "could not write \"key\": the store does not accept the secret key (403 "
                                "SignatureDoesNotMatch, request id tx123)");
    EXPECT_THAT(status.hint(), AllOf(HasSubstr("AWS_ACCESS_KEY_ID"), HasSubstr("AWS_SECRET_ACCESS_KEY")));
    EXPECT_THAT(status.to_string(), Not(HasSubstr(kSecret)));
    EXPECT_EQ(status.http_status(), 403);
}

TEST_F(S3Faults, S2RotatedKeyIsPickedUp) {
    script({s3_error(403, "InvalidAccessKeyId"), accept_put()});
    S3Options rotating = options(server_->endpoint());
    rotating.credentials = [this](const CredentialQuestion&) {
        return S3Credentials{"key" + std::to_string(++asked_for_credentials_), kSecret, ""};
    };
    store_ = must(open_s3_store(rotating, logger_));
    expect_ok(put("x"));
    EXPECT_THAT(server_->seen()[0].headers.at("authorization"), HasSubstr("Credential=key1/"));
    EXPECT_THAT(server_->seen()[1].headers.at("authorization"), HasSubstr("Credential=key2/"));
}

TEST_F(S3Faults, S3SkewedClockIsCorrected) {  // S26
    const std::string date = "Date: Tue, 01 Jan 2030 12:00:00 GMT\r\n";
    script({s3_error(403, "RequestTimeTooSkewed", date), accept_put(), accept_put()});
    expect_ok(put("x"));
    expect_ok(put("y"));
    EXPECT_THAT(server_->seen()[1].headers.at("x-amz-date"), HasSubstr("20300101T120"));
    EXPECT_EQ(requests(), 3U);
    EXPECT_THAT(logger_.warnings(), SizeIs(1));
    script({s3_error(403, "RequestTimeTooSkewed", date)});
    EXPECT_TRUE(put("x").is(Kind::kDenied));
    EXPECT_EQ(requests(), 2U);
}

TEST_F(S3Faults, S4ExpiredTokenIsRenewed) {
    script({s3_error(400, "ExpiredToken"), accept_put()});
    S3Options expiring = options(server_->endpoint());
    expiring.credentials = [this](const CredentialQuestion&) {
        return S3Credentials{"a", kSecret, "token" + std::to_string(++asked_for_credentials_)};
    };
    store_ = must(open_s3_store(expiring, logger_));
    expect_ok(put("x"));
    EXPECT_EQ(server_->seen()[1].headers.at("x-amz-security-token"), "token2");
}

TEST_F(S3Faults, S4ExpiredTokenIsRenewedWhereTheAnswerHasNoBody) {
    script({answer(400), object("content")});
    S3Options expiring = options(server_->endpoint());
    bool told_expired = false;
    expiring.credentials = [this, &told_expired](const CredentialQuestion& question) {
        told_expired = question.expired && question.refused->session_token == "token1";
        return S3Credentials{"a", kSecret, "token" + std::to_string(++asked_for_credentials_)};
    };
    store_ = must(open_s3_store(expiring, logger_));
    EXPECT_EQ(must(store_->head("key", context())).size, 7U);
    EXPECT_TRUE(told_expired);
    EXPECT_EQ(server_->seen()[1].headers.at("x-amz-security-token"), "token2");
}

TEST_F(S3Faults, S2RefusalOfIssuedCredentialsNamesTheirSource) {
    script({s3_error(403, "AccessDenied")});
    credentials_.source = "instance metadata, role app";
    const Status status = put("x");
    EXPECT_TRUE(status.is(Kind::kDenied));
    EXPECT_THAT(status.hint(), HasSubstr("The credentials come from instance metadata, role app"));
}

// ---- missing things ----

TEST_F(S3Faults, S5OnlyTheCodeSaysWhatIsMissing) {
    script({s3_error(404, "NoSuchKey")});
    EXPECT_TRUE(get().status().is(Kind::kNotFound));
    script({s3_error(404, "NoSuchBucket")});
    EXPECT_TRUE(get().status().is(Kind::kInvalid));
    EXPECT_THAT(get().status().message(), HasSubstr("bucket \"bucket\" does not exist"));
    script({s3_error(404, "XAdminUserNotFound")});
    EXPECT_TRUE(get().status().is(Kind::kDenied));
    script({answer(404, "<html>not found</html>")});
    EXPECT_TRUE(get().status().is(Kind::kInternal));
}

TEST_F(S3Faults, S5HeadIsConfirmedByARequestWithABody) {
    for (const auto& [code, kind] :
         {std::pair{"NoSuchKey", Kind::kNotFound}, std::pair{"NoSuchBucket", Kind::kInvalid}}) {
        script({s3_error(404, code)});
        const Status status = store_->head("key", context()).status();
        EXPECT_TRUE(status.is(kind)) << status.to_string();
        EXPECT_THAT(server_->requests(), ElementsAre("HEAD /bucket/p/key", "GET /bucket/p/key"));
    }
}

TEST_F(S3Faults, S6ConflictIsTriedAgain) {
    script({s3_error(409, "OperationAborted"), accept_put()});
    expect_ok(put("x"));
}

// ---- conditional writes ----

TEST_F(S3Faults, S7PreconditionFailedMeansAlreadyThere) {
    script({s3_error(412, "PreconditionFailed")});
    EXPECT_EQ(must(store_->put_if_absent("key", as_bytes("x"), context())), PutOutcome::kAlreadyThere);
    EXPECT_EQ(server_->seen().back().headers.at("if-none-match"), "*");
    EXPECT_TRUE(store_->features().conditional_put);
}

TEST_F(S3Faults, S8IgnoredConditionIsDetected) {
    script({accept_put(), accept_put(), answer(204), s3_error(404, "NoSuchKey"), accept_put(), object("x")});
    EXPECT_FALSE(store_->features().conditional_put);
    EXPECT_EQ(must(store_->put_if_absent("key", as_bytes("x"), context())), PutOutcome::kStored);
    EXPECT_EQ(must(store_->put_if_absent("key", as_bytes("x"), context())), PutOutcome::kAlreadyThere);
    EXPECT_THAT(server_->requests(), ElementsAre("PUT /bucket/p/forge_backup.probe", "PUT /bucket/p/forge_backup.probe",
                                                 "DELETE /bucket/p/forge_backup.probe", "GET /bucket/p/key",
                                                 "PUT /bucket/p/key", "GET /bucket/p/key"));
}

TEST_F(S3Faults, S8RefusedConditionIsRemembered) {
    script({s3_error(501, "NotImplemented"), s3_error(404, "NoSuchKey"), accept_put()});
    EXPECT_EQ(must(store_->put_if_absent("key", as_bytes("x"), context())), PutOutcome::kStored);
    EXPECT_EQ(server_->seen().back().headers.count("if-none-match"), 0U);
    EXPECT_FALSE(store_->features().conditional_put);
    EXPECT_EQ(requests(), 3U);
}

TEST_F(S3Faults, S8HonouredConditionIsDetected) {
    script({accept_put(), s3_error(412, "PreconditionFailed"), answer(204), accept_put()});
    EXPECT_EQ(must(store_->put_if_absent("key", as_bytes("x"), context())), PutOutcome::kStored);
    EXPECT_THAT(server_->requests(), SizeIs(4));
    EXPECT_TRUE(store_->features().conditional_put);
}

// ---- refusals ----

TEST_F(S3Faults, S9RetryAfterIsHonoured) {
    script({s3_error(503, "SlowDown", "Retry-After: 1\r\n"), accept_put()});
    const auto start = Steady::now();
    expect_ok(put("x"));
    EXPECT_GE(seconds_since(start), 1.0);
}

TEST_F(S3Faults, S9ThrottlingSlowsTheOthersToo) {
    script({answer(429), accept_put(), accept_put()});
    const auto start = Steady::now();
    std::thread other([this] {
        ASSERT_TRUE(eventually([this] { return requests() > 0; }));
        expect_ok(store_->put("other", as_bytes("x"), context()));
    });
    expect_ok(put("x"));
    other.join();
    EXPECT_GE(seconds_since(start), 0.5);
}

TEST_F(S3Faults, S9NobodyWaitsLongerThanTheDeadline) {
    script({s3_error(503, "SlowDown", "Retry-After: 60\r\n")});
    CallContext hurried = context();
    hurried.deadline = Deadline::after(milliseconds(1000));
    const auto start = Steady::now();
    EXPECT_TRUE(put("x", hurried).is(Kind::kThrottled));
    EXPECT_TRUE(put("x", hurried).is(Kind::kThrottled));
    EXPECT_LT(seconds_since(start), 0.9);
    EXPECT_EQ(requests(), 1U);
}

TEST_F(S3Faults, S10ServerErrorsAreTriedAgainOthersNot) {
    for (const int status : {500, 502, 504}) {
        script({answer(status, "<html>bad gateway</html>"), accept_put()});
        expect_ok(put("x"));
    }
    for (const int status : {501, 405}) {
        script({answer(status), accept_put()});
        EXPECT_TRUE(put("x").is(Kind::kInvalid));
        EXPECT_EQ(requests(), 1U);
    }
    script({s3_error(500, "InternalError")});
    EXPECT_TRUE(put("x").is(Kind::kUnavailable));
    EXPECT_EQ(requests(), 3U);
}

TEST_F(S3Faults, S11RegionIsCorrectedOnce) {
    script({s3_error(301, "PermanentRedirect", "x-amz-bucket-region: eu-west-1\r\n"), accept_put()});
    expect_ok(put("x"));
    EXPECT_THAT(server_->seen()[1].headers.at("authorization"), HasSubstr("/eu-west-1/s3/aws4_request"));
    script({s3_error(301, "PermanentRedirect", "x-amz-bucket-region: eu-west-1\r\n")});
    EXPECT_TRUE(put("x").is(Kind::kInvalid));
    EXPECT_EQ(requests(), 2U);
}

TEST_F(S3Faults, S11RedirectStaysInTheDomain) {
    ScriptedServer other({accept_put()});
    script({s3_error(307, "TemporaryRedirect", "Location: " + other.endpoint() + "/bucket/p/key\r\n"), accept_put()});
    expect_ok(put("x"));
    EXPECT_THAT(other.requests(), ElementsAre("PUT /bucket/p/key"));
    script({s3_error(307, "TemporaryRedirect",
                     "Location: http://localhost:" + std::to_string(other.port()) + "/bucket/p/key\r\n")});
    EXPECT_TRUE(put("x").is(Kind::kInvalid));
    EXPECT_THAT(other.requests(), SizeIs(1));
}

// ---- integrity of writes ----

std::vector<Step> multipart(std::vector<Step> ends) {
    std::vector<Step> steps{
        answer(200, "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"),
        accept_put(), accept_put()};
    steps.insert(steps.end(), ends.begin(), ends.end());
    return steps;
}

Status upload(ObjectStore& store, const CallContext& context) {
    FORGE_ASSIGN(const auto sink, store.create("key", context));
    FORGE_TRY(sink->write(as_bytes(random_text(1500))));
    return sink->finish();
}

const char* const kCompleted = "<CompleteMultipartUploadResult><ETag>\"e-2\"</ETag></CompleteMultipartUploadResult>";
const char* const kInternalError = "<Error><Code>InternalError</Code><Message>m</Message></Error>";

TEST_F(S3Faults, MultipartUploadSendsItsParts) {
    script(multipart({answer(200, kCompleted)}));
    expect_ok(upload(*store_, context()));
    EXPECT_THAT(server_->requests(),
                ElementsAre("POST /bucket/p/key?uploads=", "PUT /bucket/p/key?partNumber=1&uploadId=id",
                            "PUT /bucket/p/key?partNumber=2&uploadId=id", "POST /bucket/p/key?uploadId=id"));
    EXPECT_EQ(server_->seen()[1].headers.at("content-length"), "1000");
    EXPECT_FALSE(server_->seen()[1].headers.at("content-md5").empty());
}

// The store answers for the first part only when the second is full.
TEST_F(S3Faults, PartIsSentWhileTheNextFills) {
    std::promise<void> full;
    auto steps = multipart({answer(200, kCompleted)});
    steps[1] = [accept = accept_put(), may = full.get_future().share()](Conversation& c) {
        may.wait_for(seconds(30));
        accept(c);
    };
    script(std::move(steps));
    const auto sink = must(store_->create("key", context()));
    expect_ok(sink->write(as_bytes(random_text(2000))));
    full.set_value();
    expect_ok(sink->finish());
    EXPECT_THAT(server_->requests(), SizeIs(4));  // none was tried again
}

// Nothing of its answer is waited for.
TEST_F(S3Faults, UploadGivenUpStopsThePartOnItsWay) {
    script({multipart({})[0], hang(), answer(204)});
    {
        S3Options patient = options(server_->endpoint());
        patient.first_byte_timeout = patient.stall_timeout = std::chrono::hours(1);
        store_ = must(open_s3_store(patient, logger_));
        CallContext how = context();
        how.deadline = Deadline::never();
        const auto sink = must(store_->create("key", how));
        expect_ok(sink->write(as_bytes(random_text(1500))));
        while (requests() < 2) std::this_thread::yield();
    }
    EXPECT_EQ(server_->requests().back(), "DELETE /bucket/p/key?uploadId=id");
}

TEST_F(S3Faults, S12ErrorInsideASuccessfulAnswerIsAFailure) {
    script(multipart({answer(200, kInternalError), answer(200, kCompleted)}));
    expect_ok(upload(*store_, context()));
    script(multipart({answer(200, kInternalError)}));
    const Status status = upload(*store_, context());
    EXPECT_TRUE(status.is(Kind::kUnavailable)) << status.to_string();
    EXPECT_EQ(status.store_code(), "InternalError");
    EXPECT_EQ(server_->requests().back(), "DELETE /bucket/p/key?uploadId=id");  // nothing is left behind
}

TEST_F(S3Faults, S12CompletionWithoutAnswerIsConfirmed) {
    Bytes digests = s3::md5(as_bytes(random_text(1500).substr(0, 1000)));
    const Bytes second = s3::md5(as_bytes(random_text(1500).substr(1000)));
    digests.insert(digests.end(), second.begin(), second.end());
    const std::string etag = to_hex(s3::md5(digests)) + "-2";
    const Step lost = [](Conversation& c) {
        c.read_body();
        c.reset();
    };
    script(multipart({lost, s3_error(404, "NoSuchUpload"), answer(200, {}, "ETag: \"" + etag + "\"\r\n")}));
    expect_ok(upload(*store_, context()));
    script(multipart({lost, s3_error(404, "NoSuchUpload"), answer(200, {}, "ETag: \"other-2\"\r\n")}));
    EXPECT_FALSE(upload(*store_, context()).ok());
}

TEST_F(S3Faults, CancelledUploadIsStillAborted) {
    script(multipart({answer(204)}));
    CancelToken cancel;
    {
        CallContext how = context();
        how.cancel = &cancel;
        const auto sink = must(store_->create("key", how));
        expect_ok(sink->write(as_bytes(random_text(2500))));
        cancel.cancel();
        EXPECT_TRUE(sink->write(as_bytes("x")).is(Kind::kCancelled));
    }
    EXPECT_EQ(server_->requests().back(), "DELETE /bucket/p/key?uploadId=id");
}

TEST_F(S3Faults, S13WrongDigestIsSentAgain) {
    const Step wrong = answer(200, {}, "ETag: \"00000000000000000000000000000000\"\r\n");
    script({wrong, accept_put()});
    expect_ok(put("content"));
    script({wrong});
    EXPECT_TRUE(put("content").is(Kind::kCorrupt));
    EXPECT_EQ(requests(), 2U);
    script({answer(200), accept_put()});  // no ETag at all
    expect_ok(put("content"));
}

TEST_F(S3Faults, S13DamagedConditionalWriteIsReplaced) {
    const Step conflict = s3_error(412, "PreconditionFailed");
    script({conflict, answer(200, {}, "ETag: \"00000000000000000000000000000000\"\r\n"), conflict, object("damaged"),
            accept_put()});
    EXPECT_EQ(must(store_->put_if_absent("key", as_bytes("content"), context())), PutOutcome::kStored);
    EXPECT_EQ(requests(), 5U);
}

TEST_F(S3Faults, S13EtagUnderAKeyServiceIsNoDigest) {
    script(
        {answer(200, {}, "ETag: \"00000000000000000000000000000000\"\r\nx-amz-server-side-encryption: aws:kms\r\n")});
    expect_ok(put("content"));
}

// ---- listings ----

std::string page(const std::vector<std::string>& keys, const std::string& token) {
    std::string text = "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>" +
                       std::string(token.empty() ? "false" : "true") + "</IsTruncated>";
    for (const std::string& key : keys) {
        text += "<Contents><Key>" + key +
                "</Key><Size>1</Size><LastModified>2026-11-22T09:17:34.000Z</LastModified></Contents>";
    }
    if (!token.empty()) text += "<NextContinuationToken>" + token + "</NextContinuationToken>";
    return text + "</ListBucketResult>";
}

std::vector<std::string> keys_of(const std::vector<ObjectInfo>& objects) {
    std::vector<std::string> keys;
    for (const ObjectInfo& object : objects) keys.push_back(object.key);
    return keys;
}

TEST_F(S3Faults, S18PagesAreFollowed) {
    script({answer(200, page({"p/", "p/a", "p/c", "p/b+%2B%20x"}, "one+=/")), answer(200, page({}, "two")),
            answer(200, page({"p/d"}, ""))});
    EXPECT_THAT(keys_of(must(list_all(*store_, "", context()))), ElementsAre("a", "b + x", "c", "d"));
    EXPECT_THAT(server_->requests()[1], HasSubstr("continuation-token=one%2B%3D%2F&"));
}

TEST_F(S3Faults, S18RepeatedPageEndsTheListing) {
    script({answer(200, page({"p/a"}, "same")), answer(200, page({"p/b"}, "same"))});
    EXPECT_TRUE(list_all(*store_, "", context()).status().is(Kind::kInternal));
    script({answer(200, page({"p/a"}, "one")), answer(200, page({"p/a"}, "two"))});
    EXPECT_TRUE(list_all(*store_, "", context()).status().is(Kind::kInternal));
    script({answer(200, page({"p/a"}, "one")),
            [n = 0](Conversation& c) mutable { c.reply(200, page({}, std::to_string(++n))); }});
    EXPECT_TRUE(list_all(*store_, "", context()).status().is(Kind::kInternal));
}

TEST_F(S3Faults, S18TruncatedPageWithoutTokenIsAnError) {
    script({answer(200, "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>")});
    EXPECT_TRUE(list_all(*store_, "", context()).status().is(Kind::kInternal));
}

// ---- removing ----

TEST_F(S3Faults, BatchRemovalFallsBackToSingleOnes) {
    script({answer(501), answer(204), s3_error(404, "NoSuchKey"), answer(204)});
    expect_ok(store_->remove({"a", "b"}, context()));
    expect_ok(store_->remove({"c"}, context()));
    EXPECT_THAT(server_->requests(),
                ElementsAre("POST /bucket?delete=", "DELETE /bucket/p/a", "DELETE /bucket/p/b", "DELETE /bucket/p/c"));
}

TEST_F(S3Faults, S21LockedObjectIsNamed) {
    script({answer(200, "<DeleteResult><Error><Key>p/b</Key><Code>AccessDenied</Code></Error></DeleteResult>"),
            s3_error(403, "AccessDenied")});
    const Status status = store_->remove({"a", "b"}, context());
    EXPECT_TRUE(status.is(Kind::kDenied));
    EXPECT_THAT(status.message(), HasSubstr("could not remove \"b\": access denied (403 AccessDenied"));
}

// ---- stopping ----

TEST_F(S3Faults, CancellationEndsAHangingCall) {
    script({hang()});
    S3Options patient = options(server_->endpoint());
    patient.first_byte_timeout = milliseconds(60000);
    store_ = must(open_s3_store(patient, logger_));
    CancelToken cancel;
    CallContext how = context();
    how.cancel = &cancel;
    std::thread stopper([&] {
        ASSERT_TRUE(eventually([this] { return requests() > 0; }));
        cancel.cancel();
    });
    const auto start = Steady::now();
    EXPECT_TRUE(put("x", how).is(Kind::kCancelled));
    stopper.join();
    EXPECT_LT(seconds_since(start), 1.0);
}

TEST_F(S3Faults, DeadlineEndsAHangingDownload) {
    const std::string content = random_text(300'000);
    script({cut_object(content, 1000, [](Conversation& c) { c.hang(); })});
    S3Options patient = options(server_->endpoint());
    patient.stall_timeout = milliseconds(60000);
    store_ = must(open_s3_store(patient, logger_));
    CallContext hurried = context();
    hurried.deadline = Deadline::after(milliseconds(200));
    const auto start = Steady::now();
    EXPECT_TRUE(get(hurried).status().is(Kind::kTimeout));
    EXPECT_LT(seconds_since(start), 1.0);
}

TEST_F(S3Faults, SlowReaderIsNoStall) {
    const std::string content = random_text(3'000'000);
    script({object(content)});
    const auto source = must(store_->get("key", std::nullopt, context(1)));
    Bytes buffer(100'000);
    std::string received(as_text(ByteView(buffer).first(must(source->read(buffer)))));
    std::this_thread::sleep_for(
        std::chrono::milliseconds(400));  // longer than the stall timeout: that is the case tested
    received += must(read_all_text(*source, 64 << 20));
    EXPECT_TRUE(received == content);
    EXPECT_EQ(requests(), 1U);
}

TEST_F(S3Faults, ConnectionsAreKept) {
    script({accept_put()});
    for (int i = 0; i < 5; ++i) expect_ok(put("x"));
    EXPECT_EQ(server_->seen().back().connection, 1);
    script({object(random_text(3'000'000))});
    for (int i = 0; i < 5; ++i) EXPECT_EQ(must(get()).size(), 3'000'000U);
    EXPECT_EQ(server_->seen().back().connection, 1);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(must(store_->head("key", context())).size, 3'000'000U);
    EXPECT_EQ(server_->seen().back().connection, 1);
}

TEST_F(S3Faults, NothingSecretIsInAnyText) {  // K2
    credentials_.session_token = "secret-session-token";
    for (const Step& step : {s3_error(403, "AccessDenied"), s3_error(400, "Odd"),
                             answer(302, {}, "Location: http://h/?X-Amz-Signature=1\r\n"), hang(),
                             Step([](Conversation& c) { c.reset(); })}) {
        script({step});
        for (const Status& status : {put("x"), get().status(), list_all(*store_, "", context()).status()}) {
            EXPECT_FALSE(status.ok());
            for (const char* secret : {kSecret, "secret-session-token", "Signature", "?", "AWS4"}) {
                EXPECT_THAT(status.to_string(), Not(HasSubstr(secret)));
            }
        }
    }
}

}  // namespace

}  // namespace forge::store
