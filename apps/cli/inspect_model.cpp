#include "apps/cli/inspect_model.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/cli/clocks.h"
#include "apps/cli/table.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/memory_info.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/encoder_decoder_model.h"
#include "gatewright/language/model_tokenizer.h"
#include "gatewright/language/model_view.h"
#include "gatewright/ops/peak.h"

namespace gw {
namespace {

constexpr int64_t kText = 1000;  // tokens whose keys and values are counted
constexpr int kRounds = 9;       // of 25 ms

/// 1234567 as "1.23 M", in powers of a thousand.
std::string scaled(double value, const char* unit) {
  const char* steps[] = {"", "k", "M", "G", "T"};
  size_t step = 0;
  for (; value >= 999.5 && step < 4; ++step) value /= 1000;
  return fmt::format("{:.{}f} {}{}", value,
                     step == 0 || value >= 100 ? 0
                     : value >= 10             ? 1
                                               : 2,
                     steps[step], unit);
}
std::string bytes_of(int64_t bytes) { return scaled(static_cast<double>(bytes), "B"); }

struct Machine {
  int64_t memory = 0;  ///< bytes that are available now
  double read = 0;     ///< bytes a second
  int threads = 1;
};

Machine measured() {
  Machine here;
  here.memory = available_memory();  // before the measurement takes some
  here.threads = at::get_num_threads();
  ops::PeakProbe probe(steady_now_s);
  std::vector<ops::Peaks> rounds;
  for (int i = 0; i < kRounds; ++i) rounds.push_back(probe.once());
  here.read = ops::median(rounds).read * 1e9;
  return here;
}

struct Fit {
  int64_t needed;
  bool fits;
  double rate;  ///< tokens a second
};
Fit fit_of(const HeldView& held, const Machine& here) {
  const int64_t needed = held.bytes + kText * held.remembered;
  return {needed, needed <= here.memory, here.read / static_cast<double>(held.read)};
}

Json as_json(const ModelView& view, const Machine& here) {
  const auto& o = view.options;
  Json weights = Json::object();
  for (const auto& held : view.held) {
    const auto fit = fit_of(held, here);
    weights[held.weights] = {{"bytes", held.bytes},
                             {"read_bytes_per_token", held.read},
                             {"cache_bytes_per_1000_tokens", kText * held.remembered},
                             {"fits", fit.fits},
                             {"tokens_per_second_at_most", fit.rate}};
  }
  Json all = {
      {"path", view.where},
      {"family", view.family},
      {"layers", o.depth},
      {"routed_layers", view.routed_layers},
      {"experts", o.experts()},
      {"active_experts", o.chosen()},
      {"vocabulary", o.vocabulary},
      {"width", o.width},
      {"context", o.context},
      {"parameters", view.parameters},
      {"active_parameters", view.active},
      {"file_bytes", view.file_bytes},
      {"values_by_type", view.types},
      {"weights", weights},
      {"machine",
       {{"available_bytes", here.memory}, {"read_bytes_per_second", here.read}, {"threads", here.threads}}}};
  if (view.encoder) all["encoder_layers"] = view.encoder->depth;
  return all;
}

void print(const ModelView& view, const Machine& here) {
  const auto& o = view.options;
  const auto layers = view.encoder
                          ? fmt::format("{} layers that read and {} that write", view.encoder->depth, o.depth)
                          : fmt::format("{} layers", o.depth);
  fmt::print("{}: {}, {}, width {}, {} tokens of vocabulary{}\n", shown(view.where), view.family, layers,
             o.width, o.vocabulary, o.context > 0 ? fmt::format(", texts of {}", o.context) : "");
  if (view.routed_layers > 0)
    fmt::print("experts: {} in {} layers, {} for a token\n", o.experts(), view.routed_layers, o.chosen());
  fmt::print("parameters: {}, {} for a token{}\n", scaled(static_cast<double>(view.parameters), ""),
             scaled(static_cast<double>(view.active), ""),
             view.encoder ? " that is read and one that is written" : "");
  std::vector<std::string> types;
  for (const auto& [type, values] : view.types)
    types.push_back(fmt::format("{} {:.1f} %", type,
                                100.0 * static_cast<double>(values) / static_cast<double>(view.parameters)));
  fmt::print("file: {} in {}\n", bytes_of(view.file_bytes), fmt::join(types, ", "));
  fmt::print("this machine: {} available, {}/s read with {} threads\n\n", bytes_of(here.memory),
             scaled(here.read, "B"), here.threads);
  std::vector<std::vector<std::string>> rows{{"--weights", ">in memory", ">a token reads",
                                              fmt::format(">{} tokens keep", kText), "fits",
                                              ">tokens/s at most"}};
  for (const auto& held : view.held) {
    const auto fit = fit_of(held, here);
    rows.push_back({held.weights, bytes_of(held.bytes), bytes_of(held.read),
                    bytes_of(kText * held.remembered), fit.fits ? "yes" : "no",
                    fit.rate < 100 ? fmt::format("{:.1f}", fit.rate) : scaled(fit.rate, "")});
  }
  fmt::print("{}", format_table(rows));
  if (view.encoder)
    fmt::print("of written tokens; what is read is read once, and its tokens keep as much each\n");
}

}  // namespace

void inspect_model(const std::string& name, bool json) {
  const auto path = find_model(name);
  const auto view = is_encoder_decoder(path) ? view_encoder_decoder(path) : view_language_model(path);
  const auto here = measured();
  if (json)
    fmt::print("{}\n", dump_json(as_json(view, here)));
  else
    print(view, here);
}

}  // namespace gw
