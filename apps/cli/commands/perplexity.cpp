#include <fmt/format.h>

#include <optional>

#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/generation_flags.h"
#include "apps/cli/signals.h"
#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/runs/progress.h"

namespace gw {
namespace {

constexpr uint64_t kLongestText = uint64_t{1} << 30;

/// Lines of a file without their ends; a last empty one does not count.
std::vector<std::string> lines_of(const std::string& path) {
  const auto text = read_file(path, kLongestText);
  std::vector<std::string> lines;
  for (size_t first = 0; first < text.size();) {
    const auto last = std::min(text.find('\n', first), text.size());
    lines.push_back(text.substr(first, last - first));
    if (!lines.back().empty() && lines.back().back() == '\r') lines.back().pop_back();
    first = last + 1;
  }
  return lines;
}

/// How well a language model expects a text, or one about another.
class PerplexityCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "How well a language model expects a text: the exponential of its mean loss.";

  const char* example() const override { return "gatewright perplexity olmoe text.txt --weights int8"; }

  void declare(CLI::App& app) override {
    model_.declare(app);
    app.add_option("text", text_, "file in UTF-8: text.txt")->required();
    app.add_option("--source", source_,
                   "of a model that reads one text and writes another: file whose lines the text's lines are "
                   "about; --source english.txt")
        ->check(not_empty);
    app.add_option("--begin", begin_,
                   "with --source: what every written line begins with, the language of a translation say; "
                   "--begin fra_Latn")
        ->check(not_empty);
    app.add_option("--context", context_,
                   "tokens of a chunk, of which the second half is scored; --context 512")
        ->check(above_zero);
    app.add_option("--chunks", chunks_, "the first so many chunks, or lines, 0: all; --chunks 20")
        ->check(at_least_zero);
    app.add_flag("--json", json_, "print JSON; --json | jq .perplexity");
  }

  int run() override {
    catch_signals();
    const auto path = find_model(model_.model);
    const bool pair = is_encoder_decoder(path);
    GW_CHECK(
        !pair || !source_.empty(),
        "perplexity: expected --source with the text that {} is about, line by line, for a model that reads "
        "one text and writes another, got none",
        text_);
    GW_CHECK(
        pair || (source_.empty() && begin_.empty()),
        "perplexity: expected no --source and no --begin for a model that goes on with a text, got some");
    pair ? score_lines(path) : score_chunks();
    return 0;
  }

 private:
  void score_chunks() {
    auto loaded = load_model(model_);
    auto ids = loaded.text.tokenizer.encode(read_file(text_, kLongestText), false);
    const auto with = loaded.text.tokenizer.encode("");
    const int32_t bos = with.empty() ? -1 : with.front();
    if (bos >= 0) ids.insert(ids.begin(), bos);  // where llama.cpp cuts
    if (chunks_ > 0) ids.resize(std::min(ids.size(), static_cast<size_t>(chunks_ * context_)));
    const auto result = perplexity(*loaded.model.decoder, ids, context_, bos, ticking("chunks"));
    print(result, "chunks", fmt::format("chunks of {}", context_));
  }

  void score_lines(const std::string& path) {
    const auto sources = lines_of(source_), texts = lines_of(text_);
    GW_CHECK(sources.size() == texts.size(),
             "perplexity: expected as many lines in {} as in {} ({}), got {}; line by line, one is about the "
             "other",
             text_, source_, sources.size(), texts.size());
    auto loaded = load_pair(model_, path);
    const auto& tokens = loaded.text.tokenizer;
    std::vector<TextPair> pairs;
    for (size_t i = 0; i < texts.size(); ++i) {
      if (chunks_ > 0 && static_cast<int64_t>(pairs.size()) == chunks_) break;
      GW_CHECK(texts[i].empty() == sources[i].empty(),
               "perplexity: expected a text on line {} of both files or of neither, got an empty one in {}",
               i + 1, texts[i].empty() ? text_ : source_);
      if (texts[i].empty()) continue;
      pairs.push_back({tokens.encode(sources[i]), tokens.encode(texts[i], false)});
      if (!loaded.text.ends.empty()) pairs.back().text.push_back(loaded.text.ends.front());
    }
    const auto begin = begin_.empty() ? std::vector<int32_t>{} : tokens.encode(begin_, false);
    print(perplexity(*loaded.model.network, pairs, begin, ticking("lines")), "lines", "lines");
  }

  Tick ticking(const std::string& unit) {
    return [this, unit](int64_t done, int64_t total) {
      if (stop_requested().load()) throw Interrupted("interrupted; nothing was written");
      auto options = progress_for(stderr, steady_now_s);
      options.label = "perplexity", options.unit = unit;
      if (!progress_) progress_.emplace(total, options);
      progress_->update(done);
    };
  }

  void print(const Perplexity& result, const std::string& unit, const std::string& what) {
    progress_.reset();
    if (!json_) {
      fmt::print("perplexity {:.4f} ± {:.4f} ({} tokens scored, {} {})\n", result.value, result.deviation,
                 result.scored, result.chunks, what);
      return;
    }
    Json all{{"perplexity", result.value},
             {"standard_error", result.deviation},
             {"scored_tokens", result.scored},
             {unit, result.chunks}};
    if (source_.empty()) all["context"] = context_;
    fmt::print("{}\n", dump_json(all));
  }

  ModelFlags model_;
  std::string text_, source_, begin_;
  int64_t context_ = 512, chunks_ = 0;
  bool json_ = false;
  std::optional<Progress> progress_;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::PerplexityCommand);
