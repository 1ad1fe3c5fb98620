#include "cache/lookup.h"

namespace weir::cache {

std::string_view pair_key(std::string_view repository, std::string_view rest) {
    thread_local std::string buffer;
    buffer.assign(repository);
    buffer.push_back('\0');
    buffer.append(rest);
    return buffer;
}

void Touches::add(const oci::Digest& digest, WallTime when) {
    std::lock_guard lock(mutex_);
    if (pending_.size() >= kMaxPending && !pending_.contains(digest)) return;
    pending_[digest] = when;
}

std::vector<meta::Touch> Touches::take() {
    std::unordered_map<oci::Digest, WallTime, oci::DigestHash> taken;
    {
        std::lock_guard lock(mutex_);
        taken.swap(pending_);
    }
    std::vector<meta::Touch> touches;
    touches.reserve(taken.size());
    for (const auto& [digest, when] : taken) touches.push_back({digest, when});
    return touches;
}

}  // namespace weir::cache
