#include "test/unit/store/scripted_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <stdexcept>

#include "core/base/text.h"
#include "core/store/s3/signer.h"

namespace forge::store {

bool Conversation::read_request(std::string& pending) {
    pending_ = &pending;
    std::array<char, 65536> buffer{};
    std::size_t end = 0;
    while ((end = pending.find("\r\n\r\n")) == std::string::npos) {
        const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
        if (n <= 0) return false;
        pending.append(buffer.data(), static_cast<std::size_t>(n));
    }
    const std::vector<std::string> lines = split(pending.substr(0, end), '\n');
    pending.erase(0, end + 4);
    const std::vector<std::string> words = split(trim(lines[0]), ' ');
    method = words.at(0);
    target = words.at(1);
    for (std::size_t i = 1; i < lines.size(); ++i) {
        const std::size_t colon = lines[i].find(':');
        headers[to_lower(lines[i].substr(0, colon))] = trim(lines[i].substr(colon + 1));
    }
    return true;
}

bool Conversation::read_body() {
    const std::size_t size = parse_number<std::size_t>(headers["content-length"]).value_or(0);
    return read_part(size - std::min(size, body.size()));
}

bool Conversation::read_part(std::size_t size) {
    std::array<char, 65536> buffer{};
    while (pending_->size() < size) {
        const ssize_t n = ::recv(fd_, buffer.data(), std::min(buffer.size(), size - pending_->size()), 0);
        if (n <= 0) return false;
        pending_->append(buffer.data(), static_cast<std::size_t>(n));
    }
    body += pending_->substr(0, size);
    pending_->erase(0, size);
    return true;
}

void Conversation::send(const std::string& bytes) {
    std::size_t at = 0;
    while (at < bytes.size()) {
        const ssize_t n = ::send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
        if (n <= 0) return;
        at += static_cast<std::size_t>(n);
    }
}

void Conversation::reply(int status, const std::string& content, const std::string& extra_headers) {
    if (!read_body()) return;
    std::string text = "HTTP/1.1 " + std::to_string(status) + " Text\r\nx-amz-request-id: tx123\r\n" + extra_headers;
    if (to_lower(extra_headers).find("content-length:") == std::string::npos) {
        text += "Content-Length: " + std::to_string(content.size()) + "\r\n";
    }
    send(text + "\r\n" + (method == "HEAD" ? std::string() : content));
}

void Conversation::reset() {
    const ::linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    closed_ = true;
}

void Conversation::close() { closed_ = true; }

void Conversation::hang() {
    // The client's bytes stay unread: its sending stalls, too.
    char byte = 0;
    for (;;) {
        const ssize_t n = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) break;
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0 || ::send(fd_, nullptr, 0, MSG_NOSIGNAL) < 0) break;
        // Unread bytes hide the end of the connection, so ask whether the peer still is there.
        std::array<std::uint8_t, 256> info{};
        socklen_t info_size = info.size();
        ::getsockopt(fd_, IPPROTO_TCP, 11 /* TCP_INFO */, info.data(), &info_size);
        constexpr std::uint8_t kEstablished = 1;
        if (info[0] != kEstablished) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    closed_ = true;
}

ScriptedServer::ScriptedServer(std::vector<Step> steps) : steps_(std::move(steps)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ::sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<::sockaddr*>(&address);
    if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 64) != 0 ||
        ::getsockname(listener_, generic, &size) != 0) {
        throw std::runtime_error("no port for the scripted server");
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_loop(); });
}

ScriptedServer::~ScriptedServer() {
    stopping_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
        const std::lock_guard lock(mutex_);
        for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
}

void ScriptedServer::accept_loop() {
    for (int connection = 1; !stopping_; ++connection) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) return;
        const std::lock_guard lock(mutex_);
        open_.push_back(fd);
        threads_.emplace_back([this, fd, connection] { serve(fd, connection); });
    }
}

void ScriptedServer::serve(int fd, int connection) {
    std::string pending;
    for (bool open = true; open && !stopping_;) {
        Conversation conversation(fd);
        if (!conversation.read_request(pending)) break;
        std::size_t step = 0;
        {
            const std::lock_guard lock(mutex_);
            step = std::min(seen_.size(), steps_.size() - 1);
            seen_.push_back({conversation.method, conversation.target, conversation.headers, connection});
        }
        steps_[step](conversation);
        open = !conversation.closed();
    }
    const std::lock_guard lock(mutex_);
    std::erase(open_, fd);
    ::close(fd);
}

std::vector<ScriptedServer::Seen> ScriptedServer::seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
}

std::vector<std::string> ScriptedServer::requests() const {
    std::vector<std::string> result;
    for (const Seen& request : seen()) result.push_back(request.method + " " + request.target);
    return result;
}

Step answer(int status, std::string content, std::string extra_headers) {
    return [=](Conversation& c) { c.reply(status, content, extra_headers); };
}

Step s3_error(int status, std::string code, std::string extra_headers) {
    return answer(status, "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>text</Message></Error>",
                  extra_headers);
}

Step accept_put() {
    return [](Conversation& c) {
        if (!c.read_body()) return;
        c.reply(200, {}, "ETag: \"" + to_hex(s3::md5(as_bytes(c.body))) + "\"\r\n");
    };
}

Step object(std::string content) {
    return [content](Conversation& c) {
        const std::string etag = "ETag: \"" + to_hex(s3::md5(as_bytes(content))) + "\"\r\n";
        if (c.headers.count("range") == 0) return c.reply(200, content, etag);
        const std::vector<std::string> ends = split(c.headers["range"].substr(6), '-');
        const std::size_t first = parse_number<std::size_t>(ends[0]).value_or(0);
        const std::size_t last =
            std::min(parse_number<std::size_t>(ends[1]).value_or(content.size() - 1), content.size() - 1);
        c.reply(206, content.substr(first, last + 1 - first),
                etag + "Content-Range: bytes " + std::to_string(first) + "-" + std::to_string(last) + "/" +
                    std::to_string(content.size()) + "\r\n");
    };
}

}  // namespace forge::store
