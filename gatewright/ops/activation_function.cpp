#include "gatewright/ops/activation_function.h"

#include <fmt/format.h>

#include <algorithm>
#include <any>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/kernels/activations/unit.h"

namespace gw::ops {
namespace {

using kernels::UnitInfo;

const UnitInfo& info_of(int unit) { return kernels::unit_infos[unit]; }
const kernels::UnitRows<double>& rows_of(int unit) { return kernels::units_ref_f64.rows[unit]; }
int units() { return static_cast<int>(kernels::units_ref_f64.count); }

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

bool has_trait(const UnitInfo& info, const char* trait) {
  const auto all = words(info.traits);
  return std::find(all.begin(), all.end(), trait) != all.end();
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first, last - first + 1);
}

int find(const std::string& where, const std::string& name) {
  for (int u = 0; u < units(); ++u) {
    if (name == info_of(u).name) return u;
  }
  std::vector<std::string> known;
  for (int u = 0; u < units(); ++u) {
    auto names = words(info_of(u).aliases);
    names.insert(names.begin(), info_of(u).name);
    if (std::find(names.begin(), names.end(), name) != names.end()) return u;
    known.insert(known.end(), names.begin(), names.end());
  }
  fail("{}: unknown activation \"{}\"{}", where, name.substr(0, 80), near_miss(name.substr(0, 80), known));
}

std::vector<std::string> parameter_names(const UnitInfo& info) {
  std::vector<std::string> out;
  for (int j = 0; j < info.count(); ++j) out.push_back(info.parameters[j].name);
  return out;
}

void set_parameter(const std::string& where, const UnitInfo& info, const std::string& item,
                   std::vector<double>& parameters) {
  const auto equals = item.find('=');
  const auto name = trimmed(item.substr(0, equals)),
             text = equals == std::string::npos ? "" : trimmed(item.substr(equals + 1));
  const auto names = parameter_names(info);
  const auto place = std::find(names.begin(), names.end(), name);
  if (place == names.end())
    fail("{}: activation {} has no parameter \"{}\"{}", where, info.name, name.substr(0, 80),
         names.empty() ? "; it has none" : near_miss(name.substr(0, 80), names));
  const auto& parameter = info.parameters[place - names.begin()];
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  GW_CHECK(!text.empty() && *end == '\0' && value >= parameter.lo && value <= parameter.hi,
           "{}: expected {} of {} between {} and {}, got \"{}\"", where, name, info.name, parameter.lo,
           parameter.hi, text.substr(0, 80));
  parameters[static_cast<size_t>(place - names.begin())] = value;
}

}  // namespace

ActivationFunction::ActivationFunction(const std::string& where, const std::string& given) {
  const auto text = trimmed(given);
  const auto open = text.find('(');
  unit_ = find(where, trimmed(text.substr(0, open)));
  const auto& info = info_of(unit_);
  name_ = info.name;
  for (int j = 0; j < info.count(); ++j) parameters_.push_back(info.parameters[j].value);
  if (open == std::string::npos) return;
  GW_CHECK(text.back() == ')', "{}: expected \")\" after the parameters of {}, got \"{}\"", where, name_,
           text.substr(0, 80));
  for (const auto& item : words(text.substr(open + 1, text.size() - open - 2)))
    set_parameter(where, info, item, parameters_);
}

std::string ActivationFunction::text() const {
  std::string list;
  for (size_t j = 0; j < parameters_.size(); ++j) {
    const auto& parameter = info_of(unit_).parameters[j];
    if (parameters_[j] != parameter.value)
      list += fmt::format("{}{}={}", list.empty() ? "" : ",", parameter.name, parameters_[j]);
  }
  return list.empty() ? name_ : name_ + "(" + list + ")";
}

bool ActivationFunction::learned() const { return rows_of(unit_).by != nullptr; }
bool ActivationFunction::bounded() const { return has_trait(info_of(unit_), "bounded"); }
bool ActivationFunction::straight_through() const { return has_trait(info_of(unit_), "straight-through"); }

std::vector<double> ActivationFunction::kinks() const {
  std::vector<double> out;
  for (const auto& word : words(info_of(unit_).kinks)) out.push_back(std::strtod(word.c_str(), nullptr));
  return out;
}

double ActivationFunction::value(double x) const {
  double f;
  rows_of(unit_).value(&x, 1, parameters_.data(), &f);
  return f;
}

double ActivationFunction::slope(double x) const {
  double f, slope;
  rows_of(unit_).slope(&x, 1, parameters_.data(), &f, &slope);
  return slope;
}

double ActivationFunction::bend(double x) const {
  if (rows_of(unit_).bend != nullptr) return rows_of(unit_).bend(x);
  const double h = 1e-3 * std::max(1.0, std::abs(x));
  return (8 * (slope(x + h) - slope(x - h)) - (slope(x + 2 * h) - slope(x - 2 * h))) / (12 * h);
}

std::vector<double> ActivationFunction::by_parameters(double x) const {
  GW_CHECK(learned(), "activations: expected one with learned parameters, got {}", name_);
  std::vector<double> out(parameters_.size());
  rows_of(unit_).by(&x, 1, parameters_.data(), out.data());
  return out;
}

const std::vector<std::string>& activation_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (int u = 0; u < units(); ++u) out.emplace_back(info_of(u).name);
    return out;
  }();
  return names;
}

namespace {

/// 33 blocks from x = −4 to 4, and between which values they stand.
template <class F>
std::string curve(const F& f) {
  constexpr int kPoints = 33;
  static const char* const kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  double value[kPoints], lo = HUGE_VAL, hi = -HUGE_VAL;
  for (int i = 0; i < kPoints; ++i) {
    value[i] = f(-4 + 0.25 * i);
    lo = std::min(lo, value[i]), hi = std::max(hi, value[i]);
  }
  std::string out;
  for (const double v : value)  // the small shift keeps a value on an edge there whatever rounding does
    out += kBlocks[hi > lo ? std::clamp(static_cast<int>((v - lo) / (hi - lo) * 8 + 1e-9), 0, 7) : 3];
  return fmt::format("{} {:.2f} … {:.2f}", out, lo + 0.0, hi + 0.0);
}

std::vector<std::string> option_texts(const UnitInfo& info) {
  auto traits = words(info.traits);
  if (*info.kinks != '\0') traits.push_back(fmt::format("kinks at {}", info.kinks));
  return traits;
}

[[maybe_unused]] const bool registered = [] {
  for (int u = 0; u < units(); ++u) {
    const auto& info = info_of(u);
    PartInfo part{"activations",     info.name, info.formula, info.source, repository_path(info.file), {},
                  option_texts(info)};
    for (int j = 0; j < info.count(); ++j) {
      const auto& p = info.parameters[j];
      part.options.push_back({p.name, "number", fmt::format("{} … {}", p.lo, p.hi),
                              fmt::format("{}", p.value), p.learned ? "learned" : "constant"});
    }
    Registry::instance().add(std::move(part), std::any(u));
  }
  return true;
}();

}  // namespace

std::vector<std::pair<std::string, std::string>> activation_notes(const std::string& name) {
  const ActivationFunction f("activations", name);
  const auto& info = info_of(f.unit());
  return {{"aliases", info.aliases},
          {"derivative", info.slope},
          {"curve", curve([&](double x) { return f.value(x); })},
          {"curve of the derivative", curve([&](double x) { return f.slope(x); })}};
}

}  // namespace gw::ops
