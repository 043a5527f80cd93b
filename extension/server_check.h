// What check() finds out in the server itself, without asking anybody: settings that weaken backups, and what shared
// memory tells about archiving and base backups.
#pragma once

#include <string>
#include <vector>

namespace forge::server {

struct ServerFinding {
    std::string check;
    std::string level;  // "ok", "warning", "error", as the findings of the helper
    std::string detail;
    std::string hint;
};

// In a backend, within a transaction. Works without preloading, too, and says what is not known then.
std::vector<ServerFinding> check_server();

}  // namespace forge::server
