#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <iostream>
#include <iterator>

#include "apps/cli/command.h"
#include "apps/cli/generation_flags.h"
#include "apps/cli/signals.h"
#include "gatewright/base/check.h"
#include "gatewright/text/template/chat_template.h"

namespace gw {
namespace {

/// A conversation with a language model, in the form that its chat template writes.
class ChatCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Talk with a language model: a question and its answer, or line by line.";

  const char* example() const override {
    return "gatewright chat smollm2 \"What is the capital of France?\"";
  }

  void declare(CLI::App& app) override {
    model_.declare(app);
    app.add_option(
        "message", message_,
        "one message, whose answer is printed; without it lines are read until the input ends; -: all of "
        "standard input is the message: \"Who are you?\"");
    app.add_option("--system", system_, "what the model is told first; --system \"Answer in one sentence.\"");
    generation_.declare(app);
  }

  int run() override {
    loaded_.emplace(load_model(model_));
    GW_CHECK(!loaded_->text.chat_template.empty(),
             "chat: expected a chat template in {}, got none; take gatewright run, which goes on with a text",
             loaded_->model.where);
    template_.emplace(loaded_->text.chat_template);
    if (!system_.empty()) add("system", system_);
    if (message_ == "-") message_.assign(std::istreambuf_iterator<char>(std::cin), {});
    if (!message_.empty()) {
      answer(message_);
      return 0;
    }
    talk();
    return 0;
  }

 private:
  void add(const char* role, const std::string& content) {
    messages_.push_back(Json{{"role", role}, {"content", content}});
  }

  void talk() {
    const bool asked = isatty(STDIN_FILENO) != 0;
    for (std::string line;;) {
      if (asked) fmt::print(stderr, "> ");
      if (!std::getline(std::cin, line)) return;
      if (!line.empty()) answer(line);
      if (stop_requested().load()) return;
    }
  }

  std::vector<int32_t> prompt() const {
    ChatInput input;
    input.messages = messages_;
    const auto& tokenizer = loaded_->text.tokenizer;
    if (const auto bos = tokenizer.bos()) input.bos_token = tokenizer.token(*bos);
    if (const auto eos = tokenizer.eos()) input.eos_token = tokenizer.token(*eos);
    const std::time_t now = std::time(nullptr);
    char date[32] = {};
    std::strftime(date, sizeof date, "%Y-%m-%d", std::localtime(&now));
    input.date = date;
    return tokenizer.encode(render_chat(*template_, input), /*add_special=*/false);
  }

  /// What the conversation and the text so far have in common is not read again.
  void answer(const std::string& message) {
    add("user", message);
    const auto ids = prompt();
    const auto same = static_cast<size_t>(
        std::mismatch(read_.begin(), read_.end(), ids.begin(), ids.end()).first - read_.begin());
    const size_t kept = std::min(same, ids.size() - 1);
    state_.truncate(static_cast<int64_t>(kept));
    const auto text =
        stream_answer(*loaded_, {ids.begin() + static_cast<int64_t>(kept), ids.end()}, generation_, &state_);
    read_ = ids;
    add("assistant", text);
  }

  ModelFlags model_;
  GenerationFlags generation_;
  std::string message_, system_;
  std::optional<LoadedModel> loaded_;
  std::optional<ChatTemplate> template_;
  Json messages_ = Json::array();
  DecoderState state_;
  std::vector<int32_t> read_;  ///< tokens of the last prompt, which the state begins with
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::ChatCommand);
