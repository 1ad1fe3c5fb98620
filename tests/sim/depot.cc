#include "sim/depot.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "client/url.h"
#include "crypto/hasher.h"
#include "oci/link.h"
#include "s3/xml.h"

namespace weir::sim {

struct Depot::Request {
    Visit visit;
    std::string sum;  // x-amz-content-sha256
    bool has(std::string_view name) const {
        return oci::query_parameter(visit.query, name).has_value();
    }
    std::string value(std::string_view name) const {
        return oci::query_parameter(visit.query, name).value_or("");
    }
};

namespace {

using Kind = DepotFault::Kind;

Serving plain(int status, std::string body = {}) {
    Serving serving;
    serving.status = status;
    serving.length = body.size();
    serving.content_length = body.size();
    if (!body.empty()) serving.source = std::make_shared<const std::string>(std::move(body));
    return serving;
}

Serving error(int status, std::string_view code) {
    return plain(status,
                 fmt::format("<Error><Code>{}</Code><Message>Said so.</Message></Error>", code));
}

std::string sha256(std::string_view bytes) {
    return crypto::digest_of(oci::Digest::Algorithm::sha256, bytes).hex();
}

// The texts of the elements of that name, in a document whose shape is known.
std::vector<std::string> texts(std::string_view xml, std::string_view name) {
    std::vector<std::string> found;
    s3::XmlReader reader(xml);
    for (;;) {
        const auto event = reader.next();
        if (event == s3::XmlReader::Event::end || event == s3::XmlReader::Event::broken)
            return found;
        if (event == s3::XmlReader::Event::close && reader.name() == name)
            found.emplace_back(reader.text());
    }
}

std::optional<oci::Digest> digest_of_key(const std::string& key) {
    if (!key.starts_with("blobs/")) return std::nullopt;
    const size_t slash = key.find('/', 6);
    return oci::Digest::parse(
        fmt::format("{}:{}", key.substr(6, slash - 6), key.substr(key.rfind('/') + 1)));
}

std::string_view field(const client::Call& call, std::string_view wanted) {
    for (const auto& [name, value] : call.fields)
        if (iequals(name, wanted)) return value;
    return {};
}

}  // namespace

const char* fault_name(Kind kind) {
    static constexpr const char* kNames[] = {"none", "cut",   "stall",  "flip",
                                             "lost", "error", "absent", "slow"};
    return kNames[static_cast<size_t>(kind)];
}

std::string Depot::key_of(const oci::Digest& blob) {
    return fmt::format("blobs/{}/{}/{}", blob.algorithm_name(), blob.hex().substr(0, 2),
                       blob.hex());
}

Text Depot::blob(const oci::Digest& digest) const {
    const auto found = objects_.find(key_of(digest));
    return found == objects_.end() ? nullptr : found->second.bytes;
}

void Depot::heal() {
    mood = Mood::well;
    fault = nullptr;
    well_since_ = loop_.now();
}

Serving Depot::serve(const client::Call& call) {
    Request request;
    Visit& visit = request.visit;
    visit.id = visits_.size();
    visit.at = loop_.now();
    visit.method = call.method;
    visit.range = field(call, "Range");
    request.sum = field(call, "x-amz-content-sha256");
    const auto url = client::Url::parse(call.url);
    const std::string bucket = fmt::format("/{}", kBucket);
    if (url && url->target.starts_with(bucket)) {
        const size_t question = url->target.find('?');
        std::string path = url->target.substr(0, question);
        if (question != std::string::npos) visit.query = url->target.substr(question + 1);
        if (path.size() > bucket.size()) visit.key = path.substr(bucket.size() + 1);
    }
    visits_.push_back(visit);
    Serving serving;
    serving.id = visit.id;
    serving.latency = latency;
    serving.bytes_per_second = bytes_per_second;
    if (mood != Mood::well) well_since_ = loop_.now();
    if (mood == Mood::refuses) serving.way = Serving::Way::refuse;
    if (mood == Mood::hangs) serving.way = Serving::Way::silence;
    serving.work = [this, request](std::string body) { return work(request, std::move(body)); };
    return serving;
}

Serving Depot::work(const Request& request, std::string body) {
    Serving serving;
    switch (mood) {
        case Mood::fails:
            serving = error(500, "InternalError");
            break;
        case Mood::busy:
        case Mood::throttles:
            serving = error(503, "SlowDown");
            break;
        case Mood::denies:
        case Mood::rejects:
            serving = error(403, "AccessDenied");
            break;
        default:
            serving = answer(request, body);
    }
    serving.id = request.visit.id;
    serving.latency += latency;
    serving.bytes_per_second = bytes_per_second;
    serving.piece_bytes = piece_bytes;
    Visit& visit = visits_[request.visit.id];
    visit.status = serving.way == Serving::Way::answer ? serving.status : 0;
    if (mood != Mood::well) well_since_ = loop_.now();
    if (on_visit) on_visit(visit);
    return serving;
}

Serving Depot::answer(const Request& request, const std::string& body) {
    const Visit& visit = request.visit;
    DepotFault wrong;
    if (fault) {
        const auto found = objects_.find(visit.key);
        wrong = fault(visit, found == objects_.end() ? 0 : found->second.bytes->size());
    }
    if (wrong.kind != Kind::none) well_since_ = loop_.now();
    if (wrong.kind == Kind::error) return error(500, "InternalError");
    if (wrong.kind == Kind::absent && visit.method == "GET" && visit.query.empty())
        return error(404, "NoSuchKey");
    if (request.sum.size() == 64 && request.sum != sha256(body))
        return error(400, "XAmzContentSHA256Mismatch");
    Serving serving = visit.method == "GET"      ? get(request, false)
                      : visit.method == "HEAD"   ? get(request, true)
                      : visit.method == "PUT"    ? put(request, body)
                      : visit.method == "POST"   ? post(request, body)
                      : visit.method == "DELETE" ? remove(request)
                                                 : error(405, "MethodNotAllowed");
    return with(std::move(serving), request, wrong);
}

Serving Depot::with(Serving serving, const Request& request, const DepotFault& wrong) {
    const uint64_t at = wrong.at % std::max<uint64_t>(serving.length, 1);
    if (wrong.kind == Kind::lost) serving.way = Serving::Way::silence;
    if (wrong.kind == Kind::slow) serving.latency += std::chrono::milliseconds(wrong.at);
    const bool body = serving.length > 0 && serving.status < 300 && request.visit.method == "GET";
    if (!body) return serving;
    if (wrong.kind == Kind::cut) serving.cut_at = at;
    if (wrong.kind == Kind::stall) serving.stall_at = at;
    const auto digest = digest_of_key(request.visit.key);
    if (wrong.kind == Kind::flip && digest) {
        serving.flip_at = at;
        if (on_damage) on_damage(*digest);
    }
    return serving;
}

Serving Depot::get(const Request& request, bool head) {
    if (request.visit.key.empty())
        return request.has("uploads") ? list_uploads(request) : list(request);
    const auto found = objects_.find(request.visit.key);
    if (found == objects_.end()) return head ? plain(404) : error(404, "NoSuchKey");
    const uint64_t size = found->second.bytes->size();
    Serving serving;
    serving.source = found->second.bytes;
    serving.length = size;
    const std::string_view range = request.visit.range;
    if (range.starts_with("bytes=")) {
        const size_t dash = range.find('-');
        const uint64_t first = parse_u64(range.substr(6, dash - 6)).value_or(0);
        const uint64_t last =
            std::min(parse_u64(range.substr(dash + 1)).value_or(UINT64_MAX), size - 1);
        if (first >= size) return error(416, "InvalidRange");
        serving.status = 206;
        serving.first = first;
        serving.length = last - first + 1;
        serving.fields.list.emplace_back("Content-Range",
                                         fmt::format("bytes {}-{}/{}", first, last, size));
    }
    serving.content_length = serving.length;
    return serving;
}

Serving Depot::put(const Request& request, const std::string& body) {
    Serving serving = plain(200);
    serving.fields.list.emplace_back("ETag", fmt::format("\"{}\"", sha256(body).substr(0, 32)));
    if (!request.has("uploadId")) {
        objects_[request.visit.key] = {std::make_shared<const std::string>(body),
                                       loop_.clock().wall()};
        return serving;
    }
    const auto upload = uploads_.find(request.value("uploadId"));
    if (upload == uploads_.end()) return error(404, "NoSuchUpload");
    upload->second.parts[parse_u64(request.value("partNumber")).value_or(0)] = body;
    return serving;
}

Serving Depot::post(const Request& request, const std::string& body) {
    if (request.has("delete")) return delete_many(body);
    if (request.has("uploadId")) return complete(request, request.value("uploadId"));
    if (!request.has("uploads")) return error(400, "InvalidRequest");
    const std::string id = fmt::format("upload-{}", ++uploads_begun_);
    uploads_[id] = {request.visit.key, {}};
    return plain(200, fmt::format("<InitiateMultipartUploadResult><UploadId>{}</UploadId>"
                                  "</InitiateMultipartUploadResult>",
                                  id));
}

Serving Depot::complete(const Request& request, const std::string& id) {
    const auto upload = uploads_.find(id);
    if (upload == uploads_.end()) return error(404, "NoSuchUpload");
    std::string whole;
    for (const auto& [number, part] : upload->second.parts) whole += part;
    objects_[request.visit.key] = {std::make_shared<const std::string>(std::move(whole)),
                                   loop_.clock().wall()};
    uploads_.erase(upload);
    return plain(200, "<CompleteMultipartUploadResult/>");
}

Serving Depot::remove(const Request& request) {
    if (request.has("uploadId"))
        return uploads_.erase(request.value("uploadId")) > 0 ? plain(204)
                                                             : error(404, "NoSuchUpload");
    objects_.erase(request.visit.key);
    return plain(204);
}

Serving Depot::delete_many(const std::string& body) {
    for (const auto& key : texts(body, "Key")) objects_.erase(key);
    return plain(200, "<DeleteResult></DeleteResult>");
}

Serving Depot::list(const Request& request) const {
    const std::string prefix = request.value("prefix");
    const std::string after = request.value("continuation-token");
    std::string entries, last;
    size_t count = 0;
    bool more = false;
    for (auto at = after.empty() ? objects_.lower_bound(prefix) : objects_.upper_bound(after);
         at != objects_.end() && at->first.starts_with(prefix); ++at) {
        more = count == page;
        if (more) break;
        ++count;
        last = at->first;
        entries += fmt::format(
            "<Contents><Key>{}</Key><Size>{}</Size><LastModified>{:%Y-%m-%dT%H:%M:%S}Z"
            "</LastModified></Contents>",
            s3::xml_escape(at->first), at->second.bytes->size(),
            std::chrono::time_point_cast<std::chrono::seconds>(at->second.modified));
    }
    if (more) entries += fmt::format("<NextContinuationToken>{}</NextContinuationToken>", last);
    return plain(200, fmt::format("<ListBucketResult>{}<IsTruncated>{}</IsTruncated>"
                                  "</ListBucketResult>",
                                  entries, more));
}

Serving Depot::list_uploads(const Request& request) const {
    const std::string prefix = request.value("prefix");
    std::string entries;
    for (const auto& [id, upload] : uploads_)
        if (upload.key.starts_with(prefix))
            entries += fmt::format("<Upload><Key>{}</Key><UploadId>{}</UploadId></Upload>",
                                   s3::xml_escape(upload.key), id);
    return plain(200, fmt::format("<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{}"
                                  "</ListMultipartUploadsResult>",
                                  entries));
}

}  // namespace weir::sim
