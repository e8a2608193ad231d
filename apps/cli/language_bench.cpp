#include "apps/cli/language_bench.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "apps/cli/clocks.h"
#include "apps/cli/table.h"
#include "gatewright/base/check.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/encoder_decoder_model.h"
#include "gatewright/language/generate.h"
#include "gatewright/language/model_view.h"
#include "gatewright/language/token_batch.h"
#include "gatewright/ops/peak.h"

namespace gw {
namespace {

constexpr int kProbes = 3;  // measurements of the bandwidth in each round, of 25 ms

/// Seconds of each round, and what is said of them.
struct TokenTimes {
  std::vector<double> seconds;
  int64_t tokens = 0;
  double median() const {
    auto sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
  double rate() const { return static_cast<double>(tokens) / median(); }
  /// Of the slowest and the fastest round, over the median.
  double spread() const {
    const auto [least, most] = std::minmax_element(seconds.begin(), seconds.end());
    return (*most - *least) / median();
  }
};

void read_once(Decoder& decoder, DecoderState& state, const at::Tensor& ids) {
  decoder.forward({ids, {ids.size(0)}, {&state}, true});
}

double read_prompt(Decoder& decoder, const at::Tensor& ids) {
  DecoderState state;
  const double start = steady_now_s();
  for (const auto& part : ids.split(GenerateOptions{}.chunk)) read_once(decoder, state, part);
  return steady_now_s() - start;
}

double write_tokens(Decoder& decoder, const at::Tensor& ids) {
  DecoderState state;
  const double start = steady_now_s();
  for (const auto& one : ids.split(1)) read_once(decoder, state, one);
  return steady_now_s() - start;
}

struct ModelTimes {
  TokenTimes prompt, written;
  double read = 0;  ///< bytes a second, of the machine
};

ModelTimes time_model(Decoder& decoder, const LanguageBench& asked) {
  const at::NoGradGuard no_grad;
  const auto vocabulary = decoder.options().vocabulary;
  const auto prompt = drawn_tokens(Rng(1), {asked.prompt}, vocabulary);
  const auto written = drawn_tokens(Rng(2), {asked.tokens}, vocabulary);
  ops::PeakProbe probe(steady_now_s);
  std::vector<ops::Peaks> peaks;
  ModelTimes out;
  out.prompt.tokens = asked.prompt, out.written.tokens = asked.tokens;
  read_prompt(decoder, prompt), write_tokens(decoder, written);
  for (int round = 0; round < asked.rounds; ++round) {
    out.prompt.seconds.push_back(read_prompt(decoder, prompt));
    for (int i = 0; i < kProbes; ++i) peaks.push_back(probe.once());
    out.written.seconds.push_back(write_tokens(decoder, written));
  }
  out.read = ops::median(peaks).read * 1e9;
  return out;
}

const HeldView& held_as(const ModelView& view, const std::string& weights) {
  for (const auto& held : view.held)
    if (held.weights == weights) return held;
  return view.held.front();  // a file without codes: keep is file
}

struct Judged {
  std::string path;
  double loaded = 0, reads = 0, share = 0;  ///< seconds; bytes a second, and of what the machine reads
  int64_t touched = 0;                      ///< bytes, by one token
};

Json as_json(const LanguageBench& asked, const ModelTimes& times, const Judged& judged) {
  return {{"path", judged.path},
          {"weights", asked.load.weights},
          {"threads", at::get_num_threads()},
          {"load_s", judged.loaded},
          {"prompt_tokens", asked.prompt},
          {"prompt_s", times.prompt.seconds},
          {"prompt_tokens_per_second", times.prompt.rate()},
          {"written_tokens", asked.tokens},
          {"written_s", times.written.seconds},
          {"written_tokens_per_second", times.written.rate()},
          {"read_bytes_per_token", judged.touched},
          {"read_bytes_per_second", times.read},
          {"of_read_bandwidth", judged.share}};
}

void print(const LanguageBench& asked, const ModelTimes& times, const Judged& judged) {
  fmt::print("{}, {} threads, loaded in {:.2f} s; medians of {} rounds\n\n", shown(judged.path),
             at::get_num_threads(), judged.loaded, asked.rounds);
  const auto row = [&](const std::string& what, const TokenTimes& t, double bytes, double share) {
    return std::vector<std::string>{asked.load.weights,
                                    what,
                                    fmt::format("{:.1f}", t.rate()),
                                    fmt::format("{:.0f}", 50 * t.spread()),
                                    bytes > 0 ? fmt::format("{:.2f}", bytes / 1e9) : "",
                                    bytes > 0 ? fmt::format("{:.2f}", share) : ""};
  };
  fmt::print("{}", format_table({{"--weights", "what", ">tokens/s", ">± %", ">GB/s", ">of read"},
                                 row(fmt::format("{} tokens read at once", asked.prompt), times.prompt, 0, 0),
                                 row(fmt::format("{} tokens one by one", asked.tokens), times.written,
                                     judged.reads, judged.share)}));
  fmt::print("\na token reads {:.1f} MB, this machine {:.2f} GB/s; mark {:.2f}: {}\n",
             static_cast<double>(judged.touched) / 1e6, times.read / 1e9, kReadMark,
             judged.share >= kReadMark ? "holds" : "missed");
}

}  // namespace

bool bench_language_model(const LanguageBench& asked, bool json) {
  Judged judged{find_model(asked.model)};
  GW_CHECK(!is_encoder_decoder(judged.path),
           "bench: expected a model that goes on with a text, got {} with an encoder; `gatewright run` says "
           "how long one text takes",
           shown(judged.path));
  const double start = steady_now_s();
  const auto model = load_language_model(judged.path, asked.load);
  judged.loaded = steady_now_s() - start;
  const auto times = time_model(*model.decoder, asked);
  judged.touched = held_as(view_language_model(judged.path), asked.load.weights).read;
  judged.reads = static_cast<double>(judged.touched) * times.written.rate();
  judged.share = judged.reads / times.read;
  if (json)
    fmt::print("{}\n", dump_json(as_json(asked, times, judged)));
  else
    print(asked, times, judged);
  return judged.share >= kReadMark;
}

}  // namespace gw
