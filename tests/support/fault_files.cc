#include "support/fault_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "base/failure.h"
#include "base/random.h"
#include "meta/extents.h"

namespace weir {
namespace {

using Block = std::array<std::byte, FaultFiles::kPageBytes>;
using Meter = std::shared_ptr<std::atomic<uint64_t>>;

uint64_t pages_of(uint64_t bytes) {
    return (bytes + FaultFiles::kPageBytes - 1) / FaultFiles::kPageBytes;
}

struct Page {
    std::unique_ptr<Block> now;
    std::unique_ptr<Block> synced;  // of a dirty page: what the disk holds; null is zeros
};

// A file, whatever its name is at the moment.
struct Node {
    explicit Node(Meter of_disk) : meter(std::move(of_disk)) {}
    ~Node() { *meter -= backed_pages * FaultFiles::kPageBytes; }
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    Meter meter;
    std::map<uint64_t, Page> pages;
    std::set<uint64_t> dirty;
    uint64_t size = 0;
    uint64_t synced_size = 0;
    meta::Extents allocated;
    meta::Extents taken;        // allocated or written
    uint64_t backed_pages = 0;  // of these bytes
    std::optional<std::string> path;
    std::optional<std::string> synced_path;

    // Counts the pages anew that `taken` is of now.
    void count_pages() {
        const uint64_t now = pages_in(taken);
        *meter += (now - backed_pages) * FaultFiles::kPageBytes;  // modulo 2^64
        backed_pages = now;
    }
    static uint64_t pages_in(const meta::Extents& bytes) {
        meta::Extents whole;
        for (const auto& [first, end] : bytes.list())
            whole.insert(first / FaultFiles::kPageBytes, pages_of(end));
        return whole.total();
    }
    // Pages that [first, end) would newly take.
    uint64_t missing_pages(uint64_t first, uint64_t end) const {
        meta::Extents more = taken;
        more.insert(first, end);
        return pages_in(more) - backed_pages;
    }
    void take(uint64_t first, uint64_t end) {
        taken.insert(first, end);
        count_pages();
    }
    // The bytes are zeros, and the pages that were theirs alone are gone.
    void release(uint64_t first, uint64_t end) {
        allocated.erase(first, end);
        taken.erase(first, end);
        count_pages();
        for (auto at = pages.lower_bound(first / FaultFiles::kPageBytes);
             at != pages.end() && at->first * FaultFiles::kPageBytes < end;) {
            const uint64_t begin = at->first * FaultFiles::kPageBytes;
            const uint64_t from = std::max(first, begin) - begin;
            const uint64_t to = std::min(end - begin, FaultFiles::kPageBytes);
            if (from == 0 && to == FaultFiles::kPageBytes) {
                dirty.erase(at->first);
                at = pages.erase(at);
                continue;
            }
            for (Block* block : {at->second.now.get(), at->second.synced.get()})
                if (block) std::fill(block->begin() + from, block->begin() + to, std::byte{0});
            ++at;
        }
    }
    Block& writable_page(uint64_t index) {
        Page& page = pages[index];
        if (dirty.insert(index).second && page.now)
            page.synced = std::make_unique<Block>(*page.now);
        if (!page.now) page.now = std::make_unique<Block>();
        return *page.now;
    }
    void sync() {
        for (uint64_t index : dirty) pages[index].synced.reset();
        dirty.clear();
        synced_size = size;
    }
};

struct Directory {
    std::map<std::string, std::shared_ptr<Node>> now;
    std::map<std::string, std::shared_ptr<Node>> synced;
    std::set<std::string> changed;  // names that may differ
    bool durable = false;           // its own name
};

std::string without_slash(const std::string& path) {
    return path.size() > 1 && path.ends_with('/') ? path.substr(0, path.size() - 1) : path;
}

std::string name_of(const std::string& path) {
    return path.substr(path.rfind('/') + 1);
}

std::string parent_of(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return "";
    return slash == 0 ? "/" : path.substr(0, slash);
}

bool is_top(const std::string& directory) {
    return directory.empty() || directory == "/";
}

}  // namespace

struct FaultFiles::Disk {
    explicit Disk(uint64_t seed) : random(seed) {
        directories["/"].durable = true;
        directories[""].durable = true;
    }

