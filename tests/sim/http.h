// tests/sim/http.h: a network on virtual time, behind the seam of client::HttpClient.
//
// A Server says for each request how it goes (a Serving); the bytes then come as timer events on
// the loop, with the Sink's and the handle's semantics of the real client: pause gives the same
// piece again after resume(), cancel and stop end the transfer, a missing head is a timeout,
// silence in a body a stall, a body that ends before its Content-Length a cut.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "async/loop.h"
#include "base/random.h"
#include "client/http_client.h"

namespace weir::sim {

// How one request goes.
struct Serving {
    enum class Way { answer, refuse, silence };
    Way way = Way::answer;
    uint64_t id = 0;  // the server's own, for its reports
    int status = 200;
    client::Fields fields;
    std::optional<uint64_t> content_length;
    std::shared_ptr<const std::string> source;  // of the body; null: none
    uint64_t first = 0, length = 0;             // of `source`: what is sent
    Duration latency = std::chrono::milliseconds(5);
    uint64_t bytes_per_second = 4 << 20;
    uint64_t piece_bytes = 4096;
    bool endless = false;  // after `length` bytes it begins again, for ever
    // Offsets in the body that is sent.
    std::optional<uint64_t> cut_at, stall_at, flip_at;
    // What the request does at the server, once all of its own body has come there: gives how it
    // goes on.
    std::function<Serving(std::string body)> work;
};

// The Range of a request, if it has one.
struct AskedRange {
    uint64_t first = 0;
    std::optional<uint64_t> last;
    uint64_t suffix = 0;  // > 0: the last so many bytes
};
std::optional<AskedRange> range_of(const client::Call&);

class Server {
public:
    virtual ~Server() = default;
    virtual Serving serve(const client::Call&) = 0;
    // A piece of the body was taken by the sink: [first, first + bytes) of Serving::source.
    virtual void delivered(uint64_t id, uint64_t first, uint64_t bytes) = 0;
    virtual void ended(uint64_t id, client::End) = 0;
};

class HttpClient : public client::HttpClient {
public:
    HttpClient(Loop& loop, Server& server) : loop_(loop), server_(server) {}
    ~HttpClient() override;

    Task<client::ReplyEnd> send(client::Call, std::shared_ptr<client::Sink>) override;
    // The cable: off ends what runs and refuses what comes.
    void plug(bool on);
    size_t running() const { return running_.size(); }

private:
    class Exchange;
    class Handle;
    Loop& loop_;
    Server& server_;
    bool plugged_ = true;
    uint64_t sent_ = 0;
    std::map<uint64_t, std::shared_ptr<Exchange>> running_;
};

}  // namespace weir::sim
