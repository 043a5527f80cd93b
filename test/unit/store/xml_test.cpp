#include "core/store/s3/xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forge::store::s3 {

namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST(Xml, ReadsAnErrorWithItsParts) {
    const auto error = parse_error(
        "<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>PermanentRedirect</Code><Message>Go &amp; ask</Message>"
        "<RequestId>tx1</RequestId><Endpoint>b.s3.eu.example.com</Endpoint><Region>eu</Region></Error>");
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, "PermanentRedirect");
    EXPECT_EQ(error->message, "Go & ask");
    EXPECT_EQ(error->request_id, "tx1");
    EXPECT_EQ(error->region, "eu");
    EXPECT_EQ(error->endpoint, "b.s3.eu.example.com");
}

TEST(Xml, OtherDocumentsAreNothing) {
    for (const char* text :
         {"", "no xml", "<html><body>x</body></html>", "<Error>cut", "<ListBucketResult", "{\"json\": 1}"}) {
        EXPECT_FALSE(parse_error(text)) << text;
        EXPECT_FALSE(parse_list(text)) << text;
        EXPECT_FALSE(parse_upload_id(text)) << text;
        EXPECT_FALSE(parse_uploads(text)) << text;
        EXPECT_FALSE(parse_delete(text)) << text;
        EXPECT_FALSE(parse_complete(text)) << text;
    }
    EXPECT_FALSE(parse_list("<ListBucketResult><Contents><Key>a</Key><Size>many</Size></Contents></ListBucketResult>"));
}

TEST(Xml, EntitiesOfTheDocumentAreNotExpanded) {
    const auto error =
        parse_error("<!DOCTYPE Error [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><Error><Code>&x;</Code></Error>");
    EXPECT_TRUE(!error || error->code == "&x;");
}

TEST(Xml, ReadsAListing) {
    const auto page = parse_list(
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><EncodingType>url</EncodingType>"
        "<IsTruncated>true</IsTruncated><NextContinuationToken>to+ken=</NextContinuationToken>"
        "<Contents><Key>a%20b%2Bc+d/%C3%BC</Key><LastModified>2026-11-22T09:17:34.365Z</LastModified>"
        "<ETag>&quot;0123&quot;</ETag><Size>1234567890123</Size></Contents>"
        "<CommonPrefixes><Prefix>x%2Fy/</Prefix></CommonPrefixes></ListBucketResult>");
    ASSERT_TRUE(page);
    ASSERT_THAT(page->objects, SizeIs(1));
    EXPECT_EQ(page->objects[0].key, "a b+c d/ü");
    EXPECT_EQ(page->objects[0].size, 1234567890123U);
    EXPECT_EQ(page->objects[0].etag, "0123");
    EXPECT_EQ(page->objects[0].modified.micros(), 1795339054365000);
    EXPECT_THAT(page->folders, ElementsAre("x/y/"));
    EXPECT_TRUE(page->truncated);
    EXPECT_EQ(page->next_token, "to+ken=");
}

TEST(Xml, KeysStayAsTheyAreWithoutEncodingType) {
    const auto page =
        parse_list("<ListBucketResult><Contents><Key>a+b%20</Key><Size>0</Size></Contents></ListBucketResult>");
    ASSERT_TRUE(page);
    EXPECT_EQ(page->objects[0].key, "a+b%20");
    EXPECT_FALSE(page->truncated);
}

TEST(Xml, ReadsUploads) {
    EXPECT_EQ(parse_upload_id("<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"),
              "id");
    const auto page =
        parse_uploads("<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>"
                      "<NextUploadIdMarker>u</NextUploadIdMarker><Upload><Key>k</Key><UploadId>u</UploadId>"
                      "<Initiated>2026-11-22T09:17:34Z</Initiated></Upload></ListMultipartUploadsResult>");
    ASSERT_TRUE(page);
    ASSERT_THAT(page->uploads, SizeIs(1));
    EXPECT_EQ(page->uploads[0].upload_id, "u");
    EXPECT_EQ(page->uploads[0].initiated.seconds(), 1795339054);
    EXPECT_TRUE(page->truncated);
    EXPECT_EQ(page->next_key, "k");
    EXPECT_EQ(page->next_upload_id, "u");
}

TEST(Xml, ReadsWhatCouldNotBeDeleted) {
    EXPECT_THAT(parse_delete("<DeleteResult/>").value(), IsEmpty());
    const auto failures =
        parse_delete("<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code></Error></DeleteResult>");
    ASSERT_THAT(failures.value(), SizeIs(1));
    EXPECT_EQ(failures->at(0).key, "k");
    EXPECT_EQ(failures->at(0).code, "AccessDenied");
}

TEST(Xml, WritesBodies) {
    EXPECT_EQ(complete_body({"e1", "e2"}),
              "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"e1\"</ETag></Part>"
              "<Part><PartNumber>2</PartNumber><ETag>\"e2\"</ETag></Part></CompleteMultipartUpload>");
    EXPECT_EQ(delete_body({"a&b<c>"}),
              "<Delete><Object><Key>a&amp;b&lt;c&gt;</Key></Object><Quiet>true</Quiet></Delete>");
    EXPECT_TRUE(xml_can_express("ü&<"));
    EXPECT_FALSE(xml_can_express("a\nb"));
}

}  // namespace

}  // namespace forge::store::s3
