#include "app/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/failure.h"
#include "support/temporary_directory.h"

namespace weir::app {
namespace {

using testing::HasSubstr;

class Certificates : public testing::Test {
protected:
    void write(const std::string& name, const std::string& text) const {
        std::ofstream(directory / name) << text;
    }
    static std::string read(const std::string& path) {
        std::ostringstream text;
        text << std::ifstream(path).rdbuf();
        return text.str();
    }
    config::Registry registry() const {
        config::Registry made;
        made.name = "reg.lab:5000";
        made.cert_dir = directory.path();
        return made;
    }
    TemporaryDirectory directory, state;
};

TEST_F(Certificates, without_a_directory_are_the_systems) {
    config::Registry plain;
    plain.tls_verify = false;
    const auto tls = upstream_tls(plain, state.path());
    EXPECT_FALSE(tls.verify);
    EXPECT_EQ(tls.ca_file, "");
}

TEST_F(Certificates, authorities_are_added_to_the_systems) {
    write("one.crt", "first authority");
    write("two.crt", "second authority\n");
    write("notes.txt", "not a certificate");
    const auto tls = upstream_tls(registry(), state.path());
    const std::string bundle = read(tls.ca_file);
    EXPECT_TRUE(bundle.starts_with("first authority\nsecond authority\n"));
    EXPECT_EQ(bundle.find("not a certificate"), std::string::npos);
    EXPECT_EQ(tls.client_certificate, "");
}

TEST_F(Certificates, a_clients_pair_stands_side_by_side) {
    write("me.cert", "c");
    write("me.key", "k");
    const auto tls = upstream_tls(registry(), state.path());
    EXPECT_EQ(tls.client_certificate, directory / "me.cert");
    EXPECT_EQ(tls.client_key, directory / "me.key");
    EXPECT_EQ(tls.ca_file, "");
}

TEST_F(Certificates, a_missing_key_or_directory_is_told) {
    write("me.cert", "c");
    EXPECT_THROW(upstream_tls(registry(), state.path()), Failure);
    auto gone = registry();
    gone.cert_dir = directory / "gone";
    EXPECT_THROW(upstream_tls(gone, state.path()), Failure);
}

TEST_F(Certificates, a_changed_file_changes_the_stamp) {
    EXPECT_EQ(directory_stamp(""), 0u);
    write("one.crt", "a");
    const auto before = directory_stamp(directory.path());
    EXPECT_EQ(directory_stamp(directory.path()), before);
    write("one.crt", "longer");
    EXPECT_NE(directory_stamp(directory.path()), before);
    EXPECT_EQ(file_stamp(directory / "gone"), 0u);
    EXPECT_NE(file_stamp(directory / "one.crt"), 0u);
}

}  // namespace
}  // namespace weir::app
