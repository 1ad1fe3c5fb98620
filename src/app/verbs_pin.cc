#include "app/verbs_pin.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <ostream>

#include "app/wire_tiers.h"
#include "base/failure.h"
#include "base/glob.h"
#include "config/routing.h"
#include "oci/name.h"

namespace weir::app {
namespace {

namespace json = boost::json;

std::string local_name(const config::Config& config, std::string_view repository) {
    if (!oci::valid_name(repository)) return std::string(repository);  // a pattern
    const auto routing = config::Routing::build(std::make_shared<const config::Config>(config));
    const auto found = routing.resolve({.host = "", .ns = "", .repository = repository});
    return found ? found.route->repository : std::string(repository);
}

meta::Pin parse(const config::Config& config, const std::string& what) {
    auto pin = parse_pin(config, what);
    if (!pin) throw Failure(Kind::config_invalid, pin.error());
    return std::move(*pin);
}

json::object as_json(const meta::Pin& pin) {
    return {{"repositories", pin.repository}, {"tags", pin.tag}};
}

void tell(const VerbArguments& arguments, const meta::Pin& pin, const char* done,
          std::ostream& out) {
    if (arguments.json)
        out << json::serialize(as_json(pin)) << '\n';
    else
        out << fmt::format("{} {}:{}\n", done, pin.repository, pin.tag);
}

}  // namespace

std::expected<meta::Pin, std::string> parse_pin(const config::Config& config,
                                                std::string_view text) {
    const size_t slash = text.rfind('/');
    const size_t colon = text.find(':', slash == std::string_view::npos ? 0 : slash);
    const std::string_view repository = text.substr(0, colon);
    meta::Pin pin;
    pin.tag = colon == std::string_view::npos ? "*" : std::string(text.substr(colon + 1));
    if (repository.empty() || pin.tag.empty())
        return std::unexpected(fmt::format(
            "\"{}\": expected REPOSITORY or REPOSITORY:TAG, as in docker.io/library/debian:12",
            text));
    if (!Glob::parse(repository) || !Glob::parse(pin.tag))
        return std::unexpected(fmt::format("\"{}\" is not a pattern", text));
    pin.repository = local_name(config, repository);
    return pin;
}

int pin(const VerbArguments& arguments, const std::string& what, std::ostream& out) {
    Workbench bench(arguments);
    const meta::Pin pin = parse(bench.config(), what);
    bench.engine().put_pin(pin);
    tell(arguments, pin, "pinned", out);
    return kFine;
}

int unpin(const VerbArguments& arguments, const std::string& what, std::ostream& out) {
    Workbench bench(arguments);
    const meta::Pin pin = parse(bench.config(), what);
    if (bench.engine().remove_pin(pin)) {
        tell(arguments, pin, "unpinned", out);
        return kFine;
    }
    const auto configured = configured_pins(bench.config());
    if (std::ranges::find(configured, pin) != configured.end())
        throw Failure(Kind::config_invalid,
                      fmt::format("{}:{} is pinned by weir.cache.pins; take it out there",
                                  pin.repository, pin.tag));
    if (!arguments.json) out << fmt::format("{}:{} isn't pinned\n", pin.repository, pin.tag);
    return kProblems;
}

int pins(const VerbArguments& arguments, std::ostream& out) {
    Workbench bench(arguments);
    json::array list;
    const auto show = [&](const std::vector<meta::Pin>& all, const char* source) {
        for (const meta::Pin& pin : all) {
            if (!arguments.json) {
                out << fmt::format("{}:{}  ({})\n", pin.repository, pin.tag, source);
                continue;
            }
            json::object object = as_json(pin);
            object["source"] = source;
            list.push_back(std::move(object));
        }
    };
    show(configured_pins(bench.config()), "configuration");
    show(bench.engine().pins(), "database");
    if (arguments.json) out << json::serialize(list) << '\n';
    return kFine;
}

}  // namespace weir::app
