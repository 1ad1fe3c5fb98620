#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "app/rebuild_parts.h"
#include "async/scope.h"
#include "base/failure.h"
#include "crypto/hasher.h"
#include "oci/json.h"
#include "oci/manifest.h"
#include "oci/name.h"

namespace weir::app {
namespace {

using What = store::Remote::Kind;
using store::RemoteEnd;
using store::RemoteObject;

constexpr size_t kAtOnce = 8;
constexpr size_t kMaxDepth = 8;   // of indexes in indexes
constexpr size_t kMaxRounds = 8;  // referrers of referrers
constexpr size_t kMaxRepositories = 64;

struct Tag {
    std::string repository, name;
    meta::TagRow row;
    bool linked = true;  // the repository could serve it; a name is no more than a name otherwise
};

// Where a digest stands among all: they are spread evenly, so this is how far a list in their order
// is.
double share_of(const oci::Digest& digest) {
    return std::to_integer<unsigned>(digest.sum()[0]) / 256.0;
}

// Several coroutines take the items of a page. What one throws ends all, and is thrown.
Task<> for_all(const std::vector<RemoteObject>& items,
               std::function<Task<>(const RemoteObject&)> work) {
    std::exception_ptr failure;
    size_t next = 0;
    Scope scope("rebuild");
    for (size_t i = 0; i < std::min(kAtOnce, items.size()); ++i)
        scope.spawn(Loop::current(), [&]() -> Task<> {
            try {
                while (next < items.size() && !failure) co_await work(items[next++]);
            } catch (const Failure&) {
                failure = std::current_exception();
            }
        });
    co_await scope.join();
    if (failure) std::rethrow_exception(failure);
}

class FromS3 {
public:
    explicit FromS3(Rebuilding& run) : run_(run), rooms_(run.rooms), remote_(*run.rooms.remote) {}

    Task<> tags() {
        co_await pages(What::tags, [this](const RemoteObject& object) { return tag(object); });
        run_.report.repositories = repositories_.size();
        co_await link_reached();
    }

    // What they lead to is not linked for their sake.
    Task<> names() {
        for (const Tag& tag : names_) co_await put(tag);
    }

    Task<> link_reached() {
        co_await rooms_.pool.run([this] { rooms_.engine.link_reached(); });
    }

    // Signatures and the like are reached from what they refer to.
    Task<> referrers() {
        std::vector<RemoteObject> left;
        co_await pages(What::manifests, [this, &left](const RemoteObject& object) {
            return referrer(object, left);
        });
        for (size_t round = 0; round < kMaxRounds && !left.empty(); ++round) {
            std::vector<RemoteObject> again;
            co_await for_all(left, [this, &again](const RemoteObject& object) {
                return referrer(object, again);
            });
            if (again.size() == left.size()) co_return;
            left = std::move(again);
        }
    }

    Task<> blobs() {
        std::string next;
        do {
            auto page = co_await list(What::blobs, next);
            co_await rooms_.pool.run([this, &page] {
                for (const RemoteObject& object : page.objects)
                    rooms_.engine.found_in_s3(object.digest, object.size, object.modified);
            });
            for (const RemoteObject& object : page.objects) run_.report.s3_bytes += object.size;
            run_.report.s3_blobs += page.objects.size();
            if (!page.objects.empty())
                run_.progress("blobs in S3", share_of(page.objects.back().digest));
            next = page.next;
        } while (!next.empty());
    }

private:
    Task<store::RemotePage> list(What kind, std::string continuation) {
        auto page = co_await remote_.list(kind, std::move(continuation));
        if (page.end != RemoteEnd::ok)
            throw Failure(Kind::io, fmt::format("S3 could not be listed: {}", page.detail));
        co_return page;
    }

    Task<> pages(What kind, std::function<Task<>(const RemoteObject&)> work) {
        std::string next;
        do {
            auto page = co_await list(kind, next);
            co_await for_all(page.objects, work);
            next = page.next;
            if (page.objects.empty()) continue;
            if (kind == What::manifests)
                run_.progress("referrers", share_of(page.objects.back().digest));
            else
                run_.progress("tags", next.empty() ? 1 : 0);
        } while (!next.empty());
    }

    Task<> tag(RemoteObject object) {
        auto found = co_await read_tag(object);
        if (!found) co_return;
        const Tag tag = std::move(*found);
        if (!co_await manifest(tag.row.digest, tag.row.upstream, 0)) {
            run_.problem(fmt::format("tag {}:{}: its manifest {} isn't in S3", tag.repository,
                                     tag.name, tag.row.digest.text()));
            co_return;
        }
        if (tag.linked)
            co_await put(tag);
        else
            names_.push_back(tag);
        ++run_.report.tags;
        repositories_.insert(tag.repository);
    }

    Task<> put(const Tag& tag) {
        co_await rooms_.pool.run([this, &tag] {
            rooms_.engine.put_tag(tag.repository, tag.name, tag.row);
            meta::UploadRow up;
            up.what = meta::UploadRow::What::tag;
            up.digest = tag.row.digest;
            up.name = tag.repository + "\n" + tag.name;
            rooms_.engine.upload_done(up);
        });
    }

