// support/text_file.h: a File whose bytes are in memory, for what only reads.
#pragma once
#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/failure.h"
#include "base/file.h"
#include "base/text.h"

namespace weir {

class TextFile : public File {
public:
    explicit TextFile(std::string text) : text_(std::move(text)) {}
    size_t read_at(uint64_t offset, std::span<std::byte> into) const override {
        if (fails) throw Failure(Kind::io, "EIO");
        const auto part = std::string_view(text_).substr(std::min<size_t>(offset, text_.size()));
        const size_t bytes = std::min(part.size(), into.size());
        std::copy_n(as_bytes(part).begin(), bytes, into.begin());
        return bytes;
    }
    void write_at(uint64_t, std::span<const std::byte>) override {}
    void allocate(uint64_t) override {}
    void release(uint64_t, uint64_t) override {}
    void cut(uint64_t) override {}
    void sync() override {}
    uint64_t size() const override { return text_.size(); }
    int descriptor() const override { return -1; }
    bool fails = false;

private:
    std::string text_;
};

}  // namespace weir
