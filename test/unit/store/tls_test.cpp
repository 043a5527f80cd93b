// The S3 store over TLS, against test/fake_store with certificates made for each case.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <memory>

#include "core/store/s3/s3_store.h"
#include "test/unit/store/support.h"

namespace forge::store {

namespace {

using testing::AllOf;
using testing::HasSubstr;

using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using PrivateKey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

struct Identity {
    std::string certificate;  // files in PEM form
    std::string key;
};

// A certificate that signed itself, for `name` ("IP:127.0.0.1"), which ends `lifetime` seconds from now.
Identity make_identity(const std::string& directory, const std::string& file, const std::string& name,
                       long lifetime = 3600) {
    const PrivateKey key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const Certificate certificate(X509_new(), X509_free);
    X509_set_version(certificate.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -7200);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), lifetime);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* subject = X509_get_subject_name(certificate.get());
    const auto* text = reinterpret_cast<const unsigned char*>(file.c_str());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, text, -1, -1, 0);
    X509_set_issuer_name(certificate.get(), subject);
    X509_EXTENSION* alternative = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, name.c_str());
    X509_add_ext(certificate.get(), alternative, -1);
    X509_EXTENSION_free(alternative);
    X509_sign(certificate.get(), key.get(), EVP_sha256());

    const Identity identity{directory + "/" + file + ".crt", directory + "/" + file + ".key"};
    using File = std::unique_ptr<FILE, int (*)(FILE*)>;
    const File certificate_file(std::fopen(identity.certificate.c_str(), "w"), std::fclose);
    PEM_write_X509(certificate_file.get(), certificate.get());
    const File key_file(std::fopen(identity.key.c_str(), "w"), std::fclose);
    PEM_write_PrivateKey(key_file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return identity;
}

// The fake store as a child process; it ends with its standard input.
class FakeStore {
public:
    FakeStore(const std::string& directory, const Identity& identity) {
        const std::string port_file = directory + "/port";
        std::filesystem::remove(port_file);
        const std::string program = std::string(FORGE_TEST_DATA) + "/../fake_store/fake_store.py";
        std::vector<std::string> words{"python3",   program,      "--port-file",
                                       port_file,   "--tls-cert", identity.certificate,
                                       "--tls-key", identity.key};
        std::vector<char*> arguments;
        for (std::string& word : words) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        int ends[2] = {-1, -1};
        if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
        stdin_ = ends[1];
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
        const int error = ::posix_spawnp(&pid_, "python3", &actions, nullptr, arguments.data(), environ);
        posix_spawn_file_actions_destroy(&actions);
        ::close(ends[0]);
        if (error != 0) throw std::runtime_error("python3 does not start");
        const auto listens = [&] {
            return static_cast<bool>(std::getline(std::ifstream(port_file), port_)) && !port_.empty();
        };
        if (!eventually(listens)) throw std::runtime_error("the fake store does not start");
    }
    FakeStore(const FakeStore&) = delete;
    FakeStore& operator=(const FakeStore&) = delete;
    ~FakeStore() {
        ::close(stdin_);
        ::waitpid(pid_, nullptr, 0);
    }
    std::string endpoint() const { return "https://127.0.0.1:" + port_; }

private:
    pid_t pid_ = -1;
    int stdin_ = -1;
    std::string port_;
};

class S3OverTls : public testing::Test {
protected:
    std::unique_ptr<ObjectStore> open(const FakeStore& server, const std::string& ca_file) {
        S3Options options;
        options.bucket = "bucket";
        options.endpoint = server.endpoint();
        options.ca_file = ca_file;
        options.retry_first_delay = milliseconds(2);
        options.credentials = [](const CredentialQuestion&) { return S3Credentials{"access", "secret", ""}; };
        return must(open_s3_store(options, logger_));
    }
    static CallContext context() {
        return {.deadline = Deadline::after(milliseconds(15000)), .cancel = nullptr, .max_attempts = 1};
    }

