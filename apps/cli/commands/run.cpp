#include <iostream>
#include <iterator>

#include "apps/cli/command.h"
#include "apps/cli/generation_flags.h"
#include "gatewright/base/check.h"

namespace gw {
namespace {

/// Lets a language model go on with a text.
class RunCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Let a language model go on with a text: Hugging Face folders and GGUF files.";

  const char* example() const override {
    return "gatewright run olmoe \"The capital of France is\" --tokens 20";
  }

  void declare(CLI::App& app) override {
    model_.declare(app);
    app.add_option("prompt", prompt_, "the text; -: what standard input holds: \"Once upon a time\"")
        ->required();
    generation_.declare(app);
  }

  int run() override {
    auto loaded = load_model(model_);
    if (prompt_ == "-") prompt_.assign(std::istreambuf_iterator<char>(std::cin), {});
    const auto ids = loaded.text.tokenizer.encode(prompt_);
    GW_CHECK(!ids.empty(), "run: expected a prompt of at least one token, got an empty text");
    stream_answer(loaded, ids, generation_, nullptr);
    return 0;
  }

 private:
  ModelFlags model_;
  GenerationFlags generation_;
  std::string prompt_;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::RunCommand);