    mutable std::mutex mutex;
    SeededRandom random;
    Meter stored = std::make_shared<std::atomic<uint64_t>>(0);
    uint64_t capacity = UINT64_MAX;
    Rates rates;
    bool on = true;
    std::optional<uint64_t> changes_left;
    uint64_t changes = 0;
    uint64_t syncs = 0;
    uint64_t epoch = 0;                            // crashes so far
    std::map<std::string, Directory> directories;  // parents come before what is in them

    [[noreturn]] static void fail(const char* what, const std::string& path, const char* why,
                                  Kind kind = Kind::io) {
        throw Failure(kind, fmt::format("{} {}: {}", what, path, why));
    }

    // Each call passes here first: does it happen at all?
    void enter(const char* what, const std::string& path, double rate, bool changing) {
        if (on && changing && changes_left && *changes_left == 0) on = false;
        if (!on) fail(what, path, "the power is off");
        if (changing && changes_left) --*changes_left;
        if (rate > 0 && random.unit() < rate) fail(what, path, "Input/output error");
        if (changing) ++changes;
    }

    // How far [first, end) fits: a page's end, or `end`.
    uint64_t room_to(const Node& node, uint64_t first, uint64_t end) const {
        uint64_t free = (capacity - std::min(capacity, stored->load())) / kPageBytes;
        if (node.missing_pages(first, end) <= free) return end;
        uint64_t at = first;
        for (;;) {
            const uint64_t next = std::min((at / kPageBytes + 1) * kPageBytes, end);
            const uint64_t missing = node.missing_pages(at, next);
            if (missing > free) return at;
            free -= missing;
            at = next;
        }
    }

    [[noreturn]] static void fail_full(const Node& node, const char* what) {
        fail(what, node.path.value_or("(removed)"), "No space left on device", Kind::no_space);
    }

    Directory& directory(const char* what, const std::string& path) {
        const auto at = directories.find(path);
        if (at == directories.end()) fail(what, path, "No such file or directory");
        return at->second;
    }

    std::shared_ptr<Node> find(const std::string& path) {
        const auto at = directories.find(parent_of(path));
        if (at == directories.end()) return nullptr;
        const auto entry = at->second.now.find(name_of(path));
        return entry == at->second.now.end() ? nullptr : entry->second;
    }

    void unname(const std::string& path) {
        Directory& parent = directories.at(parent_of(path));
        parent.now.at(name_of(path))->path.reset();
        parent.now.erase(name_of(path));
        parent.changed.insert(name_of(path));
    }

    void name(const std::string& path, const std::shared_ptr<Node>& node) {
        Directory& parent = directories.at(parent_of(path));
        parent.now[name_of(path)] = node;
        parent.changed.insert(name_of(path));
        node->path = path;
    }

    // The file's present name, or that it has none, becomes what the disk knows.
    void persist(const std::shared_ptr<Node>& node) {
        if (node->synced_path == node->path) return;
        if (node->synced_path)
            directories.at(parent_of(*node->synced_path)).synced.erase(name_of(*node->synced_path));
        node->synced_path = node->path;
        if (!node->path) return;
        auto& entry = directories.at(parent_of(*node->path)).synced[name_of(*node->path)];
        if (entry) entry->synced_path.reset();
        entry = node;
    }

    template <class F>
    void for_children(const std::string& path, F f) {
        const std::string prefix = path.empty() || path == "/" ? path : path + "/";
        for (auto at = directories.lower_bound(prefix);
             at != directories.end() && at->first.starts_with(prefix); ++at)
            if (!is_top(at->first) && parent_of(at->first) == path) f(at->first, at->second);
    }

    void sync_names(const std::string& path, Directory& directory) {
        for (const auto& name : std::exchange(directory.changed, {})) {
            const auto old = directory.synced.find(name);
            if (old != directory.synced.end()) persist(std::shared_ptr(old->second));
            const auto now = directory.now.find(name);
            if (now != directory.now.end()) persist(now->second);
        }
        for_children(path, [](const std::string&, Directory& child) { child.durable = true; });
    }

