#include "core/backup/file_list.h"

#include <algorithm>

namespace forge::backup {

const std::string* FileList::sort() {
    std::ranges::sort(files_, {}, &ListedFile::name);
    const auto twice = std::ranges::adjacent_find(files_, {}, &ListedFile::name);
    return twice == files_.end() ? nullptr : &twice->name;
}

const ListedFile* FileList::find(std::string_view name) const {
    const auto found = std::ranges::lower_bound(files_, name, {}, &ListedFile::name);
    return found != files_.end() && found->name == name ? &*found : nullptr;
}

ListedFile* FileList::find(std::string_view name) {
    return const_cast<ListedFile*>(static_cast<const FileList*>(this)->find(name));
}

}  // namespace forge::backup