    TemporaryDirectory directory_;
    NullLogger logger_;
};

TEST_F(S3OverTls, N8ConfiguredAuthorityIsTrusted) {
    const Identity identity = make_identity(directory_.path(), "good", "IP:127.0.0.1");
    const FakeStore server(directory_.path(), identity);
    const auto store = open(server, identity.certificate);
    const std::string content = random_text(300'000);
    expect_ok(store->put("key", as_bytes(content), context()));
    const auto source = must(store->get("key", std::nullopt, context()));
    EXPECT_TRUE(must(read_all_text(*source, 1 << 20)) == content);
}

TEST_F(S3OverTls, N8BadCertificatesAreRefused) {
    const Identity good = make_identity(directory_.path(), "good", "IP:127.0.0.1");
    const Identity other_name = make_identity(directory_.path(), "name", "DNS:s3.example.com");
    const Identity expired = make_identity(directory_.path(), "expired", "IP:127.0.0.1", -3600);
    struct Case {
        const Identity* server;
        const Identity* trusted;
        const char* reason;
    };
    for (const Case& c : {Case{&good, nullptr, "self-signed"}, Case{&good, &other_name, "self-signed"},
                          Case{&other_name, &other_name, "no alternative certificate subject name matches"},
                          Case{&expired, &expired, "expired"}}) {
        const FakeStore server(directory_.path(), *c.server);
        const auto store = open(server, c.trusted != nullptr ? c.trusted->certificate : "");
        const Status status = store->put("key", as_bytes("x"), context());
        EXPECT_TRUE(status.is(Kind::kInvalid)) << status.to_string();
        EXPECT_THAT(status.message(),
                    AllOf(HasSubstr("could not verify the certificate of \"127.0.0.1:"), HasSubstr(c.reason)));
        EXPECT_THAT(status.hint(), HasSubstr("forge_backup.s3_ca_file"));
    }
}

TEST_F(S3OverTls, N8UnreadableAuthorityFileIsNamed) {
    const Identity identity = make_identity(directory_.path(), "good", "IP:127.0.0.1");
    const FakeStore server(directory_.path(), identity);
    const Status status = open(server, directory_.path() + "/none.crt")->put("key", as_bytes("x"), context());
    EXPECT_TRUE(status.is(Kind::kInvalid)) << status.to_string();
    EXPECT_THAT(status.message(), HasSubstr("/none.crt"));
}

TEST_F(S3OverTls, N9ReplacedAuthorityFileIsPickedUp) {
    const Identity old_identity = make_identity(directory_.path(), "old", "IP:127.0.0.1");
    const Identity new_identity = make_identity(directory_.path(), "new", "IP:127.0.0.1");
    const std::string bundle = directory_.path() + "/bundle.crt";
    std::filesystem::copy_file(old_identity.certificate, bundle);
    const FakeStore server(directory_.path(), new_identity);
    const auto store = open(server, bundle);
    EXPECT_TRUE(store->put("key", as_bytes("x"), context()).is(Kind::kInvalid));
    std::filesystem::copy_file(new_identity.certificate, bundle, std::filesystem::copy_options::overwrite_existing);
    expect_ok(store->put("key", as_bytes("x"), context()));
}

TEST_F(S3OverTls, N8PlainServerIsNoTlsServer) {
    const Identity identity = make_identity(directory_.path(), "good", "IP:127.0.0.1");
    const FakeStore server(directory_.path(), identity);
    S3Options options;
    options.bucket = "bucket";
    options.endpoint = "http" + server.endpoint().substr(5);
    options.first_byte_timeout = milliseconds(2000);
    options.credentials = [](const CredentialQuestion&) { return S3Credentials{"access", "secret", ""}; };
    const Status status = must(open_s3_store(options, logger_))->put("key", as_bytes("x"), context());
    EXPECT_TRUE(status.retryable()) << status.to_string();
}

}  // namespace

}  // namespace forge::store