    void lose_power(Loss);
    void keep_some_names();
    std::shared_ptr<Node> survivor(Node& before, Loss);
};

namespace {

class FaultFile : public File {
public:
    FaultFile(std::shared_ptr<FaultFiles::Disk> disk, std::shared_ptr<Node> node, bool writable)
        : disk_(std::move(disk)),
          node_(std::move(node)),
          writable_(writable),
          epoch_(disk_->epoch) {}

    size_t read_at(uint64_t offset, std::span<std::byte> into) const override {
        std::lock_guard lock(disk_->mutex);
        enter("read", disk_->rates.read, false);
        if (offset >= node_->size) return 0;
        const size_t wanted = std::min<uint64_t>(into.size(), node_->size - offset);
        for_pages(offset, wanted, [&](uint64_t page, size_t in_page, size_t done, size_t bytes) {
            const auto at = node_->pages.find(page);
            if (at == node_->pages.end()) {
                std::memset(into.data() + done, 0, bytes);
            } else {
                std::memcpy(into.data() + done, at->second.now->data() + in_page, bytes);
            }
        });
        return wanted;
    }

    void write_at(uint64_t offset, std::span<const std::byte> from) override {
        std::lock_guard lock(disk_->mutex);
        enter("write", disk_->rates.write, true);
        if (!writable_) disk_->fail("write", name(), "not open for writing");
        if (from.empty()) return;
        const uint64_t end = disk_->room_to(*node_, offset, offset + from.size());
        if (end > offset) {
            node_->take(offset, end);
            for_pages(offset, end - offset,
                      [&](uint64_t page, size_t in_page, size_t done, size_t bytes) {
                          std::memcpy(node_->writable_page(page).data() + in_page,
                                      from.data() + done, bytes);
                      });
            node_->size = std::max(node_->size, end);
        }
        if (end < offset + from.size()) disk_->fail_full(*node_, "write");
    }

    void allocate(uint64_t bytes) override {
        std::lock_guard lock(disk_->mutex);
        enter("allocate", disk_->rates.write, true);
        // A disk far larger than memory costs nothing here: pages are counted, not made.
        if (disk_->room_to(*node_, 0, bytes) < bytes) disk_->fail_full(*node_, "allocate");
        node_->take(0, bytes);
        node_->allocated.insert(0, bytes);
    }

    void release(uint64_t first, uint64_t end) override {
        std::lock_guard lock(disk_->mutex);
        enter("release", disk_->rates.write, true);
        if (!writable_) disk_->fail("release", name(), "not open for writing");
        if (first < end) node_->release(first, end);
    }

    void cut(uint64_t bytes) override {
        std::lock_guard lock(disk_->mutex);
        enter("cut", disk_->rates.write, true);
        if (!writable_) disk_->fail("cut", name(), "not open for writing");
        node_->size = std::min(node_->size, bytes);
        node_->synced_size = std::min(node_->synced_size, bytes);
        node_->release(node_->size, UINT64_MAX);
    }

    void sync() override {
        std::lock_guard lock(disk_->mutex);
        enter("sync", disk_->rates.sync, true);
        ++disk_->syncs;
        node_->sync();
    }

    uint64_t size() const override {
        std::lock_guard lock(disk_->mutex);
        enter("stat", 0, false);
        return node_->size;
    }

    int descriptor() const override { return -1; }

private:
    std::string name() const { return node_->path.value_or("(removed)"); }

    void enter(const char* what, double rate, bool changing) const {
        if (epoch_ != disk_->epoch) disk_->fail(what, name(), "opened before the crash");
        disk_->enter(what, name(), rate, changing);
    }

    // f(page, offset in it, offset in the whole, bytes)
    template <class F>
    static void for_pages(uint64_t offset, size_t bytes, F f) {
        for (size_t done = 0; done < bytes;) {
            const uint64_t in_page = (offset + done) % FaultFiles::kPageBytes;
            const size_t part = std::min<uint64_t>(bytes - done, FaultFiles::kPageBytes - in_page);
            f((offset + done) / FaultFiles::kPageBytes, in_page, done, part);
            done += part;
        }
    }

