// http/read_buffer.h: bytes of a connection that were read and not used yet. Small at first,
// bounded, gone when idle.
#pragma once
#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace weir::http {

class ReadBuffer {
public:
    static constexpr size_t kFirstBytes = 4096;

    std::string_view view() const { return {bytes_.get() + begin_, end_ - begin_}; }
    bool empty() const { return begin_ == end_; }
    bool allocated() const { return bytes_ != nullptr; }

    // Room for at least a byte more, unless `limit` bytes are held already. Moves what is held.
    std::span<char> space(size_t limit) {
        if (begin_ > 0) {
            std::memmove(bytes_.get(), bytes_.get() + begin_, end_ - begin_);
            end_ -= std::exchange(begin_, 0);
        }
        if (end_ == capacity_ && capacity_ < limit)
            grow(std::min(std::max(capacity_ * 4, kFirstBytes), limit));
        return {bytes_.get() + end_, capacity_ - end_};
    }
    void commit(size_t bytes) { end_ += bytes; }
    void consume(size_t bytes) {
        begin_ += bytes;
        if (begin_ == end_) begin_ = end_ = 0;
    }
    // What a body reader read beyond its body.
    void append(std::string_view bytes) {
        if (bytes.empty()) return;
        if (capacity_ - end_ < bytes.size()) grow(end_ + bytes.size());
        std::memcpy(bytes_.get() + end_, bytes.data(), bytes.size());
        end_ += bytes.size();
    }
    // An empty buffer gives its memory back, all of it or what is beyond the first size.
    void release() {
        bytes_.reset();
        begin_ = end_ = capacity_ = 0;
    }
    void shrink() {
        if (empty() && capacity_ > kFirstBytes) release();
    }

private:
    void grow(size_t capacity) {
        auto bytes = std::make_unique_for_overwrite<char[]>(capacity);
        if (end_ > 0) std::memcpy(bytes.get(), bytes_.get(), end_);
        bytes_ = std::move(bytes);
        capacity_ = capacity;
    }

    std::unique_ptr<char[]> bytes_;
    size_t begin_ = 0, end_ = 0, capacity_ = 0;
};

}  // namespace weir::http
