// tests/support/versitygw.h: a real S3 server (github.com/versity/versitygw) over a temporary
// directory.
//
// Its binary is WEIR_VERSITYGW, or tools/versitygw beside a folder above the test's, or in PATH;
// `./dev setup` puts it into build/tools. Throws std::runtime_error when there is none.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "support/temporary_directory.h"

namespace weir::test {

class Versitygw {
public:
    static constexpr const char* kAccessKey = "weir-test-access";
    static constexpr const char* kSecretKey = "weir-test-secret";
    static constexpr const char* kRegion = "eu-x";
    // Its virtual-host style: "<bucket>.s3.test".
    static constexpr const char* kDomain = "s3.test";

    explicit Versitygw(const std::vector<std::string>& buckets = {"images"});
    ~Versitygw();
    Versitygw(const Versitygw&) = delete;
    Versitygw& operator=(const Versitygw&) = delete;

    int port() const { return port_; }
    std::string url() const;  // "http://127.0.0.1:<port>"
    // Where a bucket's objects lie as plain files.
    std::string bucket_path(const std::string& bucket) const;
    // The lines of its access log so far, one a request.
    std::vector<std::string> requests() const;

    // As a fault: it is gone, and there again at the same port with all it had.
    void stop();
    void start();

private:
    bool launch();
    bool answers() const;
    bool alive();

    TemporaryDirectory directory_;
    std::string program_;
    pid_t process_ = -1;
    int port_ = 0;
};

}  // namespace weir::test
