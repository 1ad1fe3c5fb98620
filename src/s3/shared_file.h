// s3/shared_file.h: ~/.aws/credentials, the ini file with profiles that AWS's tools share. Pure.
#pragma once
#include <optional>
#include <string_view>

#include "s3/sigv4.h"

namespace weir::s3 {

inline constexpr uint64_t kMaxSharedFileBytes = 1 << 20;

// The keys of [profile]; nullopt when it isn't there or lacks one of the two.
std::optional<Credentials> read_shared_file(std::string_view text, std::string_view profile);

}  // namespace weir::s3
