// An HTTP server on a loopback port that misbehaves by script: each request takes the next step, the last step repeats.
// Every request is kept for the test to look at.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace forge::store {

class Conversation;
using Step = std::function<void(Conversation&)>;

// One request, with the connection it came on. The body is read by read_body() only.
class Conversation {
public:
    explicit Conversation(int fd) : fd_(fd) {}

    std::string method;
    std::string target;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;

    bool read_request(std::string& pending);
    bool read_body();                  // what is left of it
    bool read_part(std::size_t size);  // so much more of it
    void send(const std::string& bytes);
    // A whole answer, after the whole request; "content-length" is added unless `headers` has it.
    void reply(int status, const std::string& content = {}, const std::string& extra_headers = {});
    void reset();  // closes by RST
    void close();  // closes in the usual way, after what was sent
    void hang();   // until the client or the server's end closes the connection
    bool closed() const { return closed_; }

private:
    int fd_;
    std::string* pending_ = nullptr;
    bool closed_ = false;
};

class ScriptedServer {
public:
    explicit ScriptedServer(std::vector<Step> steps);
    ~ScriptedServer();
    ScriptedServer(const ScriptedServer&) = delete;
    ScriptedServer& operator=(const ScriptedServer&) = delete;

    std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }
    int port() const { return port_; }
    struct Seen {
        std::string method;
        std::string target;
        std::map<std::string, std::string> headers;
        int connection = 0;  // counted from 1
    };
    std::vector<Seen> seen() const;
    // "GET /bucket/key" of all requests.
    std::vector<std::string> requests() const;

private:
    void accept_loop();
    void serve(int fd, int connection);

    std::vector<Step> steps_;
    int listener_ = -1;
    int port_ = 0;
    std::atomic<bool> stopping_{false};
    mutable std::mutex mutex_;
    std::vector<Seen> seen_;
    std::vector<int> open_;
    std::vector<std::thread> threads_;
    std::thread acceptor_;
};

// Steps that most scripts are made of.
Step answer(int status, std::string content = {}, std::string extra_headers = {});
Step s3_error(int status, std::string code, std::string extra_headers = {});
// What an S3 server says to a good PUT: the MD5 of the body as ETag.
Step accept_put();
// An object, whole or by range, as an S3 server sends it.
Step object(std::string content);

}  // namespace forge::store