    Task<std::optional<Tag>> read_tag(RemoteObject object) {
        Tag tag;
        const size_t line = object.name.find('\n');
        tag.repository = object.name.substr(0, line);
        tag.name = object.name.substr(line + 1);
        const std::string shown = fmt::format("tag {}:{}", tag.repository, tag.name);
        const auto text = co_await remote_.text(What::tags, object, nullptr);
        if (text.end != RemoteEnd::ok) {
            run_.problem(fmt::format("{} can't be read: {}", shown, text.detail));
            co_return std::nullopt;
        }
        const auto json = oci::parse_json(text.text);
        const auto* fields = json ? json->if_object() : nullptr;
        const auto digest = fields ? oci::Digest::parse(oci::text_member(*fields, "digest"))
                                   : std::optional<oci::Digest>();
        if (!digest || !oci::valid_name(tag.repository) || !oci::valid_tag(tag.name)) {
            run_.problem(shown + ": its object makes no sense");
            co_return std::nullopt;
        }
        tag.row.digest = *digest;
        tag.row.upstream = oci::text_member(*fields, "upstream");
        if (const auto* checked = oci::member(*fields, "checked"); checked && checked->is_int64())
            tag.row.checked = WallTime(std::chrono::microseconds(checked->as_int64()));
        // Not said by older versions.
        if (const auto* linked = oci::member(*fields, "linked"); linked && linked->is_bool())
            tag.linked = linked->get_bool();
        co_return tag;
    }

    // Stored already, or read from S3 and verified.
    Task<std::optional<meta::ManifestRow>> read_manifest(oci::Digest digest) {
        auto known = co_await rooms_.pool.run(
            [this, digest] { return rooms_.engine.find_manifest(digest); });
        if (known) co_return known;
        if (bad_.contains(digest)) co_return std::nullopt;
        RemoteObject object;
        object.digest = digest;
        meta::ManifestRow row;
        auto text = co_await remote_.text(What::manifests, object, &row.media_type);
        if (text.end == RemoteEnd::absent) co_return std::nullopt;
        if (text.end != RemoteEnd::ok) {
            bad_.insert(digest);
            run_.problem(fmt::format("manifest {} can't be read: {}", digest.text(), text.detail));
            co_return std::nullopt;
        }
        if (crypto::digest_of(digest.algorithm(), text.text) != digest) {
            bad_.insert(digest);
            run_.problem(fmt::format("manifest {}: its object has another digest", digest.text()));
            co_return std::nullopt;
        }
        row.digest = digest;
        row.bytes = std::move(text.text);
        row.created = row.accessed = rooms_.clock.wall();
        co_return row;
    }

    // The manifest and what it reaches.
    Task<bool> manifest(oci::Digest digest, std::string upstream, size_t depth) {
        auto row = co_await read_manifest(digest);
        if (!row) co_return false;
        if (row->upstream.empty()) row->upstream = row->private_of = upstream;
        const auto parsed = oci::parse_manifest(row->bytes, row->media_type);
        if (!parsed) {
            run_.problem(fmt::format("manifest {}: {}", digest.text(), parsed.error()));
            co_return false;
        }
        std::vector<oci::Digest> references;
        for (const auto* list : {&parsed->blobs, &parsed->manifests})
            for (const auto& descriptor : *list) references.push_back(descriptor.digest);
        co_await rooms_.pool.run([this, &row, &references] {
            rooms_.engine.put_manifest(*row, "", references, "");
            rooms_.engine.found_in_s3(row->digest, row->bytes.size(), row->created);
        });
        if (manifests_.insert(digest).second) ++run_.report.manifests;
        // A platform that nobody has pulled isn't stored.
        for (const auto& child : parsed->manifests)
            if (depth < kMaxDepth) co_await manifest(child.digest, upstream, depth + 1);
        co_return true;
    }

    Task<> referrer(RemoteObject object, std::vector<RemoteObject>& left) {
        if (manifests_.contains(object.digest)) co_return;
        const auto row = co_await read_manifest(object.digest);
        if (!row) co_return;
        const auto parsed = oci::parse_manifest(row->bytes, row->media_type);
        if (!parsed || parsed->subject.empty()) co_return;
        const oci::Digest subject = parsed->subject.front().digest;
        const auto repositories = co_await rooms_.pool.run(
            [this, subject] { return rooms_.engine.linked_from(subject, kMaxRepositories); });
        if (repositories.empty()) left.push_back(object);
        const auto whose = co_await rooms_.pool.run(
            [this, subject] { return rooms_.engine.find_manifest(subject); });
        if (repositories.empty() ||
            !co_await manifest(object.digest, whose ? whose->upstream : "", 0))
            co_return;
        // Of several, one may have had it for itself.
        if (repositories.size() > 1) co_return;
        co_await rooms_.pool.run([this, &repositories, &object] {
            rooms_.engine.link(repositories.front(), object.digest);
        });
    }

    Rebuilding& run_;
    Rooms& rooms_;
    store::Remote& remote_;
    std::set<std::string> repositories_;
    std::vector<Tag> names_;           // not linked when they went up
    std::set<oci::Digest> manifests_;  // put
    std::set<oci::Digest> bad_;        // told once
};

}  // namespace

Task<> rebuild_from_s3(Rebuilding& run) {
    if (!run.rooms.remote) co_return;
    // What is found there need not go up.
    run.rooms.engine.enable_uploads(false);
    FromS3 source(run);
    co_await source.tags();
    co_await source.referrers();
    co_await source.link_reached();
    co_await source.blobs();
    co_await source.names();
    run.rooms.engine.enable_uploads(true);
}

}  // namespace weir::app
