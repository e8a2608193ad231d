#include "gatewright/base/options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "gatewright/base/check.h"
#include "gatewright/base/fraction.h"
#include "gatewright/base/json.h"

namespace gw::inline base {
namespace {

std::string range_text(double lo, double hi) {
  if (lo == -kInfinity && hi == kInfinity) return "any";
  if (hi == kInfinity || hi >= static_cast<double>(INT64_MAX)) return fmt::format(">= {:.10g}", lo);
  return fmt::format("{:.10g} … {:.10g}", lo, hi);
}

std::string clipped(const Json& value) {
  std::string text = dump_json(value);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

class Parser : public OptionVisitor {
 public:
  Parser(const std::string& part, const Json& values) : part_(part), values_(values) {}

  void integer(const char* name, int64_t& value, const char* help, int64_t lo, int64_t hi) override {
    const Json* given = find(name);
    if (given != nullptr) value = whole(name, *given, help, lo, hi);
  }

  void real(const char* name, double& value, const char* help, double lo, double hi) override {
    const Json* given = find(name);
    if (given != nullptr) value = number(name, *given, help, lo, hi);
  }

  void flag(const char* name, bool& value, const char* help) override {
    const Json* given = find(name);
    if (given == nullptr) return;
    GW_CHECK(given->is_boolean(), "{}: expected true or false for \"{}\" ({}), got {}", part_, name, help,
             clipped(*given));
    value = given->get<bool>();
  }

  void text(const char* name, std::string& value, const char* help,
            std::vector<std::string> choices) override {
    const Json* given = find(name);
    if (given == nullptr) return;
    GW_CHECK(given->is_string(), "{}: expected text for \"{}\" ({}), got {}", part_, name, help,
             clipped(*given));
    const auto chosen = given->get<std::string>();
    const bool known = choices.empty() || std::find(choices.begin(), choices.end(), chosen) != choices.end();
    GW_CHECK(known, "{}: unknown value {} for \"{}\"{}", part_, clipped(*given), name,
             near_miss(chosen, choices));
    value = chosen;
  }

  void reals(const char* name, std::vector<double>& value, const char* help, double lo, double hi) override {
    const Json* given = find(name);
    if (given == nullptr) return;
    GW_CHECK(given->is_array(), "{}: expected a list of numbers for \"{}\" ({}), got {}", part_, name, help,
             clipped(*given));
    value.clear();
    for (const auto& item : *given) value.push_back(number(name, item, help, lo, hi));
  }

  void texts(const char* name, std::vector<std::string>& value, const char* help) override {
    const Json* given = find(name);
    if (given == nullptr) return;
    GW_CHECK(given->is_array(), "{}: expected a list of texts for \"{}\" ({}), got {}", part_, name, help,
             clipped(*given));
    value.clear();
    for (const auto& item : *given) {
      GW_CHECK(item.is_string(), "{}: expected texts in \"{}\", got {}", part_, name, clipped(item));
      value.push_back(item.get<std::string>());
    }
  }

  void integer_lists(const char* name, std::vector<std::vector<int64_t>>& value, const char* help, int64_t lo,
                     int64_t hi) override {
    const Json* given = find(name);
    if (given == nullptr) return;
    GW_CHECK(given->is_array(), "{}: expected a list for \"{}\" ({}), got {}", part_, name, help,
             clipped(*given));
    value.clear();
    for (const auto& list : *given) {
      GW_CHECK(list.is_array(), "{}: expected lists of integers in \"{}\" ({}), got {}", part_, name, help,
               clipped(list));
      value.emplace_back();
      for (const auto& item : list) value.back().push_back(whole(name, item, help, lo, hi));
    }
  }

  void part(const char* name, PartChoice& value, const char* help) override {
    const Json* given = find(name);
    if (given != nullptr) value = choice(name, *given, help, /*optional=*/value.empty());
  }

  void parts(const char* name, std::vector<PartChoice>& value, const char* help) override {
    const Json* given = find(name);
    if (given == nullptr) return;
    GW_CHECK(given->is_array(), "{}: expected a list of parts for \"{}\" ({}), got {}", part_, name, help,
             clipped(*given));
    value.clear();
    for (const auto& item : *given) {
      // Recipes and runs before tables could stand in this list have them as JSON text.
      const auto table =
          item.is_string() && item.text().starts_with('{') ? Json::parsed(item.text()) : std::nullopt;
      value.push_back(choice(name, table ? *table : item, help, /*optional=*/false));
    }
  }

  void table(const char* name, OptionTable& value, const char* help) override {
    const Json* given = find(name);
    if (given == nullptr) return;
    GW_CHECK(given->is_object(), "{}: expected a table for \"{}\" ({}), got {}", part_, name, help,
             clipped(*given));
    value.read(part_ + " " + name, *given);
  }

  void refuse_unknown() const {
    for (const auto& item : values_.items()) {
      const bool known = std::find(names_.begin(), names_.end(), item.key()) != names_.end();
      GW_CHECK(known, "{}: unknown option \"{}\"{}", part_, item.key(), near_miss(item.key(), names_));
    }
  }

 private:
  /// A part at its defaults may be given by its name alone: gate = "cosine".
  PartChoice choice(const char* name, const Json& given, const char* help, bool optional) const {
    const bool named = given.is_string() && is_part_name(given.text());
    GW_CHECK(named || given.is_object(), "{}: expected a table for \"{}\" ({}), got {}", part_, name, help,
             clipped(given));
    if (optional && given.empty()) return {};
    return part_choice(part_ + " " + name, given);
  }

  int64_t whole(const char* name, const Json& given, const char* help, int64_t lo, int64_t hi) const {
    GW_CHECK(given.is_number_integer(), "{}: expected an integer for \"{}\" ({}), got {}", part_, name, help,
             clipped(given));
    const bool huge = given.is_number_unsigned() && given.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
    const int64_t number = huge ? INT64_MAX : given.get<int64_t>();
    // Of a number beyond 64 bits the upper end is the news, which range_text leaves out.
    GW_CHECK(
        !huge && number >= lo && number <= hi, "{}: expected \"{}\" ({}) in {}, got {}", part_, name, help,
        huge ? fmt::format("{} … {}", lo, hi) : range_text(static_cast<double>(lo), static_cast<double>(hi)),
        clipped(given));
    return number;
  }

  double number(const char* name, const Json& given, const char* help, double lo, double hi) const {
    double value = 0;
    const bool fraction = given.is_string() && parse_fraction(given.get<std::string>(), value);
    GW_CHECK(given.is_number() || fraction, "{}: expected a number for \"{}\" ({}), got {}", part_, name,
             help, clipped(given));
    if (!fraction) value = given.get<double>();
    GW_CHECK(value >= lo && value <= hi && !std::isnan(value), "{}: expected \"{}\" ({}) in {}, got {}",
             part_, name, help, range_text(lo, hi), clipped(given));
    return value;
  }

  const Json* find(const char* name) {
    names_.emplace_back(name);
    const auto it = values_.find(name);
    return it == values_.end() ? nullptr : &*it;
  }

  const std::string& part_;
  const Json& values_;
  std::vector<std::string> names_;
};

class Describer : public OptionVisitor {
 public:
  std::vector<OptionInfo> infos;
  void integer(const char* n, int64_t& v, const char* h, int64_t lo, int64_t hi) override {
    infos.push_back({n, "integer", range_text(static_cast<double>(lo), static_cast<double>(hi)),
                     fmt::format("{}", v), h});
  }
  void real(const char* n, double& v, const char* h, double lo, double hi) override {
    infos.push_back({n, "number", range_text(lo, hi), fmt::format("{:g}", v), h});
  }
  void flag(const char* n, bool& v, const char* h) override {
    infos.push_back({n, "flag", "true, false", v ? "true" : "false", h});
  }
  void text(const char* n, std::string& v, const char* h, std::vector<std::string> choices) override {
    infos.push_back({n, "text", choices.empty() ? "any" : fmt::format("{}", fmt::join(choices, ", ")), v, h});
  }
  void reals(const char* n, std::vector<double>& v, const char* h, double lo, double hi) override {
    infos.push_back({n, "numbers", range_text(lo, hi), fmt::format("[{}]", fmt::join(v, ", ")), h});
  }
  void texts(const char* n, std::vector<std::string>& v, const char* h) override {
    infos.push_back({n, "texts", "any", fmt::format("[{}]", fmt::join(v, ", ")), h});
  }
  void integer_lists(const char* n, std::vector<std::vector<int64_t>>& v, const char* h, int64_t,
                     int64_t) override {
    infos.push_back({n, "list", "", Json(v).dump(), h});
  }
  void part(const char* n, PartChoice& v, const char* h) override {
    infos.push_back({n, "table", "", v.text(), h});
  }
  void parts(const char* n, std::vector<PartChoice>& v, const char* h) override {
    std::vector<std::string> texts;
    for (const auto& choice : v) texts.push_back(choice.options.empty() ? choice.name : choice.text());
    infos.push_back({n, "parts", "any", fmt::format("[{}]", fmt::join(texts, ", ")), h});
  }
  void table(const char* n, OptionTable& v, const char* h) override {
    infos.push_back({n, "table", "", v.json().dump(), h});
  }
};

class Writer : public OptionVisitor {
 public:
  Json out = Json::object();
  void integer(const char* n, int64_t& v, const char*, int64_t, int64_t) override { out[n] = v; }
  void real(const char* n, double& v, const char*, double, double) override { out[n] = v; }
  void flag(const char* n, bool& v, const char*) override { out[n] = v; }
  void text(const char* n, std::string& v, const char*, std::vector<std::string>) override { out[n] = v; }
  void reals(const char* n, std::vector<double>& v, const char*, double, double) override { out[n] = v; }
  void texts(const char* n, std::vector<std::string>& v, const char*) override { out[n] = v; }
  void integer_lists(const char* n, std::vector<std::vector<int64_t>>& v, const char*, int64_t,
                     int64_t) override {
    out[n] = Json(v);
  }
  void part(const char* n, PartChoice& v, const char*) override { out[n] = v.json(); }
  void parts(const char* n, std::vector<PartChoice>& v, const char*) override {
    out[n] = Json::array();
    for (const auto& choice : v) out[n].push_back(choice.options.empty() ? Json(choice.name) : choice.json());
  }
  void table(const char* n, OptionTable& v, const char*) override { out[n] = v.json(); }
};

}  // namespace

void parse_options(const std::string& part, const Json& values, OptionSet& options) {
  GW_CHECK(values.is_object() || values.is_null(), "{}: expected a table of options, got {}", part,
           clipped(values));
  const Json table = values.is_null() ? Json::object() : values;
  Parser parser(part, table);
  options.fields(parser);
  parser.refuse_unknown();
}

Json option_from_text(const std::string& part, OptionSet& options, const std::string& key,
                      const std::string& text) {
  const auto infos = describe_options(options);
  std::vector<std::string> names;
  for (const auto& info : infos) {
    names.push_back(info.name);
    if (info.name != key) continue;
    if (info.type == "text") return Json{{key, text}};
    const auto value = Json::parsed(text);
    double number = 0;
    if (!value && info.type == "number" && parse_fraction(text, number)) return Json{{key, number}};
    GW_CHECK(value.has_value(), "{}: expected {} for \"{}\" ({}), got \"{}\"", part, info.type, key,
             info.help, text);
    return Json{{key, *value}};
  }
  fail("{}: unknown option \"{}\"{}", part, key, near_miss(key, names));
}

std::vector<OptionInfo> describe_options(OptionSet& options) {
  Describer describer;
  options.fields(describer);
  return describer.infos;
}

Json write_options(OptionSet& options) {
  Writer writer;
  options.fields(writer);
  return writer.out;
}

}  // namespace gw::inline base
