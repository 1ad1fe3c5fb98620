// Answer::with_login: what came with a login of ours, and so may be private of this upstream.
#include "unit/upstream/world.h"

namespace weir::upstream {
namespace {

class Login : public TokenWorld {
protected:
    // Of a manifest, its HEAD, a blob's HEAD and a blob, which says so with its head.
    void expect(bool with_login, const char* what) {
        upstream.reset();
        EXPECT_EQ(manifest().with_login, with_login) << what;
        EXPECT_EQ(manifest(true).with_login, with_login) << what;
        content = [](const client::Call&) { return answer(200, "blob"); };
        EXPECT_EQ(blob_head().with_login, with_login) << what;
        const auto bytes = std::make_shared<Bytes>();
        EXPECT_EQ(blob(bytes).with_login, with_login) << what;
        ASSERT_TRUE(bytes->head) << what;
        EXPECT_EQ(bytes->head->with_login, with_login) << what;
        content = [](const client::Call&) { return manifest_answer(); };
    }
};

TEST_F(Login, goes_with_an_answer_that_a_token_got_with_one_brought) {
    expect(false, "a token for anybody");
    credential = login("ann", "secret");
    EXPECT_TRUE(up().has_login("library/debian"));
    expect(true, "a token for a password");
    credential = Credential{};
    credential->token = Secret("given");
    good.insert("given");
    expect(true, "a bare token");
}

TEST_F(Login, does_not_where_the_password_stays_at_home) {
    realm = "https://elsewhere.test/token";
    credential = login("ann", "secret");
    expect(false, "a realm that is not trusted gives a token for anybody");
    EXPECT_TRUE(up().has_login("library/debian")) << "it may be asked for yet";
}

TEST_F(Login, is_a_password_and_a_clients_certificate_too) {
    http.handle([this](const client::Call& call) {
        const bool basic = credential.has_value();
        return basic && call.authorization.empty() ? challenge("Basic realm=\"r\"") : content(call);
    });
    expect(false, "nobody is asked");
    EXPECT_FALSE(up().has_login("library/debian"));
    credential = login("ann", "secret");
    expect(true, "basic");
    credential.reset();
    options.mirrors[0].tls.client_certificate = "/tls/client.cert";
    expect(true, "a client's certificate");
    EXPECT_TRUE(up().has_login("library/debian"));
}

}  // namespace
}  // namespace weir::upstream
