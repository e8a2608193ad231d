#include <iostream>
#include <iterator>

#include "apps/cli/clocks.h"
#include "apps/cli/command.h"
#include "apps/cli/generation_flags.h"
#include "apps/cli/signals.h"
#include "gatewright/base/check.h"

namespace gw {
namespace {

/// Lets a language model go on with a text, or write one about it.
class RunCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Let a language model go on with a text, or write one about it: Hugging Face folders and GGUF files.";

  const char* example() const override {
    return "gatewright run olmoe \"The capital of France is\" --tokens 20";
  }

  void declare(CLI::App& app) override {
    model_.declare(app);
    app.add_option("prompt", prompt_, "the text; -: what standard input holds: \"Once upon a time\"")
        ->required();
    app.add_option("--begin", begin_,
                   "what the text of a model with an encoder begins with, the language of a translation say; "
                   "--begin fra_Latn");
    generation_.declare(app);
  }

  int run() override {
    if (const auto path = find_model(model_.model); is_encoder_decoder(path)) {
      GW_CHECK(
          generation_.cache_block == 0,
          "run: expected --cache-block for a model that goes on with the prompt, got one with an encoder; "
          "leave it out");
      auto loaded = load_pair(model_, path);
      const auto source = read(loaded.text);
      if (!begin_.empty()) generation_.options.begin = loaded.text.tokenizer.encode(begin_, false);
      stream_tokens(loaded.text, generation_, [&](const auto& options, const auto& next) {
        return generate(*loaded.model.network, source, options, next, steady_now_s, &stop_requested());
      });
      return 0;
    }
    GW_CHECK(begin_.empty(),
             "run: expected --begin for a model with an encoder alone, got one that goes on with the prompt");
    auto loaded = load_model(model_);
    stream_answer(loaded, read(loaded.text), generation_, nullptr);
    return 0;
  }

 private:
  std::vector<int32_t> read(const ModelTokenizer& text) {
    if (prompt_ == "-") prompt_.assign(std::istreambuf_iterator<char>(std::cin), {});
    auto ids = text.tokenizer.encode(prompt_);
    GW_CHECK(!ids.empty(), "run: expected a prompt of at least one token, got an empty text");
    return ids;
  }

  ModelFlags model_;
  GenerationFlags generation_;
  std::string prompt_, begin_;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::RunCommand);
