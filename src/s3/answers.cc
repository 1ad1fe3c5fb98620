#include "s3/answers.h"

#include <fmt/format.h>
#include <time.h>

#include "base/text.h"
#include "s3/xml.h"

namespace weir::s3 {
namespace {

using Event = XmlReader::Event;

// Calls `seen(reader, event)` for each element; false when the document is broken or its root is
// another.
template <class F>
bool walk(std::string_view xml, std::string_view root, F seen) {
    XmlReader reader(xml);
    if (reader.next() != Event::open || reader.name() != root) return false;
    for (;;) {
        const Event event = reader.next();
        if (event == Event::broken) return false;
        if (event == Event::end) return true;
        seen(reader, event);
    }
}

std::optional<WallTime> read_time(std::string_view text, const char* form) {
    tm parts{};
    const std::string held(text);
    const char* end = strptime(held.c_str(), form, &parts);
    if (!end) return std::nullopt;
    if (*end == '.') {
        ++end;
        while (*end >= '0' && *end <= '9') ++end;
    }
    if (std::string_view(end) != "Z" && std::string_view(end) != " GMT") return std::nullopt;
    return WallTime(std::chrono::seconds(timegm(&parts)));
}

}  // namespace

std::optional<ErrorAnswer> read_error(std::string_view xml) {
    ErrorAnswer out;
    bool found = false;
    const auto take = [&](XmlReader& reader, Event event) {
        if (event != Event::close || reader.parent() != "Error") return;
        found |= reader.name() == "Code";
        if (reader.name() == "Code") out.code = reader.text();
        if (reader.name() == "Message") out.message = reader.text();
        if (reader.name() == "Region") out.region = reader.text();
    };
    const bool whole = walk(xml, "Error", take) || walk(xml, "ErrorResponse", take);
    if (!whole || !found) return std::nullopt;
    return out;
}

std::optional<std::string> read_upload_id(std::string_view xml) {
    std::string id;
    const bool whole =
        walk(xml, "InitiateMultipartUploadResult", [&](XmlReader& reader, Event event) {
            if (event == Event::close && reader.name() == "UploadId") id = reader.text();
        });
    if (!whole || id.empty()) return std::nullopt;
    return id;
}

bool is_completed(std::string_view xml) {
    return walk(xml, "CompleteMultipartUploadResult", [](XmlReader&, Event) {});
}

std::optional<std::vector<DeleteError>> read_deleted(std::string_view xml) {
    std::vector<DeleteError> out;
    const bool whole = walk(xml, "DeleteResult", [&](XmlReader& reader, Event event) {
        if (event == Event::open && reader.name() == "Error") out.emplace_back();
        if (event != Event::close || reader.parent() != "Error" || out.empty()) return;
        if (reader.name() == "Key") out.back().key = reader.text();
        if (reader.name() == "Code") out.back().code = reader.text();
        if (reader.name() == "Message") out.back().message = reader.text();
    });
    if (!whole) return std::nullopt;
    return out;
}

std::optional<ListAnswer> read_list(std::string_view xml) {
    ListAnswer out;
    bool sound = true;
    const bool whole = walk(xml, "ListBucketResult", [&](XmlReader& reader, Event event) {
        if (event == Event::open && reader.name() == "Contents") out.objects.emplace_back();
        if (event != Event::close) return;
        if (reader.name() == "IsTruncated") out.truncated = reader.text() == "true";
        if (reader.name() == "NextContinuationToken") out.next = reader.text();
        if (reader.parent() != "Contents" || out.objects.empty()) return;
        ListedObject& object = out.objects.back();
        if (reader.name() == "Key") object.key = reader.text();
        if (reader.name() == "Size") {
            const auto size = parse_u64(reader.text());
            sound &= size.has_value();
            object.size = size.value_or(0);
        }
        if (reader.name() == "LastModified") {
            const auto time = read_iso_time(reader.text());
            sound &= time.has_value();
            object.modified = time.value_or(WallTime{});
        }
    });
    // A truncated list that does not say how to go on would be taken for the whole.
    if (!whole || !sound || (out.truncated && out.next.empty())) return std::nullopt;
    if (!out.truncated) out.next.clear();
    return out;
}

std::optional<UploadsAnswer> read_uploads(std::string_view xml) {
    UploadsAnswer out;
    bool sound = true;
    const bool whole = walk(xml, "ListMultipartUploadsResult", [&](XmlReader& reader, Event event) {
        if (event == Event::open && reader.name() == "Upload") out.uploads.emplace_back();
        if (event != Event::close) return;
        if (reader.name() == "IsTruncated") out.truncated = reader.text() == "true";
        if (reader.name() == "NextKeyMarker") out.next_key = reader.text();
        if (reader.name() == "NextUploadIdMarker") out.next_upload_id = reader.text();
        if (reader.parent() != "Upload" || out.uploads.empty()) return;
        ListedUpload& upload = out.uploads.back();
        if (reader.name() == "Key") upload.key = reader.text();
        if (reader.name() == "UploadId") upload.upload_id = reader.text();
        if (reader.name() == "Initiated") {
            // One of unknown age must not be taken for an old one.
            const auto time = read_iso_time(reader.text());
            sound &= time.has_value();
            upload.started = time.value_or(WallTime::max());
        }
    });
    if (!whole || !sound || (out.truncated && out.next_key.empty())) return std::nullopt;
    for (const auto& upload : out.uploads)
        if (upload.started == WallTime{}) return std::nullopt;
    if (!out.truncated) out.next_key = out.next_upload_id = "";
    return out;
}

std::optional<StsAnswer> read_sts(std::string_view xml) {
    StsAnswer out;
    std::optional<WallTime> expires;
    const bool whole =
        walk(xml, "AssumeRoleWithWebIdentityResponse", [&](XmlReader& reader, Event event) {
            if (event != Event::close || reader.parent() != "Credentials") return;
            if (reader.name() == "AccessKeyId") out.access_key = reader.text();
            if (reader.name() == "SecretAccessKey") out.secret_key = reader.text();
            if (reader.name() == "SessionToken") out.session_token = reader.text();
            if (reader.name() == "Expiration") expires = read_iso_time(reader.text());
        });
    if (!whole || out.access_key.empty() || out.secret_key.empty() || !expires) return std::nullopt;
    out.expires = *expires;
    return out;
}

std::optional<WallTime> read_iso_time(std::string_view text) {
    return read_time(text, "%Y-%m-%dT%H:%M:%S");
}

std::optional<WallTime> read_http_time(std::string_view text) {
    return read_time(text, "%a, %d %b %Y %H:%M:%S");
}

std::string write_complete(const std::vector<Part>& parts) {
    std::string out = "<CompleteMultipartUpload>";
    for (const auto& part : parts)
        out += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", part.number,
                           xml_escape(part.etag));
    return out + "</CompleteMultipartUpload>";
}

std::string write_delete(const std::vector<std::string>& keys) {
    std::string out = "<Delete><Quiet>true</Quiet>";
    for (const auto& key : keys)
        out += fmt::format("<Object><Key>{}</Key></Object>", xml_escape(key));
    return out + "</Delete>";
}

}  // namespace weir::s3
