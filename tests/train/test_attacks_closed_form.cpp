// Attacks against victims whose worst perturbation is known.
#include <gtest/gtest.h>

#include "gatewright/base/registry.h"
#include "gatewright/train/robust/attack.h"
#include "gatewright/train/robust/attack_loop.h"
#include "tests/train/attack_victims.h"

namespace gw::test::attacks_closed_form_cases {

using gw::Json;

gw::AttackResult attack(const std::string& name, const Json& options, double epsilon, gw::Victim& victim,
                        const at::Tensor& x, const at::Tensor& y, const gw::Rng& rng = gw::Rng(1)) {
  return gw::make_part<gw::Attack>(name, options, {epsilon})->run(victim, x, y, rng);
}

/// The image of the ball and the box that maximises x · direction: each pixel goes to its own corner.
at::Tensor corner(const at::Tensor& x, const at::Tensor& direction, double epsilon) {
  return (x + epsilon * direction.sign().view(x.sizes())).clamp(0, 1);
}

/// [B]: the largest margin that any perturbation reaches on a linear victim (a maximum of linear functions:
/// one corner per class).
at::Tensor best_margin(LinearVictim& victim, const at::Tensor& x, const at::Tensor& y, double epsilon) {
  at::NoGradGuard no_graph;
  at::Tensor best = at::full({x.size(0)}, -gw::kInfinity);
  for (int64_t j = 0; j < victim.classes(); ++j) {
    const at::Tensor direction =
        victim.weight.select(1, j).unsqueeze(0) - victim.weight.t().index_select(0, y);
    const at::Tensor logits = victim.respond(corner(x, direction, epsilon)).logits;
    const at::Tensor margin = logits.select(1, j) - logits.gather(1, y.unsqueeze(1)).squeeze(1);
    best = at::maximum(best, margin.masked_fill(y == j, -gw::kInfinity));
  }
  return best;
}

double mean_loss(gw::Victim& victim, const at::Tensor& images, const at::Tensor& y) {
  at::NoGradGuard no_graph;
  return gw::cross_entropy(victim.respond(images).logits, y).mean().item<double>();
}

TEST(AttacksClosedForm, TwoClassesReachTheOptimum) {
  LinearVictim victim(2, 1);
  const at::Tensor x = some_images(32, 2),
                   y = answers(victim, x);  // pixels up to the edges: the box clips many steps
  const double epsilon = 0.1;
  const at::Tensor optimum = best_margin(victim, x, y, epsilon);
  const std::vector<std::pair<std::string, Json>> attacks = {
      {"fgsm", Json::object()},
      {"fgsm", {{"loss", "margin"}}},
      {"pgd", Json::object()},
      {"pgd", {{"loss", "margin"}, {"random_start", false}}},
      {"pgd", {{"restarts", 3}}},
      {"joint", {{"step_size", 0.025}}},
      {"apgd_ce", {{"steps", 20}}},
      {"per_pathway", Json::object()},
      {"ensemble", {{"attacks", {"apgd_ce"}}, {"options", Json::object()}}}};
  for (const auto& [name, options] : attacks) {
    const auto result = attack(name, options, epsilon, victim, x, y);
    EXPECT_LT((result.margin - optimum).abs().max().item<double>(), 1e-4) << name << options;
  }
}

// On four classes the exact answer is known as well: what can be fooled is fooled, and nothing else.
TEST(AttacksClosedForm, FourClassesAreFooledExactlyWhereTheyCanBe) {
  LinearVictim victim(4, 3);
  const at::Tensor x = some_images(64, 4), y = answers(victim, x);
  const double epsilon = 0.025;
  const at::Tensor optimum = best_margin(victim, x, y, epsilon), can = optimum > 1e-5,
                   cannot = optimum < -1e-5;
  ASSERT_GT(can.sum().item<int64_t>(), 8);
  ASSERT_GT(cannot.sum().item<int64_t>(), 8);
  for (const auto& info : gw::Registry::instance().list("attacks")) {
    if (info.name == "router") continue;
    Json options = Json::object();
    if (info.name == "square") options = {{"queries", 100}};
    if (info.name == "ensemble")
      options = {{"options", {{"apgd_dlr", {{"targets", 9}}}, {"square", {{"queries", 20}}}}}};
    const auto result = attack(info.name, options, epsilon, victim, x, y);
    EXPECT_FALSE((result.fooled & cannot).any().item<bool>()) << info.name;
    EXPECT_TRUE((result.margin <= optimum + 1e-4).all().item<bool>()) << info.name;
    EXPECT_TRUE(info.name != "ensemble" || (result.fooled | ~can).all().item<bool>());
  }
  const auto targeted = attack("apgd_dlr", {{"targets", 3}, {"steps", 30}}, epsilon, victim, x, y);
  EXPECT_TRUE((targeted.fooled | ~can).all().item<bool>());
}

// The wrong class that scores best cannot be reached, the second can: the first target fails, the second
// succeeds.
TEST(AttacksClosedForm, TargetsAreTriedInTurn) {
  const double epsilon = 0.1, reach = epsilon * kPixels;
  const at::Tensor direction = gw::ops::normal(gw::Rng(4), {kPixels}, 0, 1).sign(),
                   zero = at::zeros({kPixels});
  const at::Tensor x = at::full({3, kChannels, kHeight, kWidth}, 0.5), y = at::zeros({3}, at::kLong);
  const auto below =
      static_cast<float>(-0.5 * direction.sum().item<double>() - 0.5 * reach);  // clean margin −reach / 2
  LinearVictim victim(at::stack({zero, zero, direction, zero}, 1), at::tensor({0.f, -0.1f, below, -100.f}));
  const Json options = {{"steps", 10}, {"targets", 1}};
  EXPECT_FALSE(attack("apgd_dlr", options, epsilon, victim, x, y).fooled.any().item<bool>());
  const auto second = attack("apgd_dlr", {{"steps", 10}, {"targets", 2}}, epsilon, victim, x, y);
  EXPECT_TRUE(second.fooled.all().item<bool>());
  EXPECT_NEAR(second.margin.min().item<double>(), 0.5 * reach, 1e-4);
}

TEST(AttacksClosedForm, NoiseIsFarFromTheOptimum) {
  LinearVictim victim(2, 1);
  const at::Tensor x = some_images(64, 2, 0.2, 0.8), y = answers(victim, x);
  const at::Tensor clean = attack("noise", {}, 0, victim, x, y).margin,
                   optimum = best_margin(victim, x, y, 0.1);
  const auto share = [&](const Json& options) {
    return ((attack("noise", options, 0.1, victim, x, y).margin - clean) / (optimum - clean))
        .mean()
        .item<double>();
  };
  EXPECT_LT(std::abs(share({})), 0.05);
  EXPECT_GT(share({{"draws", 20}}), 0.1);
  EXPECT_LT(share({{"draws", 20}}), 0.4);
}

TEST(AttacksClosedForm, SquareComesNearWithoutGradients) {
  LinearVictim victim(2, 1);
  const at::Tensor x = some_images(16, 2), y = at::zeros({16}, at::kLong);
  {
    at::NoGradGuard no_graph;
    victim.bias[0] += 100;  // out of reach: the search must use all its queries
  }
  HookedVictim black_box(victim, [](const at::Tensor& images, gw::Victim::Response&) {
    if (at::GradMode::is_enabled() || images.requires_grad())
      throw std::logic_error("square asked for gradients");
  });
  const at::Tensor clean = attack("noise", {}, 0, victim, x, y).margin,
                   optimum = best_margin(victim, x, y, 0.1);
  const auto result = attack("square", {{"queries", 600}}, 0.1, black_box, x, y);
  EXPECT_EQ(result.queries, 602);
  const at::Tensor share = (result.margin - clean) / (optimum - clean);
  EXPECT_GT(share.min().item<double>(), 0.8);
  EXPECT_LE(share.max().item<double>(), 1 + 1e-4);
  EXPECT_GT(share.mean().item<double>(),
            ((attack("square", {{"queries", 60}}, 0.1, victim, x, y).margin - clean) / (optimum - clean))
                .mean()
                .item<double>());
}

TEST(AttacksClosedForm, RouterFlipsExactlyWhereItCan) {
  RoutedVictim victim = RoutedVictim::random(2, 4, 8);
  const at::Tensor x = some_images(64, 9), y = answers(victim, x);
  const double epsilon = 0.03;
  at::NoGradGuard no_graph;
  const at::Tensor choice = victim.respond(x).scores.argmax(1);
  const at::Tensor towards_one = (victim.router.select(1, 1) - victim.router.select(1, 0)).unsqueeze(0);
  const at::Tensor direction = at::where((choice == 0).unsqueeze(1), towards_one, -towards_one);
  const at::Tensor best = gw::margin_loss(victim.respond(corner(x, direction, epsilon)).scores, choice);
  ASSERT_GT((best > 0).sum().item<int64_t>(), 8);
  ASSERT_GT((best < 0).sum().item<int64_t>(), 8);
  for (const char* objective : {"ce", "kl"}) {
    // KL may first climb to the near side; several starts find the far one.
    const auto result = attack("router", {{"objective", objective}, {"restarts", 4}}, epsilon, victim, x, y);
    EXPECT_FALSE((result.flipped & (best < -1e-5)).any().item<bool>()) << objective;
    const auto found = (result.flipped & (best > 1e-5)).sum().item<int64_t>(),
               can = (best > 1e-5).sum().item<int64_t>();
    EXPECT_GE(found, std::string(objective) == "ce" ? can : can * 9 / 10) << objective;
  }
  // With the supervised target, images that the router sends to y mod E are driven away from it, the others
  // are not.
  const auto labelled = attack("router", {{"objective", "label"}}, epsilon, victim, x, choice);
  EXPECT_TRUE(at::equal(labelled.flipped, best > 0));
}

/// Expert e answers class e whatever it sees; the router's scores alone decide.
RoutedVictim constant_experts(const at::Tensor& router, const at::Tensor& router_bias) {
  return {router,
          router_bias,
          {at::zeros({kPixels, 2}), at::zeros({kPixels, 2})},
          {at::tensor({1.f, 0.f}), at::tensor({0.f, 1.f})}};
}

TEST(AttacksRouted, JointSeesTheRouterThatPgdCannot) {
  RoutedVictim victim = constant_experts(gw::ops::normal(gw::Rng(4), {kPixels, 2}, 0, 0.5), at::zeros({2}));
  const at::Tensor x = some_images(64, 9), y = answers(victim, x);
  const double epsilon = 0.03;
  at::NoGradGuard no_graph;
  const at::Tensor towards_one = (victim.router.select(1, 1) - victim.router.select(1, 0)).unsqueeze(0);
  const at::Tensor direction = at::where((y == 0).unsqueeze(1), towards_one, -towards_one);
  const at::Tensor can = gw::margin_loss(victim.respond(corner(x, direction, epsilon)).scores, y) > 0;
  ASSERT_GT(can.sum().item<int64_t>(), 8);
  const auto joint = attack("joint", {{"step_size", epsilon / 4}}, epsilon, victim, x, y);
  EXPECT_TRUE(at::equal(joint.fooled, can));
  EXPECT_TRUE(at::equal(joint.flipped, can));
  EXPECT_FALSE(attack("pgd", {{"random_start", false}}, epsilon, victim, x, y).fooled.any().item<bool>());
  EXPECT_FALSE(attack("joint", {{"router_weight", 0}, {"random_start", false}}, epsilon, victim, x, y)
                   .fooled.any()
                   .item<bool>());
}

// Expert 0 is right and flat: PGD sees no slope. Expert 1 errs along `direction`, and so far along it the
// router chooses it.
TEST(AttacksRouted, PerPathwayFindsTheFlipBehindAMaskedGradient) {
  const double epsilon = 0.1;
  const at::Tensor direction = gw::ops::normal(gw::Rng(4), {kPixels}, 0, 1).sign(),
                   zero = at::zeros({kPixels});
  const at::Tensor x = at::full({8, kChannels, kHeight, kWidth}, 0.5) + 0.001 * some_images(8, 3),
                   y = at::zeros({8}, at::kLong);
  const double middle = at::matmul(flat(x), direction).mean().item<double>(), reach = epsilon * kPixels;
  const float far = static_cast<float>(-middle - 0.7 * reach);  // uniform noise reaches 0.07 of it (1 sigma)
  const at::Tensor steep = at::stack({zero, direction}, 1);
  RoutedVictim victim(steep.clone(), at::tensor({0.f, far}), {at::zeros({kPixels, 2}), steep.clone()},
                      {at::tensor({1.f, 0.f}), at::tensor({0.f, far})});
  EXPECT_FALSE(
      attack("pgd", {{"steps", 20}, {"restarts", 3}}, epsilon, victim, x, y).fooled.any().item<bool>());
  EXPECT_FALSE(attack("apgd_ce", {{"steps", 20}}, epsilon, victim, x, y).fooled.any().item<bool>());
  for (const char* inner : {"pgd", "fgsm", "apgd_ce"}) {
    const auto result = attack("per_pathway", {{"attack", inner}}, epsilon, victim, x, y);
    EXPECT_TRUE(result.fooled.all().item<bool>()) << inner;
    EXPECT_TRUE(result.flipped.all().item<bool>()) << inner;
    ASSERT_EQ(result.fooled_per_expert.size(), 2u);
    ASSERT_EQ(result.clean_correct_per_expert.size(), 2u);
    EXPECT_FALSE(result.fooled_per_expert[0].any().item<bool>());
    EXPECT_TRUE(result.fooled_per_expert[1].all().item<bool>());
    for (const auto& correct : result.clean_correct_per_expert) EXPECT_TRUE(correct.all().item<bool>());
  }
}

// A forced pathway can be fooled where the routed network never goes: both facts are reported, and kept
// apart.
TEST(AttacksRouted, PerPathwayKeepsForcedAndRoutedApart) {
  RoutedVictim victim = constant_experts(at::zeros({kPixels, 2}), at::tensor({1.f, 0.f}));
  const at::Tensor x = some_images(4, 3), y = at::zeros({4}, at::kLong);
  const auto result = attack("per_pathway", {}, 0.1, victim, x, y);
  EXPECT_FALSE(result.fooled.any().item<bool>());
  EXPECT_TRUE(result.fooled_per_expert[1].all().item<bool>());
  EXPECT_FALSE(result.clean_correct_per_expert[1].any().item<bool>());
  EXPECT_TRUE(result.clean_correct_per_expert[0].all().item<bool>());
}

TEST(AttacksNonLinear, StrongerAttacksFindMore) {
  MlpVictim victim(48, 6, 5);
  const at::Tensor x = some_images(96, 3), y = answers(victim, x);
  const double epsilon = 0.05;
  const auto loss = [&](const std::string& name, const Json& options) {
    return mean_loss(victim, attack(name, options, epsilon, victim, x, y).images, y);
  };
  const double noise = loss("noise", {}), fgsm = loss("fgsm", {}), pgd = loss("pgd", {}),
               apgd = loss("apgd_ce", {{"steps", 50}});
  EXPECT_GT(fgsm, noise);
  EXPECT_GE(pgd, fgsm);
  EXPECT_GE(apgd, pgd);
  EXPECT_GE(loss("pgd", {{"restarts", 3}}), pgd - 1e-3);
}

TEST(AttacksNonLinear, EnsembleIsTheWorstOfItsMembers) {
  MlpVictim victim(48, 6, 5);
  const at::Tensor x = some_images(96, 3), y = answers(victim, x);
  const double epsilon = 0.02;
  const gw::Rng rng(6);
  const Json options = {{"apgd_ce", {{"steps", 10}}},
                        {"apgd_dlr", {{"steps", 10}, {"targets", 3}}},
                        {"square", {{"queries", 100}}}};
  const auto ensemble = attack("ensemble", {{"options", options}}, epsilon, victim, x, y, rng);
  at::Tensor any = at::zeros({96}, at::kBool);
  uint64_t index = 0;
  for (const char* name : {"apgd_ce", "apgd_dlr", "square"}) {
    const auto member = attack(name, options[name], epsilon, victim, x, y, rng.fork(name, index++));
    EXPECT_GE(ensemble.fooled.sum().item<int64_t>(), member.fooled.sum().item<int64_t>()) << name;
    any = any | member.fooled;
  }
  EXPECT_TRUE(
      at::equal(ensemble.fooled, any));  // noise belongs to the image, so that the subset does not matter
  ASSERT_LT(any.sum().item<int64_t>(), 96);
  ASSERT_GT(any.sum().item<int64_t>(), 0);
}

TEST(AttacksOptions, RefusesContradictions) {
  EXPECT_THROW(gw::make_part<gw::Attack>("ensemble", {{"attacks", Json::array()}}, {0.1}), gw::ValueError);
  EXPECT_THROW(
      gw::make_part<gw::Attack>("ensemble", {{"attacks", {"sqare"}}, {"options", Json::object()}}, {0.1}),
      gw::ValueError);
  EXPECT_THROW(gw::make_part<gw::Attack>("ensemble", {{"options", {{"sqare", Json::object()}}}}, {0.1}),
               gw::ValueError);
  EXPECT_THROW(gw::make_part<gw::Attack>("per_pathway", {{"options", {{"stps", 3}}}}, {0.1}), gw::ValueError);
  EXPECT_THROW(gw::make_part<gw::Attack>("router", {{"objective", "kl"}, {"random_start", false}}, {0.1}),
               gw::ValueError);
  EXPECT_THROW(gw::make_part<gw::Attack>("pgd", {{"loss", "cee"}}, {0.1}), gw::ValueError);
  LinearVictim victim(2, 1);
  const at::Tensor x = some_images(2, 2), y = answers(victim, x);
  EXPECT_THROW(attack("pgd", {{"restarts", 2}, {"random_start", false}}, 0.1, victim, x, y), gw::ValueError);
  EXPECT_THROW(attack("apgd_dlr", {}, 0.1, victim, x, y), gw::ValueError);
}

}  // namespace gw::test::attacks_closed_form_cases
