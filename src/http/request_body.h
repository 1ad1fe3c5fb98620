// http/request_body.h: the body of a request, read when the handler asks for it.
#pragma once
#include <memory>
#include <optional>
#include <string_view>

#include "http/chunked.h"
#include "http/connection.h"
#include "http/head.h"
#include "http/message.h"
#include "http/read_buffer.h"

namespace weir::http {

// A body nobody read is read away up to this size, so that the connection can be kept.
inline constexpr uint64_t kMaxDrainBytes = 64 * 1024;

class RequestBody final : public BodyReader {
public:
    RequestBody(Connection& connection, ReadBuffer& buffer)
        : connection_(connection), buffer_(buffer) {}

    // The head is consumed: the buffer begins with the body. false: there is none.
    bool begin(const Head&);
    Task<std::span<const std::byte>> next() override;

    bool complete() const { return complete_; }
    // What is left is small, and the client does not wait for our leave to send it.
    bool worth_draining() const;
    // Reads away what is left. false: the connection can't be kept.
    Task<bool> drain();
    // Gives what was read beyond the body back to the buffer.
    void finish();

private:
    Task<> fill();
    Task<> ask_for_it();
    std::string_view decode();

    static constexpr size_t kBufferBytes = 16 * 1024;
    Connection& connection_;
    ReadBuffer& buffer_;
    std::unique_ptr<char[]> own_;
    std::string_view input_;
    bool input_is_own_ = false;
    bool complete_ = true;
    bool broken_ = false;
    bool expected_ = false;  // "100 Continue" is owed before the first read
    std::optional<ChunkDecoder> chunks_;
    uint64_t left_ = 0;   // without chunks
    uint64_t total_ = 0;  // given out
    uint64_t limit_ = 0;
};

}  // namespace weir::http
