// config/size.h: sizes as a file says them.
#pragma once
#include <cstdint>
#include <optional>

namespace weir::config {

inline constexpr uint64_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB;

// "50GB", "10GiB" or "80%" of something whose size is known later (a disk).
struct Size {
    uint64_t bytes = 0;
    std::optional<double> percent;  // then bytes is 0
    uint64_t of(uint64_t whole) const {
        return percent ? static_cast<uint64_t>(static_cast<double>(whole) * *percent / 100) : bytes;
    }
    bool operator==(const Size&) const = default;
};

}  // namespace weir::config
