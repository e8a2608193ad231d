#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/registry.h"
#include "gatewright/train/task.h"

namespace gw::inline train {
namespace {

/// What follows each token, given it and those before.
/// Math:   cross-entropy in nats, mean over the tokens that one follows; in bits it is what a coder would
/// need per token
///         (per byte of bytes).
class NextToken : public Task {
 public:
  static constexpr const char* kSummary =
      "predict the token that follows each token: bits per token, accuracy";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {};

  NextToken(const Options&, const Context&) {}

  std::vector<std::string> fields() const override { return {"token", "target"}; }
  AnswerSpec answer(const DataSpec& data) const override { return {data.vocabulary, true}; }

  at::Tensor loss(const Output& output, const Batch& batch) const override {
    const auto& answer = output.answer;
    return at::cross_entropy_loss(answer.reshape({-1, answer.size(-1)}), batch.at("target").reshape({-1}));
  }

  std::map<std::string, double> measure(const Output& output, const Batch& batch,
                                        double loss) const override {
    constexpr double kNatsInABit = 0.6931471805599453;
    const auto& target = batch.at("target");
    const auto right = output.answer.detach().argmax(-1).eq(target).sum(), asked = target.ne(kNoTarget).sum();
    return {{"bits_per_token", loss / kNatsInABit},
            {"accuracy", right.item<double>() / std::max(asked.item<double>(), 1.0)}};
  }

  std::vector<std::string> measures() const override { return {"bits_per_token", "accuracy"}; }
  std::string best_by() const override { return "bits_per_token"; }
  bool more_is_better() const override { return false; }
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Task, gw::NextToken);
