// Activations by name: what their text may say, value by value as an op, and inside the fused experts.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "gatewright/base/error.h"
#include "gatewright/base/registry.h"
#include "gatewright/ops/activation.h"
#include "gatewright/ops/moe_ffn.h"
#include "gatewright/ops/quantised.h"
#include "gatewright/ops/random.h"
#include "tests/support/gradcheck.h"

namespace {

using gw::ops::ActivationFunction;
using gw::ops::FfnWeights;

ActivationFunction named(const std::string& text) { return ActivationFunction("test", text); }

at::Tensor normal(uint64_t seed, std::vector<int64_t> shape, double deviation = 1) {
  return gw::ops::normal(gw::Rng(seed), std::move(shape), 0, deviation).to(at::kDouble);
}

std::string refusal(const std::string& text) {
  try {
    named(text);
  } catch (const gw::ValueError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ActivationFunction, ReadsNamesAliasesAndParameters) {
  EXPECT_EQ(named("gelu_new").name(), "gelu_tanh");
  EXPECT_EQ(named("none").name(), "identity");
  EXPECT_EQ(named(" golu ( gamma = 2 , beta=0.5 ) ").text(), "golu(beta=0.5,gamma=2)");
  EXPECT_EQ(named(named("golu(gamma=2)").text()), named("golu(gamma=2)"));
  EXPECT_EQ(named("golu(alpha=1)").text(), "golu");
  EXPECT_FALSE(named("golu(gamma=2)") == named("golu"));
  EXPECT_DOUBLE_EQ(named("leaky_relu(slope=0.2)").value(-1), -0.2);
}

TEST(ActivationFunction, RefusesWithTheNearMissAndNeverTakesTheIdentity) {
  EXPECT_EQ(refusal("silo"), "test: unknown activation \"silo\"; did you mean \"silu\"?");
  EXPECT_NE(refusal("").find("unknown activation \"\""), std::string::npos);
  EXPECT_NE(refusal("golu(gama=2)").find("has no parameter \"gama\"; did you mean \"gamma\"?"),
            std::string::npos);
  EXPECT_NE(refusal("relu(slope=1)").find("it has none"), std::string::npos);
  for (const char* text : {"golu(gamma=-1)", "golu(gamma=)", "golu(gamma=two)", "golu(gamma=nan)",
                           "golu(gamma=1e9)", "golu(gamma=2", "golu()x", "golu(gamma=2)x"})
    EXPECT_NE(refusal(text), "accepted") << text;
}

TEST(ActivationFunction, IsListedWithItsParameters) {
  const auto parts = gw::Registry::instance().list("activations");
  EXPECT_EQ(parts.size(), gw::ops::activation_names().size());
  for (const auto& part : parts) {
    const auto f = named(part.name);
    EXPECT_EQ(part.options.size(), f.parameters().size()) << part.name;
    EXPECT_FALSE(part.summary.empty());
    EXPECT_EQ(part.file.find("gatewright/kernels/activations/"), 0u) << part.file;
    for (const auto& [note, text] : gw::ops::activation_notes(part.name))
      EXPECT_TRUE(note == "aliases" || !text.empty()) << part.name << " " << note;
  }
}

// Closed forms of the four that fitted mixtures have always had, differences for the others.
TEST(ActivationFunction, BendsAreSecondDerivatives) {
  for (const auto& name : gw::ops::activation_names()) {
    const auto f = named(name);
    if (!f.kinks().empty() || f.straight_through() || name == "sine") continue;
    for (const double x : {-2.3, -0.7, 0.4, 1.9}) {
      const double h = 1e-4, want = (f.slope(x + h) - f.slope(x - h)) / (2 * h);
      EXPECT_NEAR(f.bend(x), want, 1e-5 * std::max(1.0, std::abs(want))) << name << " at " << x;
    }
  }
}

/// Points away from every kink that a parameter of [0, 6] leaves.
at::Tensor points() {
  return at::tensor({-4.1, -2.3, -1.4, -0.77, -0.21, 0.13, 0.41, 0.93, 1.7, 2.6, 4.2}, at::kDouble);
}

TEST(Activation, GradientsMatchFiniteDifferences) {
  for (const auto& name : gw::ops::activation_names()) {
    const auto f = named(name);
    if (f.straight_through()) continue;  // the difference of helu is not its slope
    // At a = 1 and at b = a a parameter of the Mittag-Leffler units is reflected: kinks.
    const auto shift = at::arange(static_cast<int64_t>(f.parameters().size()), at::kDouble) * 0.3 - 0.2;
    const auto start = at::tensor(f.parameters(), at::kDouble);
    const auto parameters = name.find("mittag") == 0 ? start + shift : start;
    const auto in =
        f.learned() ? std::vector<at::Tensor>{points(), parameters} : std::vector<at::Tensor>{points()};
    const auto run = [&](const std::vector<at::Tensor>& at) {
      return std::vector<at::Tensor>{gw::ops::activation(at[0], f, at.size() > 1 ? at[1] : at::Tensor())};
    };
    EXPECT_LT(gw::test::gradient_error(run, in), name == "sine" ? 1e-5 : 1e-8) << name;
  }
}

TEST(Activation, AgreesOverDtypesLayoutsAndThreads) {
  const auto x = normal(1, {37, 300}, 2);
  for (const auto& name : gw::ops::activation_names()) {
    const auto f = named(name);
    const auto want = gw::ops::activation(x, f);
    const auto scale = want.abs().max().item<double>();
    const auto single = gw::ops::activation(x.to(at::kFloat), f);
    EXPECT_LT((single.to(at::kDouble) - want).abs().max().item<double>(), 3e-5 * std::max(1.0, scale))
        << name;
    const auto half = gw::ops::activation(x.to(at::kBFloat16), f);
    EXPECT_EQ(half.scalar_type(), at::kBFloat16);
    const auto exact = gw::ops::activation(x.to(at::kBFloat16).to(at::kFloat), f).to(at::kBFloat16);
    EXPECT_LE((half.to(at::kFloat) - exact.to(at::kFloat)).abs().max().item<double>(),
              0.02 * std::max(1.0, scale))
        << name;
    EXPECT_TRUE(gw::ops::activation(x.t(), f).equal(want.t())) << name;
  }
  EXPECT_EQ(gw::ops::activation(at::empty({0, 3}), named("golu")).numel(), 0);
}

TEST(Activation, RefusesWhatItCannotMean) {
  const auto x = at::ones({3});
  EXPECT_THROW(gw::ops::activation(x.to(at::kLong), named("golu")), gw::ValueError);
  EXPECT_THROW(gw::ops::activation(x, named("golu"), at::ones({3})), gw::ValueError);  // not learned
  EXPECT_THROW(gw::ops::activation(x, named("xatlu"), at::ones({2})), gw::ValueError);
  EXPECT_THROW(gw::ops::activation({}, named("golu")), gw::ValueError);
  auto leaf = at::ones({3}).requires_grad_(true);
  const auto y = gw::ops::activation(leaf, named("golu")).sum();
  EXPECT_THROW(torch::autograd::grad({y}, {leaf}, {}, true, true), gw::ValueError);
}

/// Nine tokens to two of four experts each, one expert without rows; 70 hidden values: a whole stretch and a
/// tail.
struct Layer {
  std::vector<int64_t> offsets{0, 5, 9, 9, 18};
  at::Tensor token =
      at::tensor(std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8}, at::kLong);
  at::Tensor x = normal(1, {9, 5}), weight = normal(2, {18});
  at::Tensor gate = normal(3, {4, 70, 5}, 0.6), up = normal(4, {4, 70, 5}, 0.6),
             down = normal(5, {4, 6, 70}, 0.2);

  at::Tensor run(const std::string& text, bool glu, const std::vector<at::Tensor>& in, double limit = 0,
                 bool recompute = false) const {
    FfnWeights w{glu ? in[2] : at::Tensor(), in[3], in[4], {}, {}, {}};
    if (in.size() > 5) w.activation = in[5];
    return gw::ops::moe_ffn(in[0], token, offsets, in[1], w, {text, recompute, limit, limit > 0 ? 1.0 : 0.0});
  }
  std::vector<at::Tensor> inputs(const ActivationFunction& f) const {
    std::vector<at::Tensor> in{x, weight, gate, up, down};
    if (f.learned()) {
      const auto at = at::tensor(f.parameters(), at::kDouble);
      in.push_back(at.repeat({4, 1}) + 0.03 * at::arange(4, at::kDouble).unsqueeze(1));
      if (f.name().find("mittag") == 0) in.back() = in.back() * 0.8;
    }
    return in;
  }
  /// The same by single operations.
  at::Tensor written_out(const ActivationFunction& f, bool glu, const std::vector<at::Tensor>& in,
                         double limit = 0) const {
    auto y = at::zeros({9, 6}, in[0].options());
    for (int64_t e = 0; e < 4; ++e) {
      const auto begin = offsets[static_cast<size_t>(e)], count = offsets[static_cast<size_t>(e) + 1] - begin;
      const auto ids = token.narrow(0, begin, count), rows = in[0].index_select(0, ids);
      auto u = at::matmul(rows, in[3][e].t()), g = at::matmul(rows, in[2][e].t());
      if (limit > 0) g = g.clamp_max(limit), u = u.clamp(-limit, limit) + 1;
      const auto p = in.size() > 5 ? in[5][e] : at::Tensor();
      const auto h = glu ? gw::ops::activation(g, f, p) * u : gw::ops::activation(u, f, p);
      y = y.index_add(0, ids, at::matmul(h, in[4][e].t()) * in[1].narrow(0, begin, count).unsqueeze(1));
    }
    return y;
  }
};

// Forward and backward of the fused kernel beside single operations, for every activation, with and without a
// gate, with bounds, and when hidden values are computed again.
TEST(FusedActivation, EqualsSingleOperationsInEveryForm) {
  const Layer l;
  const auto dy = normal(9, {9, 6});
  for (const auto& name : gw::ops::activation_names()) {
    const auto f = named(name);
    for (const int form : {0, 1, 2, 3}) {
      const bool glu = form > 0;
      const double limit = form == 2 ? 1.1 : 0;
      std::vector<at::Tensor> mine, theirs;
      for (const auto& t : l.inputs(f)) {
        mine.push_back(t.clone().requires_grad_(true)), theirs.push_back(t.clone().requires_grad_(true));
      }
      const auto y = l.run(name, glu, mine, limit, form == 3), want = l.written_out(f, glu, theirs, limit);
      EXPECT_LT((y - want).abs().max().item<double>(), 1e-12 * std::max(1.0, want.abs().max().item<double>()))
          << name << form;
      (y * dy).sum().backward(), (want * dy).sum().backward();
      for (size_t i = 0; i < mine.size(); ++i) {
        if (!glu && i == 2) continue;
        const auto got = mine[i].grad(), w = theirs[i].grad();
        EXPECT_LT((got - w).abs().max().item<double>(), 1e-11 * std::max(1.0, w.abs().max().item<double>()))
            << name << " input " << i << " form " << form;
        if (i == 5) {
          EXPECT_GT(w.abs().max().item<double>(), 1e-3) << name << ": nothing is learned here";
        }
      }
    }
  }
}

TEST(FusedActivation, HoldsInSingleAndHalfPrecision) {
  const Layer l;
  const auto dy = normal(9, {9, 6});
  for (const auto& [type, tolerance] :
       std::vector<std::pair<at::ScalarType, double>>{{at::kFloat, 1e-5}, {at::kBFloat16, 0.06}}) {
    for (const auto& name : gw::ops::activation_names()) {
      if (name == "sine") continue;  // 30·x: rounding the products turns the angle
      const auto f = named(name);
      for (const bool glu : {false, true}) {
        std::vector<at::Tensor> mine, theirs;
        for (const auto& t : l.inputs(f)) {
          mine.push_back(t.to(type).requires_grad_(true));
          theirs.push_back(mine.back().detach().to(at::kDouble).requires_grad_(true));
        }
        const auto y = l.run(name, glu, mine), want = l.written_out(f, glu, theirs);
        EXPECT_LT((y - want).abs().max().item<double>(),
                  tolerance * std::max(0.3, want.abs().max().item<double>()))
            << name << type;
        (y * dy).sum().backward(), (want * dy).sum().backward();
        for (size_t i = 0; i < mine.size(); ++i) {
          if (!glu && i == 2) continue;
          EXPECT_TRUE(at::isfinite(mine[i].grad()).all().item<bool>());
          // One value that rounding takes over a kink changes a gradient of this small layer by more than a
          // tenth: means are compared.
          const auto error = (mine[i].grad().to(at::kDouble) - theirs[i].grad()).abs().mean().item<double>();
          EXPECT_LT(error, tolerance * std::max(0.1, theirs[i].grad().abs().mean().item<double>()))
              << name << " input " << i << type << glu;
        }
      }
    }
  }
}

TEST(FusedActivation, HasTheBitsOfAnyNumberOfThreads) {
  const Layer l;
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    std::vector<at::Tensor> in;
    for (const auto& t : l.inputs(named("acon_c"))) in.push_back(t.to(at::kFloat).requires_grad_(true));
    const auto y = l.run("acon_c", true, in);
    y.square().sum().backward();
    return std::vector<at::Tensor>{y.detach(), in[5].grad(), in[3].grad()};
  };
  const int before = at::get_num_threads();
  const auto one = run(1), many = run(4);
  at::set_num_threads(before);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(one[i].equal(many[i])) << i;
}