    std::shared_ptr<FaultFiles::Disk> disk_;
    std::shared_ptr<Node> node_;
    bool writable_;
    uint64_t epoch_;
};

}  // namespace

// Each change of a name since the last sync is decided alone; replacing a file is one change.
void FaultFiles::Disk::keep_some_names() {
    std::vector<std::shared_ptr<Node>> named;
    std::vector<std::shared_ptr<Node>> removed;
    for (auto& [path, directory] : directories) {
        if (!directory.durable) directory.durable = random.below(2) == 0;
        for (const auto& name : directory.changed) {
            const auto now = directory.now.find(name);
            const auto synced = directory.synced.find(name);
            if (now != directory.now.end())
                named.push_back(now->second);
            else if (synced != directory.synced.end() && !synced->second->path)
                removed.push_back(synced->second);
        }
    }
    for (const auto& node : named)
        if (random.below(2) == 0) persist(node);
    for (const auto& node : removed)
        if (node->synced_path && random.below(2) == 0) persist(node);
}

// The file as it is found after the crash.
std::shared_ptr<Node> FaultFiles::Disk::survivor(Node& before, Loss loss) {
    auto after = std::make_shared<Node>(stored);
    after->size = before.synced_size;
    after->allocated = before.allocated;
    after->taken = before.taken;
    for (auto& [index, page] : before.pages) {
        auto block = std::move(page.now);
        if (before.dirty.contains(index)) {
            auto synced = std::move(page.synced);
            const uint64_t luck =
                loss == Loss::everything ? 0 : random.below(3);  // none, all, torn
            if (luck == 0) block = std::move(synced);
            for (size_t at = 0; luck == 2 && at < kPageBytes; at += kSectorBytes) {
                if (random.below(2) == 0) continue;
                if (synced)
                    std::copy_n(synced->begin() + at, kSectorBytes, block->begin() + at);
                else
                    std::fill_n(block->begin() + at, kSectorBytes, std::byte{0});
            }
            if (luck != 0)
                after->size =
                    std::max(after->size, std::min(before.size, (index + 1) * kPageBytes));
        }
        if (block) {
            after->pages[index].now = std::move(block);
        } else {
            after->taken.erase(index * kPageBytes, (index + 1) * kPageBytes);
        }
    }
    for (const auto& [first, end] : after->allocated.list()) after->taken.insert(first, end);
    after->synced_size = after->size;
    after->count_pages();
    return after;
}

void FaultFiles::Disk::lose_power(Loss loss) {
    ++epoch;
    if (loss == Loss::nothing) return;
    if (loss == Loss::some) keep_some_names();
    stored = std::make_shared<std::atomic<uint64_t>>(0);
    std::map<std::string, Directory> before;
    before.swap(directories);
    for (auto& [path, old] : before) {
        if (!old.durable || (!is_top(path) && !directories.contains(parent_of(path)))) continue;
        Directory& found = directories[path];
        found.durable = true;
        for (auto& [name, node] : old.synced) {
            auto after = survivor(*node, loss);
            after->path = after->synced_path = join_path(path, name);
            found.now[name] = found.synced[name] = std::move(after);
        }
    }
}

FaultFiles::FaultFiles(uint64_t seed) : disk_(std::make_shared<Disk>(seed)) {}
FaultFiles::~FaultFiles() = default;

void FaultFiles::set_capacity(uint64_t bytes) {
    std::lock_guard lock(disk_->mutex);
    disk_->capacity = bytes;
}

uint64_t FaultFiles::stored_bytes() const {
    std::lock_guard lock(disk_->mutex);
    return *disk_->stored;
}

uint64_t FaultFiles::named_bytes() const {
    std::lock_guard lock(disk_->mutex);
    uint64_t bytes = 0;
    for (const auto& [path, directory] : disk_->directories)
        for (const auto& [name, node] : directory.now) bytes += node->taken.total();
    return bytes;
}

void FaultFiles::set_error_rates(Rates rates) {
    std::lock_guard lock(disk_->mutex);
    disk_->rates = rates;
}

void FaultFiles::power_off() {
    power_off_after(0);
}

void FaultFiles::power_off_after(uint64_t changes) {
    std::lock_guard lock(disk_->mutex);
    disk_->changes_left = changes;
    if (changes == 0) disk_->on = false;
}

bool FaultFiles::powered() const {
    std::lock_guard lock(disk_->mutex);
    return disk_->on;
}

void FaultFiles::power_on(Loss loss) {
    std::lock_guard lock(disk_->mutex);
    disk_->lose_power(loss);
    disk_->changes_left.reset();
    disk_->on = true;
}

void FaultFiles::crash(Loss loss) {
    power_off();
    power_on(loss);
}

uint64_t FaultFiles::changes() const {
    std::lock_guard lock(disk_->mutex);
    return disk_->changes;
}

uint64_t FaultFiles::syncs() const {
    std::lock_guard lock(disk_->mutex);
    return disk_->syncs;
}

std::shared_ptr<File> FaultFiles::open(const std::string& path, bool writable) {
    std::lock_guard lock(disk_->mutex);
    disk_->enter("open", path, disk_->rates.read, false);
    auto node = disk_->find(path);
    if (!node) return nullptr;
    return std::make_shared<FaultFile>(disk_, std::move(node), writable);
}

std::shared_ptr<File> FaultFiles::create(const std::string& path) {
    std::lock_guard lock(disk_->mutex);
    disk_->enter("create", path, disk_->rates.name, true);
    disk_->directory("create", parent_of(path));
    if (disk_->find(path)) disk_->fail("create", path, "File exists");
    auto node = std::make_shared<Node>(disk_->stored);
    disk_->name(path, node);
    return std::make_shared<FaultFile>(disk_, std::move(node), true);
}

void FaultFiles::rename(const std::string& from, const std::string& to) {
    std::lock_guard lock(disk_->mutex);
    disk_->enter("rename", from, disk_->rates.name, true);
    const auto node = disk_->find(from);
    if (!node) disk_->fail("rename", from, "No such file or directory");
    disk_->directory("rename", parent_of(to));
    if (from == to) return;
    if (disk_->find(to)) disk_->unname(to);
    disk_->unname(from);
    disk_->name(to, node);
}

bool FaultFiles::remove(const std::string& path) {
    std::lock_guard lock(disk_->mutex);
    disk_->enter("remove", path, disk_->rates.name, true);
    if (!disk_->find(path)) return false;
    disk_->unname(path);
    return true;
}

void FaultFiles::make_directories(const std::string& path) {
    std::lock_guard lock(disk_->mutex);
    disk_->enter("make directory", path, disk_->rates.name, true);
    for (std::string at = without_slash(path); !is_top(at); at = parent_of(at)) {
        if (disk_->find(at)) disk_->fail("make directory", at, "Not a directory");
        disk_->directories.try_emplace(at);
    }
}

void FaultFiles::sync_directory(const std::string& path) {
    std::lock_guard lock(disk_->mutex);
    disk_->enter("sync", path, disk_->rates.sync, true);
    const std::string directory = without_slash(path);
    Directory& found = disk_->directory("open", directory);
    ++disk_->syncs;
    disk_->sync_names(directory, found);
}

DiskSpace FaultFiles::space(const std::string& path) {
    std::lock_guard lock(disk_->mutex);
    disk_->enter("statvfs", path, 0, false);
    // Sums of it must not overflow in anybody's arithmetic.
    const uint64_t total = std::min(disk_->capacity, uint64_t{1} << 60);
    return {total, total - std::min(total, disk_->stored->load())};
}

std::vector<std::string> FaultFiles::list(const std::string& path) {
    std::lock_guard lock(disk_->mutex);
    disk_->enter("list", path, disk_->rates.read, false);
    const std::string directory = without_slash(path);
    std::vector<std::string> names;
    for (const auto& [name, node] : disk_->directory("list", directory).now) names.push_back(name);
    disk_->for_children(directory, [&](const std::string& path_of_child, Directory&) {
        names.push_back(name_of(path_of_child));
    });
    return names;
}

}  // namespace weir
