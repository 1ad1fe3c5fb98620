#include "oci/json.h"

#include <boost/json/memory_resource.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parser.hpp>
#include <new>

namespace weir::oci {
namespace {

namespace json = boost::json;

// The heap, up to a limit.
class BoundedResource : public json::memory_resource {
public:
    explicit BoundedResource(size_t limit) : left_(limit) {}

private:
    void* do_allocate(size_t bytes, size_t alignment) override {
        if (bytes > left_) throw std::bad_alloc();
        void* block = ::operator new(bytes, std::align_val_t(alignment));
        left_ -= bytes;
        return block;
    }
    void do_deallocate(void* block, size_t bytes, size_t alignment) override {
        // Not the sized form: monotonic_resource (1.81) gives its blocks back without their heads'
        // size.
        ::operator delete(block, std::align_val_t(alignment));
        left_ += bytes;
    }
    bool do_is_equal(const json::memory_resource& other) const noexcept override {
        return this == &other;
    }

    size_t left_;
};

}  // namespace

std::expected<json::value, std::string> parse_json(std::string_view text) {
    json::parse_options options;
    options.max_depth = kMaxJsonDepth;
    options.allow_invalid_utf8 = true;
    try {
        const json::storage_ptr bounded = json::make_shared_resource<BoundedResource>(
            kMinJsonBytes + text.size() * kMaxJsonBytesPerByte);
        json::parser parser(bounded, options);
        parser.reset(
            json::make_shared_resource<json::monotonic_resource>(text.size() + 1024, bounded));
        boost::system::error_code error;
        parser.write(text.data(), text.size(), error);
        if (error) return std::unexpected("not JSON: " + error.message());
        return parser.release();
    } catch (const std::exception&) {
        return std::unexpected("JSON that takes too much memory");
    }
}

const json::value* member(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    return value != nullptr && !value->is_null() ? value : nullptr;
}

std::string_view text_member(const json::object& object, std::string_view key) {
    const json::value* value = object.if_contains(key);
    if (value == nullptr || !value->is_string()) return {};
    return value->get_string();
}

}  // namespace weir::oci
