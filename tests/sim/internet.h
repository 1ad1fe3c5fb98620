// tests/sim/internet.h: registries with mirrors, moods and faults, their token server and their
// CDN.
//
// It keeps a list of what it was asked and, for each blob, which bytes it has given: so that a test
// can say what did not happen.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "async/loop.h"
#include "meta/extents.h"
#include "sim/content.h"
#include "sim/http.h"

namespace weir::sim {

enum class Mood { well, refuses, hangs, fails, busy, throttles, denies, rejects };
const char* mood_name(Mood);

enum class What { manifest, blob, tags, referrers, token, ping, other };
const char* what_name(What);

// What goes wrong with one answer.
struct Fault {
    enum class Kind {
        none,
        cut,           // the connection breaks at `at`
        stall,         // nothing comes after `at`
        flip,          // the byte at `at` is another one
        no_length,     // no Content-Length
        short_body,    // no Content-Length, and the body ends at `at` as if that were all
        more_length,   // Content-Length (or the size in Content-Range) says `at` more
        less_length,   // ... less
        wrong_offset,  // 206 from another byte than was asked for
        ignore_range,  // 200 with the whole
        refuse_range,  // 416, though the bytes are there
        nothing,       // 200 with no byte
        absent,        // 404
        error,         // 500
        slow,          // the head comes `at` milliseconds later
        no_digest,     // no Docker-Content-Digest
    };
    Kind kind = Kind::none;
    uint64_t at = 0;
};
const char* fault_name(Fault::Kind);

struct Ask {
    uint64_t id = 0;
    TimePoint at{}, ended_at{};
    size_t registry = 0, mirror = 0;
    What what = What::other;
    std::string method, repository, reference, query, host;
    bool ranged = false;
    uint64_t first = 0;
    std::optional<uint64_t> last;  // inclusive
    int status = 0;
    Fault fault;
    uint64_t bytes = 0;  // of the body, as far as it was taken
    uint64_t next = 0;   // offset of the blob that comes next
    bool over = false;
    client::End end = client::End::complete;
};

struct Mirror {
    Mood mood = Mood::well;
    Duration latency = std::chrono::milliseconds(5);
    uint64_t bytes_per_second = 4 << 20;
    uint64_t piece_bytes = 4096;
    bool asks_for_token = false;
    bool redirects = false;  // blobs come from the CDN
    bool has_referrers = true;
    bool closed = false;  // nobody gets in without a login
    std::set<oci::Digest> lacks;
};

// What was given of one blob.
struct Given {
    meta::Extents bytes;
    uint64_t total = 0;
    uint64_t twice = 0;                  // bytes that the same registry had given before
    std::map<size_t, meta::Extents> by;  // by registry
    bool damaged = false;                // an answer was not what an honest registry gives
    // A request for a part brought nothing: the whole may then be asked for in its place.
    bool no_part = false;
};

class Internet : public Server {
public:
    Internet(Loop& loop, Content& content) : loop_(loop), content_(content) {}

    // "https://m1.r0.sim"; registries and mirrors are made as they are named.
    std::string url(size_t registry, size_t mirror);
    Mirror& mirror(size_t registry, size_t mirror);
    Mirror& token_server() { return token_server_; }

    // Asked first: the answer of a registry that has its own.
    std::function<std::optional<Serving>(Ask&, const client::Call&)> other;
    // Asked for each answer that would be good; none by default. `length` is that of the body.
    std::function<Fault(const Ask&, uint64_t length)> fault;
    std::function<void(const Ask&)> on_ask, on_end;
    // A promise was broken: in words.
    std::function<void(const std::string&)> on_wrong;

    const std::vector<Ask>& asks() const { return asks_; }
    size_t count(What, const std::string& method = "", const std::string& reference = "") const;
    const std::map<oci::Digest, Given>& given() const { return given_; }
    Given& given(const oci::Digest& digest) { return given_[digest]; }
    uint64_t blob_bytes() const;
    void forget() { given_.clear(); }

    Serving serve(const client::Call&) override;
    void delivered(uint64_t id, uint64_t first, uint64_t bytes) override;
    void ended(uint64_t id, client::End) override;

private:
    struct Token {
        std::string scope;
        TimePoint ends{};
        bool login = false;
    };
    Serving answer(Ask&, const client::Call&);
    Serving token(Ask&, const client::Call&);
    Serving moody(Serving, Mood) const;
    Serving status(int, const std::string& code) const;
    Serving manifest(Ask&, const Repository&);
    Serving blob(Ask&, const Repository&, const client::Call&);
    Serving blob_bytes(Ask&, const Text&, const oci::Digest&);
    Serving tags(Ask&, const Repository&);
    Serving referrers(Ask&);
    bool let_in(const Ask&, const Mirror&, const client::Call&) const;
    void parse(Ask&, const client::Call&) const;
    void spoil(Serving&, Ask&, const Text& whole, const oci::Digest&);

    Loop& loop_;
    Content& content_;
    std::vector<std::vector<Mirror>> mirrors_;
    Mirror token_server_;
    std::map<std::string, Token> tokens_;
    uint64_t tokens_given_ = 0;
    std::vector<Ask> asks_;
    std::map<oci::Digest, Given> given_;
};

}  // namespace weir::sim
