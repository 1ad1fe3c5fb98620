// s3/answers.h: what S3 and STS write in XML, read into values. Pure, fuzzed.
//
// nullopt: not the document that was expected. Unknown elements are passed over.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace weir::s3 {

// <Error> as the root or, of STS, inside <ErrorResponse>.
struct ErrorAnswer {
    std::string code;     // "NoSuchKey"
    std::string message;  // for people
    std::string region;   // of AuthorizationHeaderMalformed and PermanentRedirect
};
std::optional<ErrorAnswer> read_error(std::string_view xml);

// <InitiateMultipartUploadResult>: its UploadId, never empty.
std::optional<std::string> read_upload_id(std::string_view xml);

// Of CompleteMultipartUpload, whose status is 200 whatever came of it.
bool is_completed(std::string_view xml);

struct DeleteError {
    std::string key, code, message;
};
// <DeleteResult>: the keys that were not removed.
std::optional<std::vector<DeleteError>> read_deleted(std::string_view xml);

struct ListedObject {
    std::string key;
    uint64_t size = 0;
    WallTime modified{};
};
struct ListAnswer {
    std::vector<ListedObject> objects;
    bool truncated = false;
    std::string next;
};
// <ListBucketResult> of ListObjectsV2.
std::optional<ListAnswer> read_list(std::string_view xml);

struct ListedUpload {
    std::string key, upload_id;
    WallTime started{};
};
struct UploadsAnswer {
    std::vector<ListedUpload> uploads;
    bool truncated = false;
    std::string next_key, next_upload_id;  // empty at the end
};
// <ListMultipartUploadsResult>
std::optional<UploadsAnswer> read_uploads(std::string_view xml);

struct StsAnswer {
    std::string access_key, secret_key, session_token;
    WallTime expires{};
};
// <AssumeRoleWithWebIdentityResponse>
std::optional<StsAnswer> read_sts(std::string_view xml);

// "2011-07-11T19:55:29Z", with or without a fraction.
std::optional<WallTime> read_iso_time(std::string_view);
// "Wed, 12 Oct 2009 17:50:00 GMT", as in a Date field.
std::optional<WallTime> read_http_time(std::string_view);

struct Part {
    uint32_t number = 0;
    std::string etag;
};
std::string write_complete(const std::vector<Part>&);
std::string write_delete(const std::vector<std::string>& keys);

}  // namespace weir::s3
