// Rows of numbers with a response by a rule that is written down: regression whose truth is known.
#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/ops/random.h"

namespace {

/// Math:   pieces:   x ~ N(0, I), y = sin(3 x1) + |x2| x3 + 0.5 [x4 > 0] x5 + noise·N(0, 1);
///         friedman: x ~ U(0, 1)^D, y = 10 sin(π x1 x2) + 20 (x3 − ½)² + 10 x4 + 5 x5 + 10·noise·N(0, 1).
/// Fields: "x" [n, inputs] with mean 0 and deviation 1 over the training rows, "y" [n] likewise
///         (TaskData::y_scale undoes it).
/// Source: Friedman 1991, "Multivariate adaptive regression splines"; pieces is ours.
class RuleTable : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::string rule = "pieces";
    int64_t inputs = 8, train = 6400, test = 1600, seed = 0;
    double noise = 0.1;
    void fields(gw::OptionVisitor& v) override {
      v.text("rule", rule, "the response: pieces (a sine, a kink, a step) or Friedman's first",
             {"pieces", "friedman"});
      v.integer("inputs", inputs, "numbers of a row, of which five count", 5, 4096);
      v.integer("train", train, "training rows", 10, 10000000);
      v.integer("test", test, "test rows", 10, 10000000);
      v.integer("seed", seed, "of the rows", 0, INT64_MAX);
      v.real("noise", noise, "deviation of the noise, in tenths of friedman's", 0, 100);
    }
  };
  static constexpr const char* kSummary = "made: rows of numbers, a response by a known rule";
  static constexpr const char* kSource = "Friedman 1991";

  RuleTable(Options options, const Context&) : o_(std::move(options)) {}

  gw::TaskData load() override {
    const auto rng = gw::Rng(static_cast<uint64_t>(o_.seed)).fork("datasets/rule_table");
    const int64_t n = o_.train + o_.test;
    const bool friedman = o_.rule == "friedman";
    const auto x = (friedman ? gw::ops::uniform(rng.fork("x"), {n, o_.inputs}, 0, 1)
                             : gw::ops::normal(rng.fork("x"), {n, o_.inputs}, 0, 1))
                       .to(at::kDouble);
    const auto noise = gw::ops::normal(rng.fork("noise"), {n}, 0, 1).to(at::kDouble) * o_.noise;
    const auto y = friedman ? friedman_rule(x) + noise * 10 : pieces_rule(x) + noise;
    const auto train = at::arange(o_.train, at::kLong);
    gw::TaskData data;
    const auto scale = y.index_select(0, train).std(false);
    data.y_scale = scale.item<double>();
    const auto seen = x.index_select(0, train);
    gw::TensorSet all{{{"x", ((x - seen.mean(0)) / seen.std(0, false)).to(at::kFloat)},
                       {"y", ((y - y.index_select(0, train).mean()) / scale).to(at::kFloat)}}};
    data.train = all.rows(train), data.test = all.rows(at::arange(o_.train, n, at::kLong));
    for (int64_t c = 0; c < o_.inputs; ++c) {
      data.numeric.push_back(c);
      data.fields.push_back({"x" + std::to_string(c + 1), c, 1, true});
    }
    data.known_pairs = friedman ? std::vector<std::pair<int64_t, int64_t>>{{0, 1}}
                                : std::vector<std::pair<int64_t, int64_t>>{{1, 2}, {3, 4}};
    data.origin = "generated";
    return data;
  }

  std::string missing() override { return ""; }

 private:
  static at::Tensor pieces_rule(const at::Tensor& x) {
    const auto c = [&](int64_t i) { return x.select(1, i - 1); };
    return at::sin(c(1) * 3) + c(2).abs() * c(3) + c(4).gt(0).to(at::kDouble) * c(5) * 0.5;
  }
  static at::Tensor friedman_rule(const at::Tensor& x) {
    constexpr double kPi = 3.14159265358979323846;
    const auto c = [&](int64_t i) { return x.select(1, i - 1); };
    return at::sin(c(1) * c(2) * kPi) * 10 + (c(3) - 0.5).square() * 20 + c(4) * 10 + c(5) * 5;
  }

  Options o_;
};

}  // namespace

GW_REGISTER(gw::Dataset, RuleTable);
