#include "unit/cache/lab.h"

#include "base/log.h"
#include "crypto/hasher.h"
#include "http/range.h"
#include "oci/name.h"

namespace weir::cache {

Lab::Lab() {
    options.cache.chunk_bytes = 64 * kKib;
    options.cache.space_step_bytes = 64 * kKib;
    options.cache.range_ahead_bytes = 256 * kKib;
    options.cache.record_bytes = 128 * kKib;
    options.cache.relay_buffer_bytes = 64 * kKib;
    options.upstream.timeouts.stall = 5s;
    options.routes = {{kLocal, {{0, kRepo}}}};
    content.repository(0, kRepo);
    internet.fault = [this](const sim::Ask& ask, uint64_t) {
        std::deque<Fault>* queue = nullptr;
        if (ask.what == What::manifest) queue = &manifest_faults;
        if (ask.what == What::blob && ask.method == "GET") queue = &faults[ask.mirror];
        if (queue == nullptr || queue->empty()) return Fault{};
        const Fault fault = queue->front();
        queue->pop_front();
        return fault;
    };
    internet.on_wrong = [](const std::string& what) { ADD_FAILURE() << what; };
    loops[0].run_ready();
    log::set_level(log::Level::error);
}

Lab::~Lab() {
    if (machine && machine->up()) stop();
    until([this] { return scope_.running() == 0; });
}

void Lab::boot() {
    if (!machine) machine = std::make_unique<sim::Machine>(options, loops, internet);
    machine->boot();
}

void Lab::stop() {
    run([this] { return machine->stop([this] { return reading_ == 0; }); });
    EXPECT_EQ(machine->space().reserved(), 0u);
    const auto usage = machine->metadata().usage();
    EXPECT_EQ(machine->space().used(), usage.blob_bytes + usage.staging_bytes);
}

void Lab::restart() {
    stop();
    machine->boot();
}

void Lab::crash(FaultFiles::Loss loss) {
    run([this, loss] { return machine->crash(loss, [this] { return reading_ == 0; }); });
    machine->boot();
}

std::shared_ptr<Reading> Lab::read_and_die(const oci::Digest& digest) {
    machine->database_fails = [&] {
        const bool all = given(digest).total == content.bytes(digest).size();
        if (all) machine->files().power_off();
        return all;
    };
    auto reading = read(digest);
    wait(1s);
    machine->database_fails = nullptr;
    crash(FaultFiles::Loss::nothing);
    return reading;
}

oci::Digest Lab::blob(uint64_t bytes, const std::string& repo, oci::Digest::Algorithm algorithm) {
    const auto digest = content.make_blob(random, bytes, algorithm);
    if (!repo.empty()) content.put_blob(0, repo, digest);
    return digest;
}

oci::Digest Lab::image(const std::string& tag, const std::vector<oci::Digest>& layers) {
    const auto manifest = content.make_manifest(layers);
    content.tag(0, kRepo, tag, manifest, clock.now());
    return manifest;
}

void Lab::name(const oci::Digest& digest, const std::string& local) {
    if (machine->metadata().named(local, digest)) return;
    meta::ManifestRow row;
    row.bytes = digest.text() + local;
    row.digest = crypto::digest_of(oci::Digest::Algorithm::sha256, row.bytes);
    row.media_type = "named";
    machine->metadata().put_manifest(row, local, std::span(&digest, 1), "");
}

std::shared_ptr<Reading> Lab::start(const oci::Digest& digest, std::vector<WantedRange> ranges,
                                    Pace pace, const std::string& local) {
    if (name_what_is_read) name(digest, local);
    auto reading = std::make_shared<Reading>();
    reading->began = clock.now();
    ++reading_;
    scope_.spawn(loops[0], [this, reading, digest, ranges, pace, local] {
        return follow(reading, digest, ranges, pace, local);
    });
    loops[0].run_ready();
    return reading;
}

std::shared_ptr<Reading> Lab::read(const oci::Digest& digest, std::vector<WantedRange> ranges,
                                   Pace pace, const std::string& local) {
    auto reading = start(digest, std::move(ranges), pace, local);
    finish(*reading);
    // What ends behind the last byte: the commit, the row.
    wait(20ms);
    return reading;
}

Task<> Lab::follow(std::shared_ptr<Reading> reading, oci::Digest digest,
                   std::vector<WantedRange> ranges, Pace pace, std::string local) {
    try {
        auto view = co_await machine->cache().blob(machine->target(local), digest, ranges, false);
        reading->size = view.size;
        reading->from = view.from;
        reading->head_at = clock.now();
        co_await take(reading, std::move(view), std::move(ranges), pace);
    } catch (const Failure& failure) {
        reading->failed = failure.kind();
        reading->why = failure.what();
    }
    reading->ended = clock.now();
    reading->done = true;
    --reading_;
}

Task<> Lab::take(std::shared_ptr<Reading> reading, BlobView view, std::vector<WantedRange> ranges,
                 Pace pace) {
    std::vector<http::RangeSpec> specs;
    for (const auto& range : ranges) specs.push_back({range.first, range.last});
    std::vector<http::ByteRange> parts{{0, view.size}};
    if (!specs.empty()) parts = http::resolve(specs, view.size);
    for (const auto& piece : parts) {
        if (piece.length == 0) continue;
        const auto reader = view.reader(piece.first, piece.length);
        while (!reading->leave) {
            const auto bytes = co_await reader->next(pace.bytes);
            if (!bytes) break;
            if (const auto* file = std::get_if<FileBytes>(&*bytes)) {
                const size_t at = reading->bytes.size();
                reading->bytes.resize(at + file->length);
                const auto into = std::span(reading->bytes).subspan(at);
                bool there = true;
                try {
                    there = file->file->read_at(file->offset, std::as_writable_bytes(into)) ==
                            file->length;
                } catch (const Failure&) {
                    if (!reader->unreadable(file->length)) throw;
                    reading->bytes.resize(at);
                }
                // The sender cuts the connection then.
                if (!there) throw Failure(Kind::io, "a file that is shorter than was promised");
            } else {
                const auto span = std::get<std::span<const std::byte>>(*bytes);
                reading->bytes.append(reinterpret_cast<const char*>(span.data()), span.size());
            }
            if (pace.pause > Duration{}) co_await sleep_for(pace.pause);
        }
        if (reading->leave) co_return;
    }
    reading->complete = true;
}

testing::AssertionResult Lab::whole(const oci::Digest& digest, const Reading& reading) const {
    return part(digest, reading, 0, content.bytes(digest).size());
}

testing::AssertionResult Lab::part(const oci::Digest& digest, const Reading& reading,
                                   uint64_t first, uint64_t length) const {
    if (reading.failed) return testing::AssertionFailure() << reading.why;
    if (!reading.complete) return testing::AssertionFailure() << "it did not end";
    if (reading.bytes.size() != length)
        return testing::AssertionFailure() << reading.bytes.size() << " bytes of " << length;
    if (reading.bytes != content.bytes(digest).substr(first, length))
        return testing::AssertionFailure() << "other bytes";
    return testing::AssertionSuccess();
}

std::optional<Kind> Lab::head_fails(const oci::Digest& digest, const std::string& local) {
    try {
        const auto view =
            run([&] { return machine->cache().blob(machine->target(local), digest, {}, true); });
        EXPECT_EQ(view.size, content.bytes(digest).size());
        return std::nullopt;
    } catch (const Failure& failure) {
        return failure.kind();
    }
}

std::optional<ManifestView> Lab::manifest(const std::string& reference, bool head,
                                          const std::string& local) {
    failed.reset();
    try {
        return run([&] {
            return machine->cache().manifest(machine->target(local),
                                             *oci::Reference::parse(reference), head);
        });
    } catch (const Failure& failure) {
        failed = failure.kind();
        return std::nullopt;
    }
}

void Lab::wait(Duration duration) {
    run([duration] { return sleep_for(duration); });
}

void Lab::until(const std::function<bool()>& done) {
    if (!sim::run_until(loops, clock, done, clock.now() + 24h)) {
        ADD_FAILURE() << "it never happens";
        std::abort();
    }
}

std::vector<sim::Ask> Lab::asks(What what, const std::string& method) const {
    std::vector<sim::Ask> found;
    for (const auto& ask : internet.asks())
        if (ask.what == what && (method.empty() || ask.method == method)) found.push_back(ask);
    return found;
}

}  // namespace weir::cache
