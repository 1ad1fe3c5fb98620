// s3/sigv4.h against AWS's published vectors: the Signature Version 4 test suite (AKIDEXAMPLE) and
// the examples of the S3 documentation (AKIAIOSFODNN7EXAMPLE); and for keys that need escapes,
// against what botocore signs.
#include "s3/sigv4.h"

#include <gtest/gtest.h>

#include "s3/answers.h"
#include "s3/sums.h"

namespace weir::s3 {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

WallTime at(std::string_view iso) {
    return *read_iso_time(iso);
}

std::string signature_of(const Signed& made) {
    const std::string& text = made.authorization.reveal();
    return text.substr(text.rfind('=') + 1);
}

const Credentials kSuite{
    "AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), {}, Credentials::kNoExpiry};
const Credentials kDocs{"AKIAIOSFODNN7EXAMPLE",
                        Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
                        {},
                        Credentials::kNoExpiry};
const std::string kLetters = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

struct Vector {
    std::string name, method, path;
    Pairs query, fields;
    std::string body, signature;
};

const std::vector<Vector> kVectors = {
    {"get_vanilla",
     "GET",
     "/",
     {},
     {},
     "",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get_utf8",
     "GET",
     "/ሴ",
     {},
     {},
     "",
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get_unreserved",
     "GET",
     "/" + kLetters,
     {},
     {},
     "",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get_vanilla_empty_query_key",
     "GET",
     "/",
     {{"Param1", "value1"}},
     {},
     "",
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get_vanilla_query_order_encoded",
     "GET",
     "/",
     {{"Param-3", "Value3"}, {"Param", "Value2"}, {"ሴ", "Value1"}},
     {},
     "",
     "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
    {"get_vanilla_query_order_key_case",
     "GET",
     "/",
     {{"Param2", "value2"}, {"Param1", "value1"}},
     {},
     "",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get_vanilla_query_order_key",
     "GET",
     "/",
     {{"Param1", "value2"}, {"Param1", "Value1"}},
     {},
     "",
     "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
    {"get_vanilla_query_order_value",
     "GET",
     "/",
     {{"Param1", "value2"}, {"Param1", "value1"}},
     {},
     "",
     "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
    {"get_vanilla_query_unreserved",
     "GET",
     "/",
     {{kLetters, kLetters}},
     {},
     "",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get_vanilla_utf8_query",
     "GET",
     "/",
     {{"ሴ", "bar"}},
     {},
     "",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get_header_key_duplicate",
     "GET",
     "/",
     {},
     {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}},
     "",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get_header_value_order",
     "GET",
     "/",
     {},
     {{"My-Header1", "value4"},
      {"My-Header1", "value1"},
      {"My-Header1", "value3"},
      {"My-Header1", "value2"}},
     "",
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"get_header_value_trim",
     "GET",
     "/",
     {},
     {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
     "",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"post_vanilla",
     "POST",
     "/",
     {},
     {},
     "",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"post_vanilla_query",
     "POST",
     "/",
     {{"Param1", "value1"}},
     {},
     "",
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
    {"post_header_key_sort",
     "POST",
     "/",
     {},
     {{"My-Header1", "value1"}},
     "",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
    {"post_header_value_case",
     "POST",
     "/",
     {},
     {{"My-Header1", "VALUE1"}},
     "",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post_x_www_form_urlencoded",
     "POST",
     "/",
     {},
     {{"Content-Type", "application/x-www-form-urlencoded"}},
     "Param1=value1",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"post_x_www_form_urlencoded_parameters",
     "POST",
     "/",
     {},
     {{"Content-Type", "application/x-www-form-urlencoded; charset=utf8"}},
     "Param1=value1",
     "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
};

class Suite : public ::testing::TestWithParam<Vector> {};

TEST_P(Suite, is_signed_as_published) {
    const Vector& vector = GetParam();
    const SigningRequest request{vector.method, "example.amazonaws.com", vector.path,
                                 vector.query,  vector.fields,           sha256_hex(vector.body)};
    const Signed made = sign(request, kSuite, "us-east-1", "service", at("2015-08-30T12:36:00Z"));
    EXPECT_EQ(signature_of(made), vector.signature) << made.authorization.reveal();
}
INSTANTIATE_TEST_SUITE_P(SigV4, Suite, ::testing::ValuesIn(kVectors),
                         [](const auto& info) { return info.param.name; });

TEST(SigV4, a_session_token_is_sent_and_signed) {
    Credentials credentials = kSuite;
    credentials.session_token =
        Secret("6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267");
    const SigningRequest request{"GET", "example.amazonaws.com", "/", {}, {}, sha256_hex("")};
    const Signed made =
        sign(request, credentials, "us-east-1", "service", at("2015-08-30T12:36:00Z"));
    EXPECT_EQ(signature_of(made),
              "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8");
    EXPECT_EQ(made.fields.back(), (std::pair<std::string, std::string>(
                                      "x-amz-security-token", credentials.session_token.reveal())));
}

TEST(SigV4, the_authorization_names_key_scope_and_fields) {
    const SigningRequest request{"GET", "example.amazonaws.com", "/", {}, {}, sha256_hex("")};
    const Signed made = sign(request, kSuite, "us-east-1", "service", at("2015-08-30T12:36:00Z"));
    EXPECT_EQ(made.authorization.reveal(),
              "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
              "SignedHeaders=host;x-amz-date, Signature="
              "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    EXPECT_EQ(made.path_and_query, "/");
    EXPECT_EQ(made.fields, (Pairs{{"x-amz-date", "20150830T123600Z"}}));
}

// "Examples: Signature calculations" of the S3 API reference.
Signed documented(SigningRequest request) {
    request.host = "examplebucket.s3.amazonaws.com";
    return sign(request, kDocs, "us-east-1", "s3", at("2013-05-24T00:00:00Z"));
}

TEST(S3Examples, get_object_with_a_range) {
    const auto made =
        documented({"GET", "", "/test.txt", {}, {{"Range", "bytes=0-9"}}, sha256_hex("")});
    EXPECT_EQ(signature_of(made),
              "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    EXPECT_EQ(made.fields, (Pairs{{"Range", "bytes=0-9"},
                                  {"x-amz-date", "20130524T000000Z"},
                                  {"x-amz-content-sha256", sha256_hex("")}}));
}

TEST(S3Examples, put_object) {
    const auto made = documented(
        {"PUT",
         "",
         "/test$file.text",
         {},
         {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
         sha256_hex("Welcome to Amazon S3.")});
    EXPECT_EQ(signature_of(made),
              "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    EXPECT_EQ(made.path_and_query, "/test%24file.text");
}

TEST(S3Examples, get_bucket_lifecycle) {
    const auto made = documented({"GET", "", "/", {{"lifecycle", ""}}, {}, sha256_hex("")});
    EXPECT_EQ(signature_of(made),
              "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    EXPECT_EQ(made.path_and_query, "/?lifecycle=");
}

TEST(S3Examples, list_objects) {
    const auto made =
        documented({"GET", "", "/", {{"max-keys", "2"}, {"prefix", "J"}}, {}, sha256_hex("")});
    EXPECT_EQ(signature_of(made),
              "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(S3Examples, presigned_get) {
    EXPECT_EQ(presign({"GET", "examplebucket.s3.amazonaws.com", "/test.txt", {}, {}, ""}, kDocs,
                      "us-east-1", at("2013-05-24T00:00:00Z"), std::chrono::seconds(86400)),
              "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%"
              "2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-"
              "Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
              "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST(S3Examples, a_presigned_address_is_good_for_a_week_at_most) {
    const auto address = presign({"GET", "h", "/k", {}, {}, ""}, kDocs, "us-east-1",
                                 at("2013-05-24T00:00:00Z"), std::chrono::hours(24 * 30));
    EXPECT_NE(address.find("X-Amz-Expires=604800&"), std::string::npos) << address;
}

// Signed by botocore 1.44 for bucket "bucket" at https://s3.lab:9000, region eu-x,
// 2026-02-03T04:05:06Z.
struct Odd {
    std::string key, get, presigned;
};
const std::vector<Odd> kOdd = {
    {"blobs/sha256/ab/abcdef", "65fc6e7900ec3672a133d648c531b1df7ca92815e8a9d099e4a94589cb57da6f",
     "797d2700a7252e1bc96f80c660fffbd34221c916b8652bbfe822bee8d0a76c95"},
    {"a b", "8fddf23cc90f3d47275b84974850a37fca951d0df1e4ec56eb8b494eb05ade10",
     "97b4dd5e69e92e637771b14126b5d7a1a36d7ec65c14e701f71985d2d9983822"},
    {"a+b", "20600eee5e1d13d2fd97f79c005c48148de95da99dbad390827773ed07c81368",
     "702991a4be7225d9725c6914039c276bd54818bc4d926f95b3af8f7dd4097ac0"},
    {"a=b&c", "edb5108bc0229d13e4af5ab1b5737bb2fe59ed7fe79071717a700944158a1245",
     "eece0ad0d599a62ad8742376a58c9b929c5959845f68ddddd114bb2c4519ebe0"},
    {"a%b", "d36abcd79ddd9278d536e1f4080ad3cf31eefb32b9f4208e73e5612080143091",
     "da7ba07dbe00bcc429e49c0a72532431739932225413989c7a13edd3be87c6a5"},
    {"100%25", "0a9bc98542cde722e15eb253584f8210586cd9ccacf1901dfc9a4ef0b00615c3",
     "fba908470cdf00001de151615ccc86d50f57a428c6fc11ed8a12e42ee71fb61e"},
    {"ключ/ü", "d5b0be84b4f1504cf9b75805712a3950a1b33244f3cceaf098f0d9c7d1ffffb4",
     "1f94bd7f707b4ba140428671097f3b0519f58aab9d3d3f5a0b0ccccc8c2194ba"},
    {"a//b", "ca76e2b1f34c18c603a442834ac30b02791140f5f5751523faf751110b73d809",
     "b38f55e7f2681146f615104ba5460cf41b84068c68886b62aac1033152d7d262"},
    {"./../x", "6b4d8ec8be525ecc511b5c8651e40e92b1326bc1547f9ba7aa1d4fa8db6575c1",
     "f4be5662c93911e7275051a0b0eaf404d25865d755b72c81710196091a58ac6b"},
    {"a~b-c_d.e", "883892b1f1f3867e2e04ef1566b18b77735a4cfef8a8a09f315886a2036631a1",
     "7eea4452590b682aa7b807ecc201e49649cce0052d393b452ed0226ece8758fd"},
    {"quote'\"<>", "f3635a2344def60c7fe00b10b1bbd7def31a00d0f02609ac969aa16ca8624523",
     "c33367099a50207bdefe55164dbcd35fd2b0e732089133beeadd2a458f65106b"},
    {"tab\tend", "c614b2b2c6ea9ecca07e0197f2fbb0cfa9060bdf589bae87a418f2b3a82dbacd",
     "9f40d66f866768ea20a2f948e30c899f1c5586cf07d31c40534a30843b30dc80"},
    {"?#[]@!$()*,;:", "4a80e989f3a946125b0c437dd6e23feff69d8a64eeefef7d62cfef0b2a76911f",
     "cd4a1f5779b8d230ad9cf17a142441a4315e88c8bfd15372791c90e1a32e1a5e"},
};

TEST(OddKeys, are_signed_as_botocore_signs_them) {
    for (const Odd& odd : kOdd) {
        const SigningRequest request{"GET", "s3.lab:9000",           "/bucket/" + odd.key,
                                     {},    {{"Range", "bytes=5-"}}, sha256_hex("")};
        EXPECT_EQ(signature_of(sign(request, kSuite, "eu-x", "s3", at("2026-02-03T04:05:06Z"))),
                  odd.get)
            << odd.key;
    }
}

TEST(OddKeys, are_presigned_as_botocore_presigns_them) {
    for (const Odd& odd : kOdd) {
        const SigningRequest request{"GET", "s3.lab:9000", "/bucket/" + odd.key, {}, {}, ""};
        const auto address =
            presign(request, kSuite, "eu-x", at("2026-02-03T04:05:06Z"), std::chrono::seconds(600));
        EXPECT_EQ(address.substr(address.rfind('=') + 1), odd.presigned) << odd.key;
    }
}

TEST(OddKeys, in_a_query_are_escaped_and_sorted) {
    const SigningRequest request{
        "GET",     "s3.lab:9000",
        "/bucket", {{"prefix", "a b/+=%&ü"}, {"list-type", "2"}, {"continuation-token", "1/x+y=="}},
        {},        sha256_hex("")};
    const auto made = sign(request, kSuite, "eu-x", "s3", at("2026-02-03T04:05:06Z"));
    EXPECT_EQ(made.path_and_query,
              "/bucket?continuation-token=1%2Fx%2By%3D%3D&list-type=2&prefix=a%20b%2F%2B%3D%25%26%"
              "C3%BC");
    EXPECT_EQ(signature_of(made),
              "7de4bb88179c1c24a5b9de4d95f6c18ee14e8c278197fbc6f52b78bf9c529b30");
}

TEST(OddKeys, a_presigned_address_carries_the_session_token) {
    Credentials credentials = kSuite;
    credentials.session_token = Secret("TOK/en+=");
    const SigningRequest request{"GET", "s3.lab:9000", "/bucket/blobs/sha256/ab/abcdef", {}, {},
                                 ""};
    const auto address = presign(request, credentials, "eu-x", at("2026-02-03T04:05:06Z"),
                                 std::chrono::seconds(600));
    EXPECT_NE(address.find("X-Amz-Security-Token=TOK%2Fen%2B%3D"), std::string::npos) << address;
    EXPECT_EQ(address.substr(address.rfind('=') + 1),
              "a3f0d81fbd58e9ad79151d1eac7df3cb13617a80ae991a5564bb9ca89a5f17f5");
}

}  // namespace
}  // namespace weir::s3
