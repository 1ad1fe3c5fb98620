// tests/sim/depot.h: S3 in the simulated world: the server of one bucket, with moods and faults.
//
// It outlives crashes of the machine that uses it. What it is asked comes from the real s3 room, so
// that signatures, retries, uploads in parts and the XML between are under test too. Signatures are
// not checked; the hash of a body is.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "async/loop.h"
#include "oci/digest.h"
#include "sim/http.h"
#include "sim/internet.h"

namespace weir::sim {

// One request that the bucket was asked for.
struct Visit {
    uint64_t id = 0;
    TimePoint at{};
    std::string method, key, query;
    std::string range;  // the field's value
    int status = 0;
};

struct DepotFault {
    enum class Kind {
        none,
        cut,     // of a GET's body at `at`
        stall,   // nothing comes after `at`
        flip,    // the byte at `at` is another one
        lost,    // it is done, and the answer never comes
        error,   // 500
        absent,  // 404
        slow,    // the answer comes `at` milliseconds later
    };
    Kind kind = Kind::none;
    uint64_t at = 0;
};
const char* fault_name(DepotFault::Kind);

class Depot : public Server {
public:
    static constexpr const char* kUrl = "http://s3.sim";
    static constexpr const char* kBucket = "images";

    struct Object {
        Text bytes;
        WallTime modified{};
    };
    struct Upload {
        std::string key;
        std::map<uint64_t, std::string> parts;
    };

    explicit Depot(Loop& loop) : loop_(loop) {}

    // For all requests.
    Mood mood = Mood::well;
    Duration latency = std::chrono::milliseconds(10);
    uint64_t bytes_per_second = 8 << 20;
    uint64_t piece_bytes = 4096;
    size_t page = 1000;  // keys of one page of a list
    // Asked for each request; `length`: of the body that would be sent.
    std::function<DepotFault(const Visit&, uint64_t length)> fault;
    std::function<void(const Visit&)> on_visit;
    std::function<void(const oci::Digest&)> on_damage;  // wrong bytes of a blob are sent

    std::map<std::string, Object>& objects() { return objects_; }
    const std::map<std::string, Upload>& uploads() const { return uploads_; }
    const std::vector<Visit>& visits() const { return visits_; }
    static std::string key_of(const oci::Digest& blob);
    // Null: it has no such blob.
    Text blob(const oci::Digest&) const;
    // Nothing has gone wrong with any request since then; kNever while its mood is bad.
    TimePoint well_since() const { return mood == Mood::well ? well_since_ : kNever; }
    void heal();

    Serving serve(const client::Call&) override;
    void delivered(uint64_t, uint64_t, uint64_t) override {}
    void ended(uint64_t, client::End) override {}

private:
    struct Request;
    Serving work(const Request&, std::string body);
    Serving answer(const Request&, const std::string& body);
    Serving get(const Request&, bool head);
    Serving put(const Request&, const std::string& body);
    Serving post(const Request&, const std::string& body);
    Serving remove(const Request&);
    Serving complete(const Request&, const std::string& id);
    Serving list(const Request&) const;
    Serving list_uploads(const Request&) const;
    Serving delete_many(const std::string& body);
    Serving with(Serving, const Request&, const DepotFault&);

    Loop& loop_;
    std::map<std::string, Object> objects_;
    std::map<std::string, Upload> uploads_;
    uint64_t uploads_begun_ = 0;
    std::vector<Visit> visits_;
    TimePoint well_since_{};
};

}  // namespace weir::sim
