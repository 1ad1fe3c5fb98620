// base/named_file.h: files that a person names: a configuration, credentials, certificates.
//
// Unlike what weir keeps itself (base/file.h: regular files, never through a link) such a file may
// be a symbolic link, as Kubernetes mounts secrets, or a pipe (`weir serve <(make-config)`). What
// is neither is told in a sentence; nothing here waits for ever.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir {

// So long a pipe or a device may take to give all that it has.
inline constexpr std::chrono::seconds kPipePatience{5};

// The whole of it, or nullopt when it isn't there. Failure{too_large} over `max_bytes`,
// Failure{io} for a directory, for what can't be read, and for a pipe that nobody writes to.
// Blocks.
std::optional<std::string> read_named_file(const std::string& path, uint64_t max_bytes,
                                           std::chrono::milliseconds patience = kPipePatience);

enum class Links : uint8_t { followed, refused };
// What stands where a regular file is wanted, "a directory", "a pipe"; empty for a regular file and
// where there is nothing.
std::string_view instead_of_file(const std::string& path, Links);
// Failure{config_invalid} with `what`, the path and what stands there instead.
void require_file(std::string_view what, const std::string& path, Links = Links::followed);

}  // namespace weir
