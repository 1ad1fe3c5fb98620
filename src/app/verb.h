// app/verb.h: what the verbs that work on the store have in common: the store without its server,
// problems found, a bar on a terminal.
//
// They work beside a running server: both sides take short transactions, and tolerate rows and
// files that go. Exit codes: 0 fine, 1 problems were found, 2 usage or configuration.
#pragma once
#include <cstdint>
#include <exception>
#include <functional>
#include <iosfwd>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "async/loop.h"
#include "async/pool.h"
#include "async/scope.h"
#include "base/file.h"
#include "cache/types.h"
#include "config/config.h"
#include "meta/engine.h"
#include "store/remote.h"
#include "store/store.h"

namespace weir::app {

inline constexpr int kFine = 0, kProblems = 1, kWrongUsage = 2;

struct VerbArguments {
    std::string config_path;  // empty: the defaults
    bool lenient = false;
    bool json = false;
};

// What a verb works on; in tests a database in memory and a disk that fails.
struct Rooms {
    meta::Engine& engine;
    store::Store& store;
    store::Remote* remote;  // null: the disk is the store
    Files& files;
    std::string root;
    Pool& pool;
    Clock& clock;
};

// Whom to ask for what is stored under a local name.
using Resolve = std::function<cache::TargetPtr(const std::string& repository)>;

// The configuration's store, opened without serving. Main thread.
class Workbench {
public:
    // Reads the configuration; warnings and what goes wrong are on standard error.
    explicit Workbench(const VerbArguments&);
    ~Workbench();
    Workbench(const Workbench&) = delete;
    Workbench& operator=(const Workbench&) = delete;

    const config::Config& config() const;
    std::string database_path() const;
    // The database alone. Failure{config_invalid} when there is none yet.
    meta::Engine& engine();
    // The same, made if missing.
    meta::Engine& new_engine();
    // Everything, after the database. The reference lives as long as the bench.
    Rooms& rooms();
    // The upstreams as `weir serve` makes them.
    Resolve upstreams();
    // Runs it on a loop to its end; throws what it throws.
    void run(std::function<Task<>()> work);

private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

// How far a long verb is. On a terminal a bar that is drawn over itself; elsewhere a line for each
// tenth. Any thread.
class Progress {
public:
    Progress(std::string name, std::ostream& out, bool terminal);
    // On standard error.
    explicit Progress(std::string name);
    ~Progress();  // takes the bar away

    // `share` from 0 to 1; `detail`: "3 GiB of 10 GiB". A new `phase` begins anew.
    void at(std::string_view phase, double share, std::string_view detail = {});
    // Writes a line to `out` (another stream than the bar's) without tearing the bar.
    void line(std::ostream& out, std::string_view text);

private:
    void draw();
    void clear();

    const std::string name_;
    std::ostream& out_;
    const bool terminal_;
    std::mutex mutex_;
    std::string phase_, detail_;
    int tenth_ = -1;
    int permille_ = -1;
    bool drawn_ = false;
};

}  // namespace weir::app
