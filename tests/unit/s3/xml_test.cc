#include "s3/xml.h"

#include <gtest/gtest.h>

#include "s3/answers.h"

namespace weir::s3 {
namespace {

using Event = XmlReader::Event;

// "+a +b -b(text) -a", "!" when broken.
std::string events(std::string_view xml) {
    XmlReader reader(xml);
    std::string out;
    for (;;) {
        const Event event = reader.next();
        if (event == Event::end) return out;
        if (event == Event::broken) return out + "!";
        out += event == Event::open ? "+" : "-";
        out += reader.name();
        if (!reader.parent().empty()) out += "<" + std::string(reader.parent());
        if (event == Event::close && !reader.text().empty()) out += "(" + reader.text() + ")";
        out += " ";
    }
}

TEST(Xml, elements_and_their_text_come_in_order) {
    EXPECT_EQ(events("<?xml version=\"1.0\"?>\n<a xmlns=\"x>y\"><b>one</b> <c/>two</a>\n"),
              "+a +b<a -b<a(one) +c<a -c<a -a ");
    EXPECT_EQ(events("<a/>"), "+a -a ");
    EXPECT_EQ(events("<s:a xmlns:s='u'><s:b >t</s:b\n></s:a>"), "+a +b<a -b<a(t) -a ");
}

TEST(Xml, entities_cdata_and_comments_are_understood) {
    EXPECT_EQ(events("<a>&lt;&amp;&gt;&quot;&apos;&#65;&#x42;&#xfc;&#x20AC;&#x1F600;</a>"),
              "+a -a(<&>\"'ABü€😀) ");
    EXPECT_EQ(events("<!-- x --><a>1<!-- <b> -->2<![CDATA[<&]]>3<?pi?></a>"), "+a -a(12<&3) ");
}

TEST(Xml, what_is_not_well_formed_is_broken) {
    for (const char* text : {"",
                             "x",
                             "<",
                             "<a",
                             "<a>",
                             "<a></b>",
                             "</a>",
                             "<a/><b/>",
                             "<a/>x",
                             "<a>&nope;</a>",
                             "<a>&#0;</a>",
                             "<a>&#xD800;</a>",
                             "<a>&#x110000;</a>",
                             "<a>& </a>",
                             "<a b='></a>",
                             "<a><![CDATA[</a>",
                             "<!-- <a/>",
                             "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
                             "<a <b/>></a>",
                             "<a\"x\"/>"})
        EXPECT_TRUE(events(text).ends_with("!")) << text;
}

TEST(Xml, depth_is_bounded) {
    std::string deep;
    for (size_t i = 0; i < kMaxXmlDepth; ++i) deep += "<a>";
    EXPECT_TRUE(events(deep + "<a>").ends_with("!"));
    for (size_t i = 0; i < kMaxXmlDepth; ++i) deep += "</a>";
    EXPECT_FALSE(events(deep).ends_with("!"));
}

TEST(Xml, what_is_escaped_comes_back) {
    const std::string odd = "a<b>&'\"\r\n\t\x01\x7fü";
    EXPECT_EQ(xml_unescape(xml_escape(odd)), odd);
}

TEST(Answers, an_error_says_its_code) {
    const auto error = read_error(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>The "
        "key.</Message><Resource>/x</Resource></Error>");
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, "NoSuchKey");
    EXPECT_EQ(error->message, "The key.");
    EXPECT_EQ(read_error("<Error><Code>A</Code><Region>eu-x</Region></Error>")->region, "eu-x");
    EXPECT_EQ(read_error("<ErrorResponse><Error><Type>Sender</Type><Code>Denied</Code></Error>"
                         "<RequestId>1</RequestId></ErrorResponse>")
                  ->code,
              "Denied");
    EXPECT_FALSE(read_error("<html><Code>x</Code></html>"));
    EXPECT_FALSE(read_error("<Error><Message>x</Message></Error>"));
    EXPECT_FALSE(read_error(""));
}

TEST(Answers, white_space_before_a_late_completion_is_nothing) {
    EXPECT_TRUE(
        is_completed("\n\n  <CompleteMultipartUploadResult><ETag>x</ETag>"
                     "</CompleteMultipartUploadResult>"));
    EXPECT_FALSE(is_completed("<Error><Code>InternalError</Code></Error>"));
    EXPECT_FALSE(is_completed("<CompleteMultipartUploadResult>"));
}

TEST(Answers, a_list_has_its_objects) {
    const auto list = read_list(
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
        "<IsTruncated>true</IsTruncated><NextContinuationToken>n&amp;1</NextContinuationToken>"
        "<Contents><Key>a&lt;b</Key><LastModified>2009-10-12T17:50:30.000Z</LastModified>"
        "<Size>434234</Size><Owner><ID>x</ID></Owner></Contents>"
        "<Contents><Key>c</Key><LastModified>2009-10-12T17:50:30Z</LastModified><Size>0</Size>"
        "</Contents></ListBucketResult>");
    ASSERT_TRUE(list);
    ASSERT_EQ(list->objects.size(), 2u);
    EXPECT_EQ(list->objects[0].key, "a<b");
    EXPECT_EQ(list->objects[0].size, 434234u);
    EXPECT_EQ(list->objects[0].modified, WallTime(std::chrono::seconds(1255369830)));
    EXPECT_EQ(list->next, "n&1");
}

TEST(Answers, a_list_that_would_mislead_is_none) {
    EXPECT_FALSE(read_list("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"));
    EXPECT_FALSE(read_list(
        "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>"));
    EXPECT_FALSE(read_list("<Other/>"));
}

TEST(Answers, times_are_read_in_both_forms) {
    EXPECT_EQ(read_http_time("Fri, 24 May 2013 00:00:00 GMT"),
              read_iso_time("2013-05-24T00:00:00Z"));
    EXPECT_EQ(read_iso_time("2013-05-24T00:00:00.123456Z"), read_iso_time("2013-05-24T00:00:00Z"));
    for (const char* text : {"", "2013-05-24", "2013-05-24T00:00:00", "2013-05-24T00:00:00+01:00"})
        EXPECT_FALSE(read_iso_time(text)) << text;
}

TEST(Answers, what_is_removed_is_asked_for_in_escapes) {
    EXPECT_EQ(write_delete({"a&b"}),
              "<Delete><Quiet>true</Quiet><Object><Key>a&amp;b</Key></Object></Delete>");
    EXPECT_EQ(write_complete({{1, "\"e\""}}),
              "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"e\"</ETag></Part>"
              "</CompleteMultipartUpload>");
}

TEST(Answers, uploads_that_are_open_are_read_with_their_age) {
    const auto read = read_uploads(
        "<ListMultipartUploadsResult><Bucket>b</Bucket><IsTruncated>true</IsTruncated>"
        "<NextKeyMarker>w/k2</NextKeyMarker><NextUploadIdMarker>i2</NextUploadIdMarker>"
        "<Upload><Key>w/k1</Key><UploadId>i1</UploadId><Initiator><ID>x</ID></Initiator>"
        "<Initiated>2011-07-11T19:55:29Z</Initiated></Upload>"
        "<Upload><Key>w/k2</Key><UploadId>i2</UploadId>"
        "<Initiated>2011-07-11T19:55:30.5Z</Initiated></Upload></ListMultipartUploadsResult>");
    ASSERT_TRUE(read);
    ASSERT_EQ(read->uploads.size(), 2u);
    EXPECT_EQ(read->uploads[0].key, "w/k1");
    EXPECT_EQ(read->uploads[0].upload_id, "i1");
    EXPECT_EQ(read->uploads[0].started, read_iso_time("2011-07-11T19:55:29Z"));
    EXPECT_EQ(read->next_key, "w/k2");
    EXPECT_EQ(read->next_upload_id, "i2");
}

TEST(Answers, an_upload_of_unknown_age_or_a_list_without_an_end_is_no_answer) {
    const std::string open = "<ListMultipartUploadsResult>", end = "</ListMultipartUploadsResult>";
    EXPECT_TRUE(read_uploads(open + end));
    EXPECT_FALSE(read_uploads(open + "<IsTruncated>true</IsTruncated>" + end));
    EXPECT_FALSE(read_uploads(open + "<Upload><Key>k</Key><UploadId>i</UploadId></Upload>" + end));
    EXPECT_FALSE(read_uploads(open +
                              "<Upload><Key>k</Key><UploadId>i</UploadId>"
                              "<Initiated>yesterday</Initiated></Upload>" +
                              end));
    EXPECT_FALSE(read_uploads("<ListBucketResult></ListBucketResult>"));
}

}  // namespace
}  // namespace weir::s3
