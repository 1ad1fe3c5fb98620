// Runs a fuzz target without libFuzzer: each file of the corpus folders as it is, then variants of
// it from a fixed seed, so that a run repeats.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kVariantsPerFile = 300;
constexpr size_t kMaxVariantBytes = 64 * 1024;

void run(const std::string& input) {
    // A copy of exactly this size, so that a read past the end is one past an allocation.
    const std::vector<uint8_t> bytes(input.begin(), input.end());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::string mutated(std::string text, std::mt19937_64& random) {
    const auto at = [&](size_t end) { return static_cast<size_t>(random() % (end + 1)); };
    for (uint64_t edits = 1 + random() % 4; edits > 0; --edits) {
        const size_t from = at(text.size());
        const size_t length = std::min<size_t>(at(8), text.size() - from);
        switch (random() % 5) {
            case 0:
                text.erase(from, length);
                break;
            case 1:
                text.insert(from, 1, static_cast<char>(random()));
                break;
            case 2:
                text.insert(at(text.size()), text.substr(from, length));
                break;
            case 3:
                text.resize(from);
                break;
            default:
                if (from < text.size()) text[from] = static_cast<char>(random());
        }
    }
    if (text.size() > kMaxVariantBytes) text.resize(kMaxVariantBytes);
    return text;
}

}  // namespace

int main(int argc, char** argv) {
    size_t files = 0;
    run({});
    for (int i = 1; i < argc; ++i) {
        for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
            std::ifstream in(entry.path(), std::ios::binary);
            const std::string text(std::istreambuf_iterator<char>(in), {});
            std::mt19937_64 random(text.size());
            run(text);
            std::string variant = text;
            for (int n = 0; n < kVariantsPerFile; ++n) {
                variant = mutated(n % 16 == 0 ? text : variant, random);
                run(variant);
            }
            ++files;
        }
    }
    std::printf("%zu files, %d variants of each\n", files, kVariantsPerFile);
    return files > 0 ? 0 : 1;
}
