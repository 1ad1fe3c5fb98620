// docs/configuration.md tells the truth: each key of ours stands in it, with its default.
#include <fstream>
#include <sstream>

#include "config/schema.h"
#include "unit/config/support.h"

namespace weir::config {
namespace {

std::string documentation() {
    std::ifstream in(WEIR_SOURCE_DIR "/docs/configuration.md");
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

TEST(Documentation, names_every_key_of_ours_with_its_default) {
    const std::string text = documentation();
    ASSERT_FALSE(text.empty());
    for (const OwnKey& key : own_keys()) {
        const size_t at = text.find("| `" + key.path + "` |");
        ASSERT_NE(at, std::string::npos) << key.path << " is not in docs/configuration.md";
        const std::string row = text.substr(at, text.find('\n', at) - at);
        if (!key.default_value.empty()) {
            EXPECT_NE(row.find("| `" + key.default_value + "` |"), std::string::npos)
                << row << "\nshould say " << key.default_value;
        }
    }
}

TEST(Documentation, names_every_key_of_zots) {
    const std::string text = documentation();
    const std::function<void(const Shape&, const std::string&)> walk =
        [&](const Shape& shape, const std::string& prefix) {
            for (const Key& key : shape.keys) {
                const std::string path = prefix + key.name;
                const bool group =
                    key.status == Status::honoured && key.inner && key.name != "weir";
                if (key.name == "weir") continue;
                if (group) {
                    walk(*key.inner, path + (key.form == Form::objects ? "[]." : "."));
                    continue;
                }
                EXPECT_NE(text.find("`" + path + "`"), std::string::npos)
                    << path << " is not in docs/configuration.md";
            }
        };
    walk(file_shape(), "");
}

TEST(Documentation, its_examples_are_accepted) {
    const std::string text = documentation();
    size_t examples = 0;
    for (const auto& [fence, name] :
         {std::pair("```json\n", "c.json"), std::pair("```yaml\n", "c.yaml")}) {
        for (size_t at = text.find(fence); at != std::string::npos; at = text.find(fence, at)) {
            at += std::string_view(fence).size();
            const std::string example = text.substr(at, text.find("```", at) - at);
            const Report report = read(example, name);
            EXPECT_TRUE(report.ok()) << example << problems(report);
            ++examples;
        }
    }
    EXPECT_GE(examples, 3u);
}

}  // namespace
}  // namespace weir::config
