#include "http/session.h"

#include <atomic>

#include "base/failure.h"
#include "base/log.h"
#include "http/http_metrics.h"

namespace weir::http {
namespace {

using Phase = Connection::Phase;
using Gone = Connection::Gone;

// What a client may still send while it should be reading the answer that ends the connection.
constexpr size_t kMaxLingerBytes = 512 * 1024;

uint64_t next_request_id() {
    static std::atomic<uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

Session::Session(Lane& lane, std::unique_ptr<Transport> transport, std::string peer,
                 Handler& handler, Pool& pool)
    : lane_(lane),
      handler_(handler),
      pool_(pool),
      peer_(std::move(peer)),
      connection_(lane, std::move(transport)),
      body_(connection_, buffer_),
      sender_(connection_, pool_) {
    lane_.add(*this);
    // A connection that only waits holds no buffer; nudge() lets fill() give it back.
    connection_.on_rest = [this] {
        if (buffer_.allocated()) connection_.nudge();
    };
}

Session::~Session() {
    lane_.remove(*this);
}

void Session::drain() {
    keep_ = false;
    const Phase phase = connection_.phase();
    if (phase == Phase::idle || phase == Phase::handshake) connection_.leave(Gone::drained);
}

void Session::cut() {
    connection_.leave(Gone::cut);
    sender_.client_cut();
}

Task<> Session::serve() {
    HeadError error;
    size_t answered = 0;
    bool going = co_await open();
    while (going) {
        const Limits& limits = lane_.limits();
        const HeadLimits head_limits{limits.max_head_bytes, limits.max_url_bytes,
                                     limits.max_fields};
        const HeadState state = buffer_.empty()
                                    ? HeadState::incomplete
                                    : parse_head(buffer_.view(), head_limits, head_, error);
        if (state == HeadState::incomplete) {
            answered = 0;
            going = co_await fill();
        } else if (state == HeadState::invalid) {
            co_await refuse(error);
            going = false;
        } else {
            if (!answer_now()) co_await answer();
            going = keep_ && connection_.gone() == Gone::no;
            // Requests of a pipeline share the loop with other connections.
            if (going && !buffer_.empty() && ++answered % limits.max_pipelined == 0)
                co_await connection_.yield();
        }
    }
    co_await close();
}

Task<bool> Session::open() {
    if (connection_.transport().tls()) {
        connection_.enter(Phase::handshake);
        for (;;) {
            const Io io = connection_.transport().handshake();
            if (io.kind == Io::Kind::moved) break;
            const bool waits = io.kind == Io::Kind::wait_read || io.kind == Io::Kind::wait_write;
            if (!waits || !co_await connection_.wait(io.kind)) {
                connection_.leave(Gone::broken);
                http_metrics().handshakes_failed.Increment();
                co_return false;
            }
        }
    }
    request_.peer = peer_;
    request_.tls = connection_.transport().tls();
    request_.sni = connection_.transport().sni();
    connection_.enter(lane_.draining ? Phase::lingering : Phase::idle);
    co_return !lane_.draining;
}

// More bytes for the next head. false: no request follows.
Task<bool> Session::fill() {
    const bool idle = buffer_.empty();
    const size_t limit = lane_.limits().max_head_bytes;
    if (idle) {
        buffer_.shrink();
    } else if (connection_.phase() != Phase::head) {
        connection_.enter(Phase::head);
    }
    const Io io = co_await connection_.read(buffer_.space(limit));
    switch (io.kind) {
        case Io::Kind::moved:
            buffer_.commit(io.bytes);
            co_return true;
        case Io::Kind::wait_read:
            if (!idle || connection_.gone() != Gone::no) co_return true;
            // Nudged while idle: from here on this connection waits without a buffer.
            buffer_.release();
            co_return co_await connection_.wait(Io::Kind::wait_read);
        case Io::Kind::ended:
            connection_.leave(Gone::closed);
            co_return false;
        default:
            break;
    }
    if (!idle && connection_.gone() == Gone::timed_out) {
        connection_.revive();
        co_await refuse(HeadError{408, "the request's head took too long"});
    }
    co_return false;
}

void Session::prepare() {
    request_.method = head_.method;
    request_.method_text = head_.method_text;
    request_.target = head_.target;
    request_.path = head_.path;
    request_.query = head_.query;
    request_.host = head_.host;
    request_.http10 = head_.http10;
    request_.id = next_request_id();
    request_.received = connection_.loop().now();
    request_.fields = head_.fields;
    request_.content_length = head_.content_length;
    has_body_ = head_.chunked || head_.content_length.value_or(0) > 0;
    buffer_.consume(head_.bytes);
    if (has_body_) body_.begin(head_);
    request_.body = has_body_ ? &body_ : nullptr;
}

// false: answer() goes on from wherever this came.
bool Session::answer_now() {
    prepare();
    connection_.enter(Phase::handling, request_.received);
    std::optional<Response> response;
    try {
        response = handler_.handle_now(request_);
    } catch (...) {
        response = response_to(std::current_exception(), &request_);
    }
    if (!response) return false;
    start(std::move(*response));
    if (!sender_.try_now() || has_body_) return false;
    finish();
    return true;
}

Task<> Session::answer() {
    if (!response_) {
        std::exception_ptr error;
        Response response;
        try {
            response = co_await handler_.handle(request_);
        } catch (...) {
            error = std::current_exception();
        }
        if (error) response = response_to(error, &request_);
        start(std::move(response));
    }
    if (!sender_.ended()) co_await sender_.run();
    finish();
    if (has_body_ && keep_) {
        keep_ = co_await body_.drain();
        lingers_ = !keep_;
        body_.finish();
        head_.clear();
        connection_.enter(Phase::idle);
    }
}

void Session::start(Response response) {
    response_.emplace(std::move(response));
    // A body that nobody will read, or that is too much to read away, ends the connection.
    if (has_body_ && !body_.worth_draining()) lingers_ = true;
    keep_ = keep_ && head_.keep_alive && !response_->close && !lane_.draining && !lingers_;
    sender_.begin(request_, *response_, keep_);
}

void Session::finish() {
    keep_ = keep_ && sender_.kept();
    handler_.finished(request_, *response_, sender_.outcome());
    response_.reset();
    connection_.enter(Phase::idle, request_.received + sender_.outcome().total);
    if (!has_body_) head_.clear();
}

Response Session::response_to(std::exception_ptr error, const Request* request) {
    return handler_.failed(request, std::move(error));
}

// The answer to what is no request, or to one that came too slowly; the connection ends with it.
Task<> Session::refuse(HeadError error) {
    http_metrics().bad_requests.Increment();
    const Kind kind =
        error.status == 414 || error.status == 431 ? Kind::too_large : Kind::request_invalid;
    prepare();
    has_body_ = false;
    request_.body = nullptr;
    Response response = response_to(std::make_exception_ptr(Failure(kind, error.what)), nullptr);
    response.status = error.status;
    response.close = true;
    lingers_ = true;
    start(std::move(response));
    co_await sender_.run();
    finish();
}

Task<> Session::close() {
    Transport& transport = connection_.transport();
    const Gone gone = connection_.gone();
    if (sender_.outcome().aborted) {
        // What was sent short must look short: no close_notify. What a dead client never takes must
        // not stay in the kernel.
        if (sender_.must_reset() || gone == Gone::timed_out || gone == Gone::cut) transport.reset();
        co_return;
    }
    if (gone != Gone::no && gone != Gone::closed && gone != Gone::drained) co_return;
    transport.end();
    if (lingers_ || !buffer_.empty()) co_await linger();
}

// Closing with unread bytes sends a reset, which can take the answer away from under the client:
// read on for a moment.
Task<> Session::linger() {
    connection_.transport().shut();
    connection_.enter(Phase::lingering);
    size_t total = 0;
    while (total < kMaxLingerBytes) {
        const Io io = connection_.transport().discard(kMaxLingerBytes - total);
        total += io.bytes;
        if (io.kind == Io::Kind::ended || io.kind == Io::Kind::broken) co_return;
        if (io.kind == Io::Kind::wait_read && !co_await connection_.wait(io.kind)) co_return;
    }
}

}  // namespace weir::http
