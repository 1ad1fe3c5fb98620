// http_probe PORT FILE [CERT KEY]: the serving room alone, for comparison with nginx on the same
// bytes.
//
// /v2/x/manifests/y is a manifest of 2 KiB answered without waiting, /file is FILE. One loop, as
// nginx has one worker.
#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "async/loop.h"
#include "async/pool.h"
#include "base/file.h"
#include "http/listener.h"

namespace weir {
namespace {

class FileSource : public http::Source {
public:
    explicit FileSource(std::shared_ptr<const File> file)
        : file_(std::move(file)), left_(file_->size()) {}
    Task<std::optional<http::Piece>> next(uint64_t max) override {
        if (left_ == 0) co_return std::nullopt;
        http::FilePiece piece;
        piece.file = file_;
        piece.length = std::min(max, left_);
        piece.offset = file_->size() - left_;
        left_ -= piece.length;
        co_return http::Piece(std::move(piece));
    }

private:
    std::shared_ptr<const File> file_;
    uint64_t left_;
};

class Probe : public http::Handler {
public:
    explicit Probe(const std::string& path) : file_(posix_files().open(path, false)) {
        fields_ = std::make_shared<const std::string>(
            "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n"
            "Docker-Content-Digest: sha256:" +
            std::string(64, 'a') + "\r\nDocker-Distribution-Api-Version: registry/2.0\r\n");
    }
    std::optional<http::Response> handle_now(http::Request& request) override {
        http::Response response;
        response.shared_fields = fields_;
        if (request.path == "/file") {
            response.content_length = file_->size();
            response.body = std::make_unique<FileSource>(file_);
        } else {
            response.set_body(manifest_);
        }
        return response;
    }
    Task<http::Response> handle(http::Request&) override { co_return http::Response(404); }
    http::Response failed(const http::Request*, std::exception_ptr) override {
        return http::Response(500);
    }
    void finished(const http::Request&, const http::Response&, const http::Outcome&) override {}

private:
    std::shared_ptr<const File> file_;
    std::shared_ptr<const std::string> fields_;
    std::shared_ptr<const std::string> manifest_ =
        std::make_shared<const std::string>(std::string(2048, 'm'));
};

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
    using namespace weir;
    if (argc != 3 && argc != 5) {
        fmt::print(stderr, "usage: http_probe PORT FILE [CERT KEY]\n");
        return 2;
    }
    LoopGroup loops(1);
    ThreadPool pool("pool", 2);
    Probe probe(argv[2]);
    http::Listener::Options options;
    options.port = static_cast<uint16_t>(std::atoi(argv[1]));
    if (argc == 5) options.tls = http::TlsFiles{argv[3], argv[4], ""};
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, nullptr);
    http::Listener listener(options, loops, pool, probe);
    loops.start();
    listener.start();
    fmt::print("{}\n", listener.port());
    std::fflush(stdout);
    int signal = 0;
    sigwait(&stop, &signal);
    std::_Exit(0);
}
