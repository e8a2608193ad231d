// A stream of two classes whose concept turns at known rows, with a bias towards one of two groups.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/ops/random.h"

namespace {

/// Row t: s ~ Bernoulli(1/2), x ~ N(0, I) with x_0 += shift · (s − 1/2);
///        y = 1 where (cos θ_t · w + sin θ_t · v) · x + bias_t · (s − 1/2) + noise · N(0, 1) > 0,
/// w and v orthonormal and the same for every seed. θ grows by `turns` at each row of `drifts`, and bias
/// changes its sign there if `flip`. Fields: "x" [n, inputs], "label", "group" = s, "domain" = drifts so far,
/// "time" = t. The test rows are of the last concept.
class DriftStream : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    int64_t inputs = 6, rows = 20000, test = 1000, seed = 0;
    double angle = 0, bias = 0.5, shift = 1, noise = 0.3;
    bool flip = false;
    std::vector<double> drifts, turns{60};
    void fields(gw::OptionVisitor& v) override {
      v.integer("inputs", inputs, "values of a row", 2, 4096);
      v.integer("rows", rows, "of the stream", 2, 10000000);
      v.integer("test", test, "rows of the last concept that are no part of the stream", 1, 10000000);
      v.integer("seed", seed, "of the rows; the concept is the same for all", 0, INT64_MAX);
      v.real("angle", angle, "of the first concept, in degrees", -360, 360);
      v.reals("drifts", drifts, "rows at which the concept turns, ascending; empty: it never does", 1, 1e7);
      v.reals("turns", turns, "by how many degrees; one number: every time the same", -360, 360);
      v.real("bias", bias, "what belonging to group 1 adds to the score", -100, 100);
      v.real("shift", shift, "by how much the first input of the groups differs", -100, 100);
      v.real("noise", noise, "deviation of the noise on the score", 0, 100);
      v.flag("flip", flip, "the bias changes its sign with every turn");
    }
  };
  static constexpr const char* kSummary =
      "made: a stream of two classes whose concept turns at known rows, with a bias";
  static constexpr const char* kSource = "";

  DriftStream(Options options, const Context&) : o_(std::move(options)) {
    for (size_t i = 0; i < o_.drifts.size(); ++i)
      GW_CHECK(o_.drifts[i] < static_cast<double>(o_.rows) && (i == 0 || o_.drifts[i] > o_.drifts[i - 1]),
               "datasets/drift_stream: expected \"drifts\" that ascend and lie below {} rows, got {:g} at "
               "place {}",
               o_.rows, o_.drifts[i], i);
    GW_CHECK(o_.turns.size() == 1 || o_.turns.size() == o_.drifts.size(),
             "datasets/drift_stream: expected one turn, or one for each of {} drifts, got {}",
             o_.drifts.size(), o_.turns.size());
  }

  gw::TaskData load() override {
    const gw::Rng rng = gw::Rng(static_cast<uint64_t>(o_.seed)).fork("datasets/drift_stream");
    std::vector<int64_t> domain(static_cast<size_t>(o_.rows), 0);
    for (const double row : o_.drifts) {
      for (auto i = static_cast<size_t>(row); i < domain.size(); ++i) ++domain[i];
    }
    gw::TaskData data;
    data.train = drawn(rng.fork("stream"), at::tensor(domain, at::kLong));
    data.test = drawn(rng.fork("test"), at::full({o_.test}, domain.back(), at::kLong));
    data.classes = 2, data.class_names = {"no", "yes"};
    for (int64_t d = 0; d <= domain.back(); ++d) data.domain_names.push_back("concept " + std::to_string(d));
    for (int64_t i = 0; i < o_.inputs; ++i) data.numeric.push_back(i);
    data.origin = "generated";
    return data;
  }

  std::string missing() override { return ""; }

 private:
  gw::TensorSet drawn(const gw::Rng& rng, const at::Tensor& domain) const {
    const int64_t n = domain.numel();
    auto x = gw::ops::normal(rng.fork("x"), {n, o_.inputs}, 0, 1);
    const auto group = gw::ops::uniform(rng.fork("group"), {n}, 0, 1).lt(0.5).to(at::kLong);
    const auto side = group.to(at::kFloat) - 0.5;
    x.select(1, 0) += side * o_.shift;
    const auto noise = gw::ops::normal(rng.fork("noise"), {n}, 0, 1) * o_.noise;
    auto score = noise + side * o_.bias * sign(domain);
    score = score + (x * directions(domain)).sum(1);
    return {{{"x", x},
             {"label", score.gt(0).to(at::kLong)},
             {"group", group},
             {"domain", domain},
             {"time", at::arange(n, at::kDouble)}}};
  }

  at::Tensor sign(const at::Tensor& domain) const {
    return o_.flip ? 1 - 2 * domain.remainder(2).to(at::kFloat) : at::ones({domain.numel()});
  }

  /// Of each row's concept, [n, inputs].
  at::Tensor directions(const at::Tensor& domain) const {
    auto w = at::ones({o_.inputs}), v = 1 - 2 * at::arange(o_.inputs, at::kFloat).remainder(2);
    w = w / w.norm();
    v = v - w * (v * w).sum();
    v = v / v.norm();
    std::vector<at::Tensor> all;
    double degrees = o_.angle;
    for (size_t d = 0; d <= o_.drifts.size(); ++d) {
      if (d > 0) degrees += o_.turns[std::min(d - 1, o_.turns.size() - 1)];
      const double angle = degrees * std::acos(-1.0) / 180;
      all.push_back(w * std::cos(angle) + v * std::sin(angle));
    }
    return at::stack(all).index_select(0, domain);
  }

  Options o_;
};

}  // namespace

GW_REGISTER(gw::Dataset, DriftStream);
