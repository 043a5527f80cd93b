// What is used of libarchive, loaded when it is first called (core/base/late_library.h).
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "core/base/late_library.h"

namespace forge {

FORGE_LATE_FUNCTION(libarchive, archive_entry_filetype);
FORGE_LATE_FUNCTION(libarchive, archive_entry_free);
FORGE_LATE_FUNCTION(libarchive, archive_entry_hardlink);
FORGE_LATE_FUNCTION(libarchive, archive_entry_new2);
FORGE_LATE_FUNCTION(libarchive, archive_entry_pathname);
FORGE_LATE_FUNCTION(libarchive, archive_entry_perm);
FORGE_LATE_FUNCTION(libarchive, archive_entry_set_filetype);
FORGE_LATE_FUNCTION(libarchive, archive_entry_set_gid);
FORGE_LATE_FUNCTION(libarchive, archive_entry_set_gname);
FORGE_LATE_FUNCTION(libarchive, archive_entry_set_mtime);
FORGE_LATE_FUNCTION(libarchive, archive_entry_set_pathname);
FORGE_LATE_FUNCTION(libarchive, archive_entry_set_perm);
FORGE_LATE_FUNCTION(libarchive, archive_entry_set_size);
FORGE_LATE_FUNCTION(libarchive, archive_entry_set_symlink);
FORGE_LATE_FUNCTION(libarchive, archive_entry_set_uid);
FORGE_LATE_FUNCTION(libarchive, archive_entry_set_uname);
FORGE_LATE_FUNCTION(libarchive, archive_entry_size);
FORGE_LATE_FUNCTION(libarchive, archive_entry_sparse_count);
FORGE_LATE_FUNCTION(libarchive, archive_entry_symlink);
FORGE_LATE_FUNCTION(libarchive, archive_error_string);
FORGE_LATE_FUNCTION(libarchive, archive_read_data);
FORGE_LATE_FUNCTION(libarchive, archive_read_free);
FORGE_LATE_FUNCTION(libarchive, archive_read_header_position);
FORGE_LATE_FUNCTION(libarchive, archive_read_new);
FORGE_LATE_FUNCTION(libarchive, archive_read_next_header);
FORGE_LATE_FUNCTION(libarchive, archive_read_open);
FORGE_LATE_FUNCTION(libarchive, archive_read_support_format_empty);
FORGE_LATE_FUNCTION(libarchive, archive_read_support_format_tar);
FORGE_LATE_FUNCTION(libarchive, archive_write_close);
FORGE_LATE_FUNCTION(libarchive, archive_write_data);
FORGE_LATE_FUNCTION(libarchive, archive_write_free);
FORGE_LATE_FUNCTION(libarchive, archive_write_header);
FORGE_LATE_FUNCTION(libarchive, archive_write_new);
FORGE_LATE_FUNCTION(libarchive, archive_write_open);
FORGE_LATE_FUNCTION(libarchive, archive_write_set_bytes_in_last_block);
FORGE_LATE_FUNCTION(libarchive, archive_write_set_bytes_per_block);
FORGE_LATE_FUNCTION(libarchive, archive_write_set_format_pax_restricted);

}  // namespace forge
