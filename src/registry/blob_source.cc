#include "registry/blob_source.h"

#include <fmt/format.h>

#include <utility>

#include "base/text.h"

namespace weir::registry {
namespace {

http::Piece to_piece(cache::Bytes bytes) {
    if (auto* file = std::get_if<cache::FileBytes>(&bytes))
        return http::FilePiece{.file = std::move(file->file),
                               .offset = file->offset,
                               .length = file->length,
                               .hot = file->hot};
    return std::get<std::span<const std::byte>>(bytes);
}

}  // namespace

Task<std::optional<http::Piece>> BlobSource::next(uint64_t max) {
    auto bytes = co_await reader_->next(max);
    if (!bytes) co_return std::nullopt;
    co_return to_piece(std::move(*bytes));
}

MultipartSource::MultipartSource(cache::BlobView view, std::vector<http::ByteRange> ranges,
                                 std::string boundary)
    : view_(std::move(view)), ranges_(std::move(ranges)), boundary_(std::move(boundary)) {}

std::string MultipartSource::part_head(size_t part) const {
    return fmt::format(
        "{}--{}\r\nContent-Type: application/octet-stream\r\nContent-Range: {}\r\n\r\n",
        part == 0 ? "" : "\r\n", boundary_, http::content_range(ranges_[part], view_.size));
}

std::string MultipartSource::end() const {
    return fmt::format("\r\n--{}--\r\n", boundary_);
}

uint64_t MultipartSource::length() const {
    uint64_t sum = end().size();
    for (size_t part = 0; part < ranges_.size(); ++part)
        sum += part_head(part).size() + ranges_[part].length;
    return sum;
}

std::string MultipartSource::content_type() const {
    return "multipart/byteranges; boundary=" + boundary_;
}

Task<std::optional<http::Piece>> MultipartSource::next(uint64_t max) {
    for (;;) {
        if (!pending_.empty()) {
            sent_ = pending_.substr(0, max);
            pending_.erase(0, sent_.size());
            co_return http::Piece(as_bytes(sent_));
        }
        if (reader_) {
            auto bytes = co_await reader_->next(max);
            if (bytes) co_return to_piece(std::move(*bytes));
            reader_.reset();
        }
        if (ended_) co_return std::nullopt;
        if (part_ == ranges_.size()) {
            pending_ = end();
            ended_ = true;
        } else {
            pending_ = part_head(part_);
            reader_ = view_.reader(ranges_[part_].first, ranges_[part_].length);
            ++part_;
        }
    }
}

}  // namespace weir::registry