TEST(FusedActivation, RefusesParametersThatAreNotOneSetPerExpert) {
  const Layer l;
  auto in = l.inputs(named("xatlu"));
  in[5] = at::zeros({3, 1}, at::kDouble);
  EXPECT_THROW(l.run("xatlu", false, in), gw::ValueError);
  in[5] = at::zeros({4, 1}, at::kDouble);
  EXPECT_THROW(l.run("golu", false, in), gw::ValueError);
  EXPECT_THROW(l.run("relu", false, in), gw::ValueError);
  FfnWeights w{{}, l.up, l.down, {}, {}, {}};
  w.activation = in[5];
  EXPECT_THROW(gw::ops::quantise_ffn(w, 8, 0), gw::ValueError);
}

TEST(FusedActivation, WorksOnQuantisedWeights) {
  const Layer l;
  const FfnWeights w{l.gate, l.up, l.down, {}, {}, {}};
  const auto q = gw::ops::quantise_ffn(w, 8, 0);
  for (const char* name : {"golu(gamma=2)", "xatlu(alpha=0.4)", "softplus", "mittag_leffler(a=0.7)"}) {
    const auto want = gw::ops::moe_ffn(l.x, l.token, l.offsets, l.weight, w, {name});
    const auto got = gw::ops::moe_ffn_quantised(l.x.to(at::kFloat), l.token, l.offsets, l.weight, q, {name});
    EXPECT_LT((got - want).abs().max().item<double>(), 0.02 * want.abs().max().item<double>()) << name;
  }
}

}  // namespace
