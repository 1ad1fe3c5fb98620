#include "store/disk_store.h"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <utility>

#include "base/failure.h"
#include "base/log.h"

namespace weir::store {
namespace {

constexpr size_t kAlgorithms = 2;
constexpr size_t kFanOut = 256;  // by the first byte of the sum

// The layout on the disk, and everything that blocks. Called on the pool; jobs own it.
class Layout {
public:
    Layout(const DiskOptions& options, Files& files)
        : files_(files),
          root_(options.root),
          blobs_(join_path(root_, "blobs")),
          staging_(join_path(root_, "staging")),
          durable_(options.durable) {}

    void prepare() {
        files_.make_directories(blobs_);
        files_.make_directories(staging_);
        // Whatever commits are worth: what sync() promised is found below these names.
        files_.sync_directory(root_);
        // A root that was just made is an entry of its parent. One that we may not read existed
        // before.
        try {
            if (!parent_path(root_).empty()) files_.sync_directory(parent_path(root_));
        } catch (const Failure& failure) {
            log::debug("store", "not synced at start: {}", failure.what());
        }
    }

    std::shared_ptr<const File> open(const oci::Digest& digest, uint64_t generation) {
        return files_.open(blob_path(digest, generation), false);
    }

    std::shared_ptr<Staging> stage(const oci::Digest& digest, uint64_t generation,
                                   std::optional<uint64_t> size) {
        const std::string path = staging_path(digest, generation);
        auto staging = std::make_shared<Staging>(Staging{digest, generation, files_.create(path)});
        try {
            if (size) staging->file->allocate(*size);
        } catch (...) {
            staging->file.reset();
            files_.remove(path);
            throw;
        }
        return staging;
    }

    std::shared_ptr<Staging> reopen(const oci::Digest& digest, uint64_t generation) {
        auto file = files_.open(staging_path(digest, generation), true);
        if (!file) return nullptr;
        return std::make_shared<Staging>(Staging{digest, generation, std::move(file)});
    }

    std::shared_ptr<Staging> take_back(const oci::Digest& digest, uint64_t generation) {
        const std::string blob = blob_path(digest, generation);
        if (!files_.open(blob, false)) return nullptr;
        files_.rename(blob, staging_path(digest, generation));
        return reopen(digest, generation);
    }

    void commit(const Staging& staging) {
        const std::string directory = fan_out(staging.digest);
        if (durable_) staging.file->sync();
        try {
            files_.rename(staging_path(staging.digest, staging.generation),
                          join_path(directory, file_name(staging.digest, staging.generation)));
        } catch (...) {
            // Should somebody have removed the directory, the next commit makes it again.
            made(staging.digest).store(false, std::memory_order_release);
            throw;
        }
        if (durable_) files_.sync_directory(directory);
    }

    // Whoever hears that a file is gone forgets its name: a power cut must not bring it back, where
    // nothing would count it. One that isn't there may have been removed by a process that died
    // before its sync.
    bool remove_staging(const oci::Digest& digest, uint64_t generation) {
        const bool was_there = files_.remove(staging_path(digest, generation));
        if (durable_) files_.sync_directory(staging_);
        return was_there;
    }

    bool erase(const oci::Digest& digest, uint64_t generation) {
        const bool was_there = files_.remove(blob_path(digest, generation));
        if (durable_) files_.sync_directory(fan_out(digest));
        return was_there;
    }

    void sync(const Staging& staging) {
        staging.file->sync();
        // After a crash the data is found only by its name.
        files_.sync_directory(staging_);
    }

private:
    static std::string file_name(const oci::Digest& digest, uint64_t generation) {
        return fmt::format("{}.{}", digest.hex(), generation);
    }

    std::string staging_path(const oci::Digest& digest, uint64_t generation) const {
        return fmt::format("{}/{}-{}", staging_, digest.algorithm_name(),
                           file_name(digest, generation));
    }

    std::string directory_of(const oci::Digest& digest) const {
        return fmt::format("{}/{}/{:02x}", blobs_, digest.algorithm_name(),
                           std::to_integer<unsigned>(digest.sum()[0]));
    }

    std::string blob_path(const oci::Digest& digest, uint64_t generation) const {
        return join_path(directory_of(digest), file_name(digest, generation));
    }

    // The directory, which exists afterwards.
    std::string fan_out(const oci::Digest& digest) {
        std::string directory = directory_of(digest);
        if (made(digest).load(std::memory_order_acquire)) return directory;
        files_.make_directories(directory);
        if (durable_) {
            files_.sync_directory(parent_path(directory));
            files_.sync_directory(blobs_);
        }
        made(digest).store(true, std::memory_order_release);
        return directory;
    }

    std::atomic<bool>& made(const oci::Digest& digest) {
        return made_[static_cast<size_t>(digest.algorithm())]
                    [std::to_integer<size_t>(digest.sum()[0])];
    }

    Files& files_;
    const std::string root_;
    const std::string blobs_;
    const std::string staging_;
    const bool durable_;
    std::array<std::array<std::atomic<bool>, kFanOut>, kAlgorithms> made_{};
};

class DiskStore : public Store {
public:
    DiskStore(std::shared_ptr<Layout> layout, Pool& pool)
        : layout_(std::move(layout)), pool_(pool) {}

    Task<std::shared_ptr<const File>> open(oci::Digest digest, uint64_t generation) override {
        return pool_.run(
            [layout = layout_, digest, generation] { return layout->open(digest, generation); });
    }

    Task<std::shared_ptr<Staging>> stage(oci::Digest digest, uint64_t generation,
                                         std::optional<uint64_t> size) override {
        return pool_.run([layout = layout_, digest, generation, size] {
            return layout->stage(digest, generation, size);
        });
    }

    Task<std::shared_ptr<Staging>> reopen(oci::Digest digest, uint64_t generation) override {
        return pool_.run(
            [layout = layout_, digest, generation] { return layout->reopen(digest, generation); });
    }

    Task<std::shared_ptr<Staging>> take_back(oci::Digest digest, uint64_t generation) override {
        return pool_.run([layout = layout_, digest, generation] {
            return layout->take_back(digest, generation);
        });
    }

    Task<> commit(std::shared_ptr<Staging> staging) override {
        return pool_.run(
            [layout = layout_, staging = std::move(staging)] { layout->commit(*staging); });
    }

    Task<> discard(std::shared_ptr<Staging> staging) override {
        return discard_left_over(staging->digest, staging->generation);
    }

    Task<> discard_left_over(oci::Digest digest, uint64_t generation) override {
        return pool_.run(
            [layout = layout_, digest, generation] { layout->remove_staging(digest, generation); });
    }

    Task<bool> erase(oci::Digest digest, uint64_t generation) override {
        return pool_.run(
            [layout = layout_, digest, generation] { return layout->erase(digest, generation); });
    }

    Task<> sync(std::shared_ptr<Staging> staging) override {
        return pool_.run(
            [layout = layout_, staging = std::move(staging)] { layout->sync(*staging); });
    }

private:
    const std::shared_ptr<Layout> layout_;
    Pool& pool_;
};

}  // namespace

std::unique_ptr<Store> open_disk_store(DiskOptions options, Files& files, Pool& pool) {
    auto layout = std::make_shared<Layout>(options, files);
    try {
        layout->prepare();
    } catch (const Failure& failure) {
        throw Failure(
            Kind::config_invalid,
            fmt::format("storage.rootDirectory {}: {}; weir needs a directory that it may "
                        "write to",
                        options.root, failure.what()));
    }
    return std::make_unique<DiskStore>(std::move(layout), pool);
}

}  // namespace weir::store
