// A session on a running PostgreSQL server, over the client library loaded when it is needed: only making a backup
// needs it, and every other verb starts faster without. One thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace forge::cli {

class ServerConnection {
public:
    using Row = std::vector<std::optional<std::string>>;

    // Parameters from the environment (PGHOST, PGPORT, PGUSER, PGPASSFILE, …) as every client takes them; database
    // "postgres" unless PGDATABASE says another. kUnavailable when the library is not installed or the server cannot be
    // reached.
    static Result<ServerConnection> open();
    // By a connection string ("host=… port=… user=…"), which wins over the environment.
    static Result<ServerConnection> open(const std::string& connection_string);
    ServerConnection(ServerConnection&&) noexcept;
    ServerConnection& operator=(ServerConnection&&) noexcept;
    ~ServerConnection();  // the server ends a backup that was started and not stopped

    // One statement with text parameters ($1, …). Failures carry the server's message and hint.
    Result<std::vector<Row>> query(const std::string& statement,
                                   const std::vector<std::optional<std::string>>& parameters = {});
    // First column of the first row; empty text for null or no row.
    Result<std::string> value(const std::string& statement,
                              const std::vector<std::optional<std::string>>& parameters = {});
    // Asks the server to cancel the running statement; for another thread than the one in query().
    void cancel();

private:
    struct Library;
    struct Session;
    explicit ServerConnection(std::unique_ptr<Session> session);
    std::unique_ptr<Session> session_;
};

}  // namespace forge::cli
