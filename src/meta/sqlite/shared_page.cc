#include "meta/sqlite/shared_page.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <mutex>
#include <string_view>

namespace weir::meta {
namespace {

// One for each open database; beyond it a page isn't mapped.
constexpr size_t kMaxPages = 16;

// Read by the signal's handler, so nothing here is ever locked or freed.
struct Place {
    std::atomic<bool> taken{false};
    std::atomic<uintptr_t> page{0};
    std::atomic<bool> lost{false};
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free);

Place g_places[kMaxPages];
struct sigaction g_before;

uintptr_t page_bytes() {
    static const auto bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    return bytes;
}

// Only what is safe in a signal's handler; mmap() is one system call.
bool put_zeros_in_place(uintptr_t address) {
    for (Place& place : g_places) {
        const uintptr_t page = place.page.load(std::memory_order_acquire);
        if (page == 0 || address < page || address - page >= page_bytes()) continue;
        place.lost.store(true, std::memory_order_release);
        return mmap(reinterpret_cast<void*>(page), page_bytes(), PROT_READ,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
    }
    return false;
}

void on_bus_error(int, siginfo_t* info, void*) {
    if (put_zeros_in_place(reinterpret_cast<uintptr_t>(info->si_addr))) return;
    static constexpr std::string_view kText =
        "weir: a file that is mapped into memory (weir.db-shm) was cut short, or its disk failed. "
        "weir ends; start it again: nothing that was stored is lost.\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, kText.data(), kText.size());
    // The access is made again, and ends the process as it would have without us.
    sigaction(SIGBUS, &g_before, nullptr);
}

void install() {
    static std::once_flag once;
    std::call_once(once, [] {
        page_bytes();
        struct sigaction action{};
        action.sa_sigaction = on_bus_error;
        action.sa_flags = SA_SIGINFO;
        sigemptyset(&action.sa_mask);
        sigaction(SIGBUS, &action, &g_before);
    });
}

}  // namespace

SharedPage::SharedPage(int file, size_t bytes) {
    install();
    while (place_ < kMaxPages && g_places[place_].taken.exchange(true)) ++place_;
    if (place_ == kMaxPages) return;
    void* mapped = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
    Place& place = g_places[place_];
    // Not mlock(): under a sanitizer that does nothing and says that all went well.
    if (mapped != MAP_FAILED && mlock2(mapped, bytes, 0) != 0) {
        munmap(mapped, page_bytes());
        mapped = MAP_FAILED;
    }
    if (mapped == MAP_FAILED) {
        place.taken.store(false);
        return;
    }
    place.lost.store(false, std::memory_order_relaxed);
    place.page.store(reinterpret_cast<uintptr_t>(mapped), std::memory_order_release);
    data_ = mapped;
}

SharedPage::~SharedPage() {
    if (data_ == nullptr) return;
    Place& place = g_places[place_];
    place.page.store(0, std::memory_order_release);
    munmap(data_, page_bytes());
    place.taken.store(false);
}

bool SharedPage::lost() const noexcept {
    return data_ != nullptr && g_places[place_].lost.load(std::memory_order_relaxed);
}

}  // namespace weir::meta
