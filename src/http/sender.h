// http/sender.h: puts one response on the wire.
//
// The head is text that waits for the first bytes of the body and leaves with them in one call;
// when the body keeps us waiting it leaves alone. Files go by sendfile where the transport can, in
// windows whose last byte was seen in the page cache, so that a loop never sleeps on a disk. Own
// loop only.
#pragma once
#include <exception>
#include <memory>
#include <string>

#include "async/pool.h"
#include "http/connection.h"
#include "http/message.h"

namespace weir::http {

class Sender {
public:
    // Sent in one turn, before the loop's other connections have theirs; also the window of the
    // page cache probe.
    static constexpr uint64_t kTurnBytes = 2 * 1024 * 1024;

    Sender(Connection& connection, Pool& pool);
    ~Sender();
    Sender(const Sender&) = delete;
    Sender& operator=(const Sender&) = delete;

    // `request` and `response` live until ended().
    void begin(const Request& request, Response& response, bool keep_alive);
    // Without waiting; true: the response has ended, well or not. Bodies from a Source need run().
    bool try_now();
    Task<> run();

    // The connection was cut: a source that waits for something hears of it.
    void client_cut();

    bool ended() const { return ended_; }
    // After the response: the connection can be used on.
    bool kept() const { return keep_alive_ && !outcome_.aborted; }
    // The client can't tell from the framing that the body was cut.
    bool must_reset() const { return outcome_.aborted && close_delimited_; }
    const Outcome& outcome() const { return outcome_; }

private:
    enum class Step { sent, blocked, broken };

    void frame(const Request&, const Response&);
    void end();
    void abort(const char* reason);
    Step push(std::string_view body, bool more);
    Step push_all(std::string_view bytes);
    void account(size_t bytes);
    std::string_view text() const { return std::string_view(text_).substr(text_sent_); }

    Task<bool> run_source(Source*);
    Task<bool> send(std::span<const std::byte>);
    // Of a file: the piece becomes what is left of it. Where the file is at fault, unreadable_ is
    // set.
    Task<bool> send(FilePiece&);
    Task<bool> send_by_kernel(FilePiece&);
    Task<bool> send_by_copy(FilePiece&);
    Task<bool> send_by_pool(FilePiece&);
    Task<bool> warm(std::shared_ptr<const File>, uint64_t offset, uint64_t length);
    Task<bool> blocked();
    Task<> turn(uint64_t bytes);
    void flush_while_waiting();
    bool watch();
    void note_first_byte();

    Connection& connection_;
    Pool& pool_;
    Response* response_ = nullptr;
    std::string text_;  // head and chunk framing that stand before what comes next
    size_t text_sent_ = 0;
    Io::Kind waits_for_ = Io::Kind::wait_write;
    bool ended_ = false;
    bool keep_alive_ = false;
    bool bodiless_ = false;
    bool chunked_ = false;
    bool close_delimited_ = false;
    bool first_byte_ = false;
    bool in_source_ = false;
    bool unreadable_ = false;
    uint64_t turn_bytes_ = 0;
    TimePoint received_;
    Outcome outcome_;
    std::shared_ptr<Sender*> self_;  // for a post that may outlive us
};

}  // namespace weir::http
