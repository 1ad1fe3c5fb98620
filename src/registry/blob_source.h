// registry/blob_source.h: a blob's bytes as the body of an answer: whole, one range, or several as
// multipart/byteranges.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/cache.h"
#include "http/message.h"
#include "http/range.h"

namespace weir::registry {

// One contiguous range.
class BlobSource : public http::Source {
public:
    explicit BlobSource(std::unique_ptr<cache::BlobReader> reader) : reader_(std::move(reader)) {}
    Task<std::optional<http::Piece>> next(uint64_t max) override;
    bool unreadable(uint64_t left) override { return reader_->unreadable(left); }
    void client_left() override { reader_->leave(); }

private:
    std::unique_ptr<cache::BlobReader> reader_;
};

// RFC 9110 14.6: each part with its own Content-Type and Content-Range, in the order asked for.
class MultipartSource : public http::Source {
public:
    MultipartSource(cache::BlobView view, std::vector<http::ByteRange> ranges,
                    std::string boundary);
    // Of the whole body: known before the first byte.
    uint64_t length() const;
    std::string content_type() const;
    Task<std::optional<http::Piece>> next(uint64_t max) override;
    bool unreadable(uint64_t left) override { return reader_ && reader_->unreadable(left); }
    void client_left() override {
        if (reader_) reader_->leave();
    }

private:
    std::string part_head(size_t part) const;
    std::string end() const;

    cache::BlobView view_;
    std::vector<http::ByteRange> ranges_;
    std::string boundary_;
    size_t part_ = 0;  // the next to begin
    std::unique_ptr<cache::BlobReader> reader_;
    std::string pending_;  // text to be sent before the reader goes on
    std::string sent_;     // text that the last piece shows
    bool ended_ = false;
};

}  // namespace weir::registry
