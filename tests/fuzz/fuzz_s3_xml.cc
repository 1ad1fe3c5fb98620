// What S3 and STS answer: whatever it is, it is read within bounds, and what is escaped comes back.
#include "fuzz/input.h"
#include "s3/answers.h"
#include "s3/xml.h"

using weir::check;
using namespace weir::s3;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto text = weir::fuzz::text_of(data, size);
    XmlReader reader(text);
    size_t open = 0, events = 0;
    for (;;) {
        const auto event = reader.next();
        check(++events <= 2 * size + 1, "each event uses up bytes");
        if (event == XmlReader::Event::end) {
            check(open == 0, "what was opened was closed");
            break;
        }
        if (event == XmlReader::Event::broken) {
            check(reader.next() == XmlReader::Event::broken, "broken stays broken");
            break;
        }
        check(weir::fuzz::inside(reader.name(), text), "a name is of the text");
        if (event == XmlReader::Event::open)
            check(++open <= kMaxXmlDepth, "depth is bounded");
        else
            check(open-- > 0, "what is closed was open");
        check(reader.text().size() <= size, "entities don't grow");
    }
    check(xml_unescape(xml_escape(text)) == text || text.find('\0') != std::string_view::npos,
          "what is escaped comes back");
    read_error(text);
    read_upload_id(text);
    read_deleted(text);
    read_sts(text);
    read_iso_time(text);
    read_http_time(text);
    if (const auto list = read_list(text))
        check(!list->truncated || !list->next.empty(), "a list says how it goes on");
    if (const auto uploads = read_uploads(text))
        check(!uploads->truncated || !uploads->next_key.empty(), "uploads say how they go on");
    return 0;
}
