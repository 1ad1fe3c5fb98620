// fill_metadata PATH --repositories N --blobs M --in-s3 FRACTION: makes the metadata file of a full
// cache, for tests of the start.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "support/fill_metadata.h"

int main(int argc, char** argv) {
    std::string path;
    uint64_t repositories = 100'000;
    uint64_t blobs = 1'000'000;
    double in_s3 = 0;
    CLI::App app("makes the metadata file of a full cache");
    app.add_option("PATH", path, "a file that is new or has no repositories")->required();
    app.add_option("--repositories", repositories, "how many, with a tagged manifest each");
    app.add_option("--blobs", blobs, "how many, spread over the repositories");
    app.add_option("--in-s3", in_s3, "which part is in S3, the blobs only there")
        ->check(CLI::Range(0.0, 1.0));
    CLI11_PARSE(app, argc, argv);
    try {
        weir::meta::fill_metadata(path, repositories, blobs, in_s3);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "fill_metadata: %s\n", error.what());
        return 1;
    }
    return 0;
}
