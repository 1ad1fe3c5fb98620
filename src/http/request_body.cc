#include "http/request_body.h"

#include <algorithm>

#include "base/failure.h"
#include "base/text.h"

namespace weir::http {

bool RequestBody::begin(const Head& head) {
    complete_ = !head.chunked && head.content_length.value_or(0) == 0;
    if (complete_) return false;
    chunks_.reset();
    if (head.chunked) chunks_.emplace();
    left_ = head.content_length.value_or(0);
    total_ = 0;
    broken_ = false;
    expected_ = head.expect_continue;
    limit_ = connection_.lane().limits().max_request_body_bytes;
    input_ = buffer_.view();
    input_is_own_ = false;
    return true;
}

std::string_view RequestBody::decode() {
    if (!chunks_) {
        const auto data = input_.substr(0, std::min<uint64_t>(left_, input_.size()));
        input_.remove_prefix(data.size());
        left_ -= data.size();
        complete_ = left_ == 0;
        return data;
    }
    const auto step = chunks_->decode(input_);
    input_.remove_prefix(step.used);
    if (step.state == ChunkDecoder::State::broken) {
        broken_ = true;
        throw Failure(Kind::request_invalid, "broken chunk in the request body");
    }
    complete_ = step.state == ChunkDecoder::State::done;
    return step.data;
}

Task<> RequestBody::ask_for_it() {
    expected_ = false;
    std::string_view text = "HTTP/1.1 100 Continue\r\n\r\n";
    while (!text.empty()) {
        const iovec piece{const_cast<char*>(text.data()), text.size()};
        const Io io = connection_.transport().write({&piece, 1}, false);
        if (io.kind == Io::Kind::moved) {
            text.remove_prefix(io.bytes);
        } else if (io.kind == Io::Kind::broken || !co_await connection_.wait(io.kind)) {
            throw Failure(Kind::cancelled, "the client has left");
        }
    }
}

Task<> RequestBody::fill() {
    connection_.enter(Connection::Phase::body);
    if (expected_) co_await ask_for_it();
    if (!input_is_own_) buffer_.consume(buffer_.view().size());
    if (!own_) own_ = std::make_unique_for_overwrite<char[]>(kBufferBytes);
    input_is_own_ = true;
    input_ = {};
    Io io;
    do {
        // Never beyond a body whose length is known: what follows is the next request's.
        const size_t most = chunks_ ? kBufferBytes : std::min<uint64_t>(kBufferBytes, left_);
        io = co_await connection_.read({own_.get(), most});
    } while (io.kind == Io::Kind::wait_read);
    connection_.enter(Connection::Phase::handling);
    if (io.kind != Io::Kind::moved) {
        broken_ = true;
        connection_.leave(Connection::Gone::closed);
        throw Failure(Kind::cancelled, "the client left before its body's end");
    }
    input_ = {own_.get(), io.bytes};
}

Task<std::span<const std::byte>> RequestBody::next() {
    if (broken_) throw Failure(Kind::request_invalid, "the request body can't be read on");
    if (total_ + left_ > limit_)
        throw Failure(Kind::too_large, "the request body is larger than the limit");
    while (!complete_) {
        if (input_.empty()) co_await fill();
        expected_ = false;
        const auto data = decode();
        total_ += data.size();
        if (total_ > limit_)
            throw Failure(Kind::too_large, "the request body is larger than the limit");
        if (!data.empty()) co_return as_bytes(data);
    }
    co_return std::span<const std::byte>{};
}

bool RequestBody::worth_draining() const {
    if (complete_) return true;
    return !broken_ && !expected_ && connection_.gone() == Connection::Gone::no &&
           left_ <= kMaxDrainBytes;
}

Task<bool> RequestBody::drain() {
    limit_ = total_ + kMaxDrainBytes;
    bool kept = worth_draining();
    try {
        while (kept && !complete_) co_await next();
    } catch (const Failure&) {
        kept = false;
    }
    co_return kept;
}

void RequestBody::finish() {
    if (input_is_own_) {
        buffer_.append(input_);
    } else {
        buffer_.consume(buffer_.view().size() - input_.size());
    }
    input_ = {};
    input_is_own_ = false;
    own_.reset();
}

}  // namespace weir::http
