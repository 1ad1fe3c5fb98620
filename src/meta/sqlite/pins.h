// meta/sqlite/pins.h: which blobs must stay on the disk.
//
// Any thread; the connection is the caller's. What was found to be pinned is remembered, because
// pinned blobs that nobody reads are offered first again and again; forget() when something may
// have been unpinned.
#pragma once
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
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
    // Blobs and repositories that are remembered; beyond, all are forgotten.
    static constexpr size_t kMaxRemembered = 200'000;

    // One look at the database: use it while one read lasts, from one thread.
    class View {
    public:
        bool empty() const;
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
    void forget();

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
    bool whole(const std::string& repository);
    bool tag(const std::string& repository, const std::string& tag);

    std::mutex mutex_;
    std::vector<Pin> configured_;
    std::vector<Pin> loaded_;  // what rules_ were made of
    std::vector<Rule> rules_;
    std::atomic<bool> any_tags_{false};
    std::unordered_map<std::string, Matched> repositories_;
    std::unordered_set<oci::Digest, oci::DigestHash> pinned_;
    uint64_t epoch_ = 1;  // of pinned_
};

}  // namespace weir::meta
