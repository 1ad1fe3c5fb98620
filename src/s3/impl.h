// s3/impl.h: what the verbs of a Bucket share. For the room's own files.
#pragma once
#include "s3/service.h"

namespace weir::s3 {

// What stays behind of an upload that failed is tried to be removed for so long, past the deadline
// too.
inline constexpr std::chrono::seconds kCleanUpTime{10};

struct Bucket::Impl {
    Service service;
    Pool& pool;
};

// Storage class and encryption, of whatever makes an object.
Pairs object_fields(const BucketOptions&);

// In parts, of which several are sent at the same time.
Task<Result> put_parts(Service&, Pool&, std::string key, std::shared_ptr<const File>, uint64_t size,
                       Started started, TimePoint deadline);

// A stretch of a file, as the body of a request.
class FileUpload : public client::UploadSource {
public:
    FileUpload(std::shared_ptr<const File> file, uint64_t from)
        : file_(std::move(file)), from_(from) {}
    size_t read(uint64_t offset, std::span<std::byte> into) override {
        return file_->read_at(from_ + offset, into);
    }

private:
    std::shared_ptr<const File> file_;
    uint64_t from_;
};

// The sum of a stretch of a file, as hexadecimal digits. Blocks: on a pool. Failure{io} when the
// file is shorter.
std::string file_sha256(const File&, uint64_t from, uint64_t bytes);

}  // namespace weir::s3
