// Every exit code of the executable, in one place.
#pragma once

namespace forge::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;
// wal-fetch: the store said that there is no such file. PostgreSQL takes every code from 1 to 125 for this.
inline constexpr int kExitNotFound = 74;
// wal-fetch outside standby mode: whether the file exists cannot be told now. Above 125, so that recovery stops visibly
// instead of opening the database too early (server: RestoreArchivedFile).
inline constexpr int kExitUnknown = 200;
// Stopped by SIGTERM, SIGINT, …: 128 + signal, as shells report it and as the startup process expects it.
inline constexpr int kExitSignalBase = 128;

}  // namespace forge::cli
