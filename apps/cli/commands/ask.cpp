#include <fmt/format.h>

#include <iostream>

#include "apps/cli/command.h"
#include "apps/cli/signals.h"
#include "gatewright/base/check.h"
#include "gatewright/base/shown.h"
#include "gatewright/runs/team.h"

namespace gw {
namespace {

/// Answers of a composed team.
class AskCommand : public Command {
 public:
  using Command::Command;
  static constexpr const char* kSummary =
      "Ask a team of `gatewright compose`: questions of the command line, or of standard input line by line.";

  const char* example() const override { return "gatewright ask team.json \"what is 17 * 3?\""; }

  void declare(CLI::App& app) override {
    app.add_option("team", team_, "file of `gatewright compose`: it names programs, which are started")
        ->required();
    app.add_option("question", questions_, "questions; without any, lines of standard input");
    app.add_flag("--json", json_, "a line of JSON for each answer: who answered, the price, what failed");
  }

  int run() override {
    catch_signals();
    const auto team = read_team(team_);
    AskedTeam asked(team);
    for (const auto& question : questions_) tell(team, asked, question);
    std::string line;
    while (questions_.empty() && !stop_requested().load() && std::getline(std::cin, line)) {
      GW_CHECK(line.size() <= kLongestQuestion, "ask: expected lines of at most {} bytes, got {}",
               kLongestQuestion, line.size());
      if (!line.empty()) tell(team, asked, line);
    }
    const auto& ledger = asked.composition().ledger();
    if (!json_)
      fmt::print(stderr, "{} questions, mean price {:.4g} of {:g}\n", ledger.questions(), ledger.mean(),
                 team.options.budget);
    return unanswered_ == 0 ? 0 : 1;
  }

 private:
  void tell(const Team& team, AskedTeam& asked, const std::string& question) {
    GW_CHECK(invalid_utf8(question) == std::string::npos, "ask: expected a question in UTF-8, got \"{}\"",
             shown(question, 80));
    const auto reply = asked.ask(question);
    unanswered_ += reply.answered ? 0 : 1;
    if (json_) {
      const auto row = static_cast<size_t>(reply.row);
      Json line{{"answer", reply.answer},
                {"expert", reply.expert},
                {"category", row < team.categories.size() ? Json(team.categories[row]) : Json()},
                {"price", reply.price}};
      if (!reply.failures.empty()) line["failures"] = reply.failures;
      fmt::print("{}\n", dump_json(line));
    } else {
      for (const auto& failure : reply.failures) fmt::print(stderr, "{}\n", shown(failure));
      fmt::print("{}\n", reply.answered ? shown(answer_text(reply.answer)) : "(no answer)");
    }
    std::fflush(stdout);
  }

  std::string team_;
  std::vector<std::string> questions_;
  int64_t unanswered_ = 0;
  bool json_ = false;
};

}  // namespace
}  // namespace gw

GW_REGISTER(gw::Command, AskCommand);
