// What is used of libcurl, loaded when it is first called (core/base/late_library.h).
#pragma once

#include <curl/curl.h>

#include "core/base/late_library.h"

namespace forge {

FORGE_LATE_FUNCTION(libcurl, curl_easy_cleanup);
FORGE_LATE_FUNCTION(libcurl, curl_easy_getinfo);
FORGE_LATE_FUNCTION(libcurl, curl_easy_init);
FORGE_LATE_FUNCTION(libcurl, curl_easy_pause);
FORGE_LATE_FUNCTION(libcurl, curl_easy_reset);
FORGE_LATE_FUNCTION(libcurl, curl_easy_setopt);
FORGE_LATE_FUNCTION(libcurl, curl_easy_strerror);
FORGE_LATE_FUNCTION(libcurl, curl_free);
FORGE_LATE_FUNCTION(libcurl, curl_global_init);
FORGE_LATE_FUNCTION(libcurl, curl_multi_add_handle);
FORGE_LATE_FUNCTION(libcurl, curl_multi_cleanup);
FORGE_LATE_FUNCTION(libcurl, curl_multi_info_read);
FORGE_LATE_FUNCTION(libcurl, curl_multi_init);
FORGE_LATE_FUNCTION(libcurl, curl_multi_perform);
FORGE_LATE_FUNCTION(libcurl, curl_multi_poll);
FORGE_LATE_FUNCTION(libcurl, curl_multi_remove_handle);
FORGE_LATE_FUNCTION(libcurl, curl_multi_setopt);
FORGE_LATE_FUNCTION(libcurl, curl_slist_append);
FORGE_LATE_FUNCTION(libcurl, curl_slist_free_all);
FORGE_LATE_FUNCTION(libcurl, curl_url);
FORGE_LATE_FUNCTION(libcurl, curl_url_cleanup);
FORGE_LATE_FUNCTION(libcurl, curl_url_get);
FORGE_LATE_FUNCTION(libcurl, curl_url_set);

}  // namespace forge
