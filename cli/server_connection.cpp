#include "cli/server_connection.h"

#include <dlfcn.h>

#include <array>

#include "core/base/text.h"

namespace forge::cli {

namespace {

// The few declarations of libpq that are needed here; its ABI has been the same since version 8.
constexpr int kConnectionOk = 0;
constexpr int kCommandOk = 1;
constexpr int kTuplesOk = 2;
constexpr int kPrimaryMessage = 'M';
constexpr int kDetailMessage = 'D';
constexpr int kHintMessage = 'H';

std::string without_line_end(const char* text) {
    std::string_view rest = text == nullptr ? std::string_view() : std::string_view(text);
    return std::string(trim(rest));
}

}  // namespace

struct ServerConnection::Library {
    void* handle = nullptr;
    void* (*connect)(const char* const*, const char* const*, int) = nullptr;
    int (*status)(const void*) = nullptr;
    char* (*error_message)(const void*) = nullptr;
    void (*finish)(void*) = nullptr;
    void* (*execute)(void*, const char*, int, const unsigned*, const char* const*, const int*, const int*,
                     int) = nullptr;
    int (*result_status)(const void*) = nullptr;
    char* (*result_field)(const void*, int) = nullptr;
    int (*rows)(const void*) = nullptr;
    int (*columns)(const void*) = nullptr;
    char* (*get_value)(const void*, int, int) = nullptr;
    int (*is_null)(const void*, int, int) = nullptr;
    void (*clear)(void*) = nullptr;
    void* (*get_cancel)(void*) = nullptr;
    int (*send_cancel)(void*, char*, int) = nullptr;
    void (*free_cancel)(void*) = nullptr;
    void (*set_notice_processor)(void*, void (*)(void*, const char*), void*) = nullptr;

    template <typename Function>
    bool find(Function& into, const char* name) {
        into = reinterpret_cast<Function>(::dlsym(handle, name));
        return into != nullptr;
    }
    bool load() {
        handle = ::dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
        return handle != nullptr && find(connect, "PQconnectdbParams") && find(status, "PQstatus") &&
               find(error_message, "PQerrorMessage") && find(finish, "PQfinish") && find(execute, "PQexecParams") &&
               find(result_status, "PQresultStatus") && find(result_field, "PQresultErrorField") &&
               find(rows, "PQntuples") && find(columns, "PQnfields") && find(get_value, "PQgetvalue") &&
               find(is_null, "PQgetisnull") && find(clear, "PQclear") && find(get_cancel, "PQgetCancel") &&
               find(send_cancel, "PQcancel") && find(free_cancel, "PQfreeCancel") &&
               find(set_notice_processor, "PQsetNoticeProcessor");
    }
};

struct ServerConnection::Session {
    Library library;
    void* connection = nullptr;
    void* cancel = nullptr;
    Session() = default;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session() {
        if (cancel != nullptr) library.free_cancel(cancel);
        if (connection != nullptr) library.finish(connection);
    }
};

namespace {

// The server's own time limits must not end the session in the middle. Said at its start: a limit of a role can be too
// short for a statement that lifts it.
std::string session_options() {
    const char* const wanted = std::getenv("PGOPTIONS");
    std::string options = wanted != nullptr ? wanted : "";
    for (const char* name :
         {"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"})
        options += std::string(" -c ") + name + "=0";
    return options;
}

}  // namespace

ServerConnection::ServerConnection(std::unique_ptr<Session> session) : session_(std::move(session)) {}
ServerConnection::ServerConnection(ServerConnection&&) noexcept = default;
ServerConnection& ServerConnection::operator=(ServerConnection&&) noexcept = default;
ServerConnection::~ServerConnection() = default;

Result<ServerConnection> ServerConnection::open() { return open({}); }

Result<ServerConnection> ServerConnection::open(const std::string& connection_string) {
    auto session = std::make_unique<Session>();
    if (!session->library.load())
        return Status(Kind::kUnavailable, "the PostgreSQL client library \"libpq.so.5\" cannot be loaded",
                      "Install the package \"libpq5\".");
    const bool names_database = std::getenv("PGDATABASE") != nullptr && connection_string.empty();
    const std::string database = connection_string.empty() ? "postgres" : connection_string;
    const std::string options = session_options();
    const std::array<const char*, 6> names{"fallback_application_name",
                                           "client_encoding",
                                           "connect_timeout",
                                           "options",
                                           names_database ? nullptr : "dbname",
                                           nullptr};
    const std::array<const char*, 6> values{"forge-backup", "UTF8", "10", options.c_str(), database.c_str(), nullptr};
    session->connection = session->library.connect(names.data(), values.data(), 1);
    if (session->connection == nullptr || session->library.status(session->connection) != kConnectionOk) {
        const std::string why = session->connection == nullptr
                                    ? "out of memory"
                                    : without_line_end(session->library.error_message(session->connection));
        return Status(Kind::kUnavailable, "could not connect to the server: " + why,
                      "Set PGHOST, PGPORT and PGUSER as for psql.");
    }
    session->library.set_notice_processor(
        session->connection, [](void*, const char*) {}, nullptr);
    session->cancel = session->library.get_cancel(session->connection);
    return ServerConnection(std::move(session));
}

Result<std::vector<ServerConnection::Row>>
ServerConnection::query(const std::string& statement, const std::vector<std::optional<std::string>>& parameters) {
    const Library& pq = session_->library;
    std::vector<const char*> values;
    for (const auto& parameter : parameters) values.push_back(parameter ? parameter->c_str() : nullptr);
    void* answer = pq.execute(session_->connection, statement.c_str(), static_cast<int>(values.size()), nullptr,
                              values.data(), nullptr, nullptr, 0);
    const std::unique_ptr<void, void (*)(void*)> owner(answer, pq.clear);
    const int status = answer == nullptr ? -1 : pq.result_status(answer);
    if (status != kTuplesOk && status != kCommandOk) {
        std::string message =
            answer == nullptr ? std::string() : without_line_end(pq.result_field(answer, kPrimaryMessage));
        if (message.empty()) message = without_line_end(pq.error_message(session_->connection));
        const bool alive = pq.status(session_->connection) == kConnectionOk;
        std::string hint;
        if (answer != nullptr) {
            hint = without_line_end(pq.result_field(answer, kHintMessage));
            // 16 and later say in the detail which privilege is missing.
            if (hint.empty()) hint = without_line_end(pq.result_field(answer, kDetailMessage));
        }
        return Status(alive ? Kind::kInvalid : Kind::kUnavailable, message, hint);
    }
    std::vector<Row> rows;
    for (int row = 0; row < pq.rows(answer); ++row) {
        Row fields;
        for (int column = 0; column < pq.columns(answer); ++column) {
            if (pq.is_null(answer, row, column) != 0)
                fields.emplace_back();
            else
                fields.emplace_back(pq.get_value(answer, row, column));
        }
        rows.push_back(std::move(fields));
    }
    return rows;
}

Result<std::string> ServerConnection::value(const std::string& statement,
                                            const std::vector<std::optional<std::string>>& parameters) {
    FORGE_ASSIGN(const std::vector<Row> rows, query(statement, parameters));
    if (rows.empty() || rows[0].empty() || !rows[0][0]) return std::string();
    return *rows[0][0];
}

void ServerConnection::cancel() {
    std::array<char, 256> error{};
    if (session_->cancel != nullptr)
        session_->library.send_cancel(session_->cancel, error.data(), static_cast<int>(error.size()));
}

}  // namespace forge::cli
