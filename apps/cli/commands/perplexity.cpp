#include <fmt/format.h>

#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/generation_flags.h"
#include "apps/cli/signals.h"
#include "gatewright/base/check.h"
#include "gatewright/base/file.h"
#include "gatewright/runs/progress.h"

namespace gw {
namespace {

/// How well a language model expects a text.
class PerplexityCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "How well a language model expects a text: the exponential of its mean loss.";

  const char* example() const override { return "gatewright perplexity olmoe text.txt --weights int8"; }

  void declare(CLI::App& app) override {
    model_.declare(app);
    app.add_option("text", text_, "file in UTF-8: text.txt")->required();
    app.add_option("--context", context_,
                   "tokens of a chunk, of which the second half is scored; --context 512")
        ->check(above_zero);
    app.add_option("--chunks", chunks_, "the first so many chunks, 0: all; --chunks 20")
        ->check(at_least_zero);
    app.add_flag("--json", json_, "print JSON; --json | jq .perplexity");
  }

  int run() override {
    catch_signals();
    auto loaded = load_model(model_);
    auto ids = loaded.text.tokenizer.encode(read_file(text_, uint64_t{1} << 30), false);
    if (chunks_ > 0) ids.resize(std::min(ids.size(), static_cast<size_t>(chunks_ * context_)));
    const auto with = loaded.text.tokenizer.encode("");
    const int32_t bos = with.empty() ? -1 : with.front();
    auto options = progress_for(stderr, steady_now_s);
    options.label = "perplexity", options.unit = "chunks";
    std::optional<Progress> progress;
    const auto result =
        perplexity(*loaded.model.decoder, ids, context_, bos, [&](int64_t done, int64_t total) {
          if (stop_requested().load()) throw Interrupted("interrupted; nothing was written");
          if (!progress) progress.emplace(total, options);
          progress->update(done);
        });
    if (json_)
      fmt::print("{}\n", dump_json({{"perplexity", result.value},
                                    {"standard_error", result.deviation},
                                    {"scored_tokens", result.scored},
                                    {"chunks", result.chunks},
                                    {"context", context_}}));
    else
      fmt::print("perplexity {:.4f} ± {:.4f} ({} tokens scored, {} chunks of {})\n", result.value,
                 result.deviation, result.scored, result.chunks, context_);
    return 0;
  }

 private:
  ModelFlags model_;
  std::string text_;
  int64_t context_ = 512, chunks_ = 0;
  bool json_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::PerplexityCommand);
