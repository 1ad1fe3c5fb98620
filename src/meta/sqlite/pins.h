// meta/sqlite/pins.h: which blobs must stay on the disk.
//
// Any thread; the connection is the caller's. What was found to be pinned is remembered, because
// pinned blobs that nobody reads are offered first again and again; forget() what may have been
// unpinned.
#pragma once
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/glob.h"
#include "meta/sqlite/connection.h"
#include "meta/upkeep.h"

namespace weir::meta {

class Pins {
public:
    // Beyond, a blob is looked at each time.
    static constexpr size_t kMaxPinned = 1'000'000;
    // Beyond, all are matched anew.
    static constexpr size_t kMaxRepositories = 100'000;

    // One look at the database: use it while one read lasts, from one thread.
    class View {
    public:
        bool pinned(const oci::Digest& blob);

    private:
        friend class Pins;
        View(Pins& owner, Connection& c) : owner_(owner), connection_(c) {}
        bool find(const oci::Digest& blob);

        Pins& owner_;
        Connection& connection_;
        uint64_t epoch_ = 0;
    };
    View view(Connection&);
    static std::vector<Pin> stored(Connection&);

    void configure(std::vector<Pin>);

    // Whether a pin asks for what the repository links, or for what the tag points at.
    bool keeps(std::string_view repository);
    bool keeps(std::string_view repository, std::string_view tag);
    void forget(std::span<const oci::Digest>);

private:
    // A glob, or a text that is none.
    struct Pattern {
        explicit Pattern(const std::string& text) : text(text), glob(Glob::parse(text)) {}
        bool matches(std::string_view name) const {
            return glob ? glob->matches(name) : text == name;
        }
        std::string text;
        std::optional<Glob> glob;
    };
    struct Rule {
        Pattern repository;
        Pattern tag;
        bool whole;  // every tag
    };
    // The rules on one repository.
    struct Matched {
        bool whole = false;
        std::vector<size_t> tags;
    };

    void load_locked(Connection&);
    const Matched& matched_locked(const std::string& repository);
    bool keeps_locked(const std::string& repository, std::string_view tag);

    std::mutex mutex_;
    std::vector<Pin> configured_;
    std::vector<Pin> loaded_;  // what rules_ were made of
    std::vector<Rule> rules_;
    std::atomic<bool> any_tags_{false};
    std::unordered_map<std::string, Matched> repositories_;
    // By their hashes: sums of digests, so that one in a world of them means another at the most.
    std::unordered_set<size_t> pinned_;
    uint64_t epoch_ = 1;  // of pinned_
};

}  // namespace weir::meta
