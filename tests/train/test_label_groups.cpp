// Labels shared out among experts: what is refused, and partitions against brute force.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "gatewright/base/error.h"
#include "gatewright/ops/random.h"
#include "gatewright/train/robust/label_groups.h"
#include "tests/support/refusal.h"

namespace gw::test::label_groups_cases {

using gw::Json;
using gw::LabelGroups;

std::string refused(const std::string& groups) {
  return refusal([&] { gw::read_label_groups("part", Json::parse(groups)); });
}

TEST(LabelGroups, AreReadAsTheyStand) {
  EXPECT_EQ(gw::read_label_groups("part", Json::parse("[[3,0],[1,2,4]]")), (LabelGroups{{3, 0}, {1, 2, 4}}));
  const LabelGroups groups{{3, 0}, {1, 2, 4}};
  EXPECT_TRUE(
      at::equal(gw::group_of_labels(groups), at::tensor(std::vector<int64_t>{0, 1, 1, 0, 1}, at::kLong)));
  const auto weights = gw::group_weights(groups);  // 5 / (2 · size): 2 labels and 3 weigh 2.5 each
  EXPECT_DOUBLE_EQ(weights[0].item<double>(), 1.25);
  EXPECT_DOUBLE_EQ(weights[1].item<double>(), 5.0 / 6);
}

TEST(LabelGroups, RefuseWhatIsNoPartition) {
  expect_part(refused("[]"), "part: expected \"groups\" as a list of labels for each expert");
  expect_part(refused("{}"), "got something else");
  expect_part(refused("[[0],1]"), "got something else than a list as group 1");
  expect_part(refused("[[0],[]]"), "got none in group 1");
  expect_part(refused("[[0],[1,0]]"), "got label 0 in several");
  expect_part(refused("[[0],[2]]"), "got none with label 1");
  expect_part(refused("[[0],[-1]]"), "expected labels of at least 0, got -1 in group 1");
  expect_part(refused("[[0],[1.5]]"), "got 1.5 in group 1");
  expect_part(refused("[[0],[99999999999999999999]]"), "in group 1");
  const LabelGroups two{{0}, {1, 2}};
  expect_part(refusal([&] { gw::check_label_groups("part", two, 3, 3); }), "as experts, 3, got 2");
  expect_part(refusal([&] { gw::check_label_groups("part", two, 10, 2); }),
              "all 10 labels in \"groups\", got 3");
  EXPECT_EQ(refusal([&] { gw::check_label_groups("part", two, 3, 2); }), "accepted");
}

at::Tensor blocks(const LabelGroups& groups, int64_t labels, double within, double across) {
  auto c = at::full({labels, labels}, across, at::kDouble);
  for (const auto& group : groups) {
    for (const int64_t i : group) {
      for (const int64_t j : group) c[i][j] = within;
    }
  }
  for (int64_t i = 0; i < labels; ++i) c[i][i] = 50;
  return c;
}

TEST(LabelGroups, FindBlocksOfAnySizeThatIsAllowed) {
  const LabelGroups even{{0, 3, 7, 8, 9}, {1, 2, 4, 5, 6}}, uneven{{0, 1, 2, 3, 4, 6}, {5, 7, 8, 9}};
  EXPECT_EQ(gw::group_by_confusion(blocks(even, 10, 5, 1), 2, 0), even);
  EXPECT_EQ(gw::group_by_confusion(blocks(uneven, 10, 5, 1), 2, 1), uneven);
  for (const auto& group : gw::group_by_confusion(blocks(uneven, 10, 5, 1), 2, 0))
    EXPECT_EQ(group.size(), 5u);
  const LabelGroups eight{{0, 9}, {1, 8}, {2}, {3}, {4}, {5}, {6}, {7}};
  EXPECT_EQ(gw::group_by_confusion(blocks(eight, 10, 5, 0), 8, 0), eight);
  const LabelGroups forty{{0, 4, 8, 12, 16, 20, 24, 28},
                          {1, 5, 9, 13, 17, 21, 25, 29},
                          {2, 6, 10, 14, 18, 22, 26},
                          {3, 7, 11, 15, 19, 23, 27}};
  EXPECT_EQ(gw::group_by_confusion(blocks(forty, 30, 3, 1), 4, 0), forty);
}

// A confusion counts in both directions, as a share of its row's images.
TEST(LabelGroups, CountSharesInBothDirections) {
  auto c = at::eye(4, at::kDouble) * 100;
  c[0][1] = 30;                     // 0 told as 1
  c[3][0] = 20;                     // 3 told as 0, the only other confusion of 0
  c[2][3] = 4000, c[2][2] = 96000;  // many images, 4 % of them
  EXPECT_EQ(gw::group_by_confusion(c, 2, 0), (LabelGroups{{0, 1}, {2, 3}}));
  c[3][0] = 60;  // 0.375 with 0 now, 0.23 + 0.04 otherwise
  EXPECT_EQ(gw::group_by_confusion(c, 2, 0), (LabelGroups{{0, 3}, {1, 2}}));
}

double score(const at::Tensor& c, const LabelGroups& groups) {
  const auto share = c / c.sum(1, true);
  double sum = 0;
  for (const auto& group : groups) {
    for (const int64_t i : group) {
      for (const int64_t j : group) sum += i == j ? 0 : share[i][j].item<double>();
    }
  }
  return sum;
}

/// The best score over all assignments of labels to groups within the sizes.
double brute_force(const at::Tensor& c, int64_t count, size_t least, size_t most) {
  const int64_t labels = c.size(0);
  double best = -1;
  LabelGroups groups(static_cast<size_t>(count));
  const std::function<void(int64_t)> place = [&](int64_t label) {
    if (label == labels) {
      const bool fits = std::all_of(groups.begin(), groups.end(),
                                    [&](const auto& g) { return g.size() >= least && g.size() <= most; });
      if (fits) best = std::max(best, score(c, groups));
      return;
    }
    for (auto& group : groups) group.push_back(label), place(label + 1), group.pop_back();
  };
  place(0);
  return best;
}

TEST(LabelGroups, AreTheBestOfAllUpToTwelveLabels) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const int64_t labels = 5 + static_cast<int64_t>(seed % 3), count = 2 + static_cast<int64_t>(seed % 2),
                  slack = static_cast<int64_t>(seed % 4) / 2;
    const auto c = gw::ops::uniform(gw::Rng(seed), {labels, labels}, 0, 1).to(at::kDouble);
    const auto groups = gw::group_by_confusion(c, count, slack);
    const auto least = static_cast<size_t>(std::max<int64_t>(1, labels / count - slack)),
               most = static_cast<size_t>((labels + count - 1) / count + slack);
    for (const auto& group : groups) {
      EXPECT_GE(group.size(), least);
      EXPECT_LE(group.size(), most);
    }
    EXPECT_NEAR(score(c, groups), brute_force(c, count, least, most), 1e-9) << seed;
  }
}

// Beyond twelve labels nothing is promised but that no move and no swap helps; of random matrices, where
// there is nothing to find, it still beats groups by label.
TEST(LabelGroups, NoMoveOrSwapHelpsBeyond) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const auto c = gw::ops::uniform(gw::Rng(seed), {17, 17}, 0, 1).to(at::kDouble);
    auto groups = gw::group_by_confusion(c, 3, 1);
    const double found = score(c, groups);
    LabelGroups modulo(3);
    for (int64_t i = 0; i < 17; ++i) modulo[static_cast<size_t>(i % 3)].push_back(i);
    EXPECT_GT(found, score(c, modulo));
    for (size_t g = 0; g < 3; ++g) {
      for (size_t h = 0; h < 3; ++h) {
        for (size_t i = 0; g != h && i < groups[g].size(); ++i) {
          for (size_t j = 0; j < groups[h].size(); ++j) {
            std::swap(groups[g][i], groups[h][j]);
            EXPECT_LE(score(c, groups), found + 1e-9);
            std::swap(groups[g][i], groups[h][j]);
          }
        }
      }
    }
  }
}

TEST(LabelGroups, RefuseWhatIsNoConfusion) {
  const auto refused = [](const at::Tensor& c, int64_t count, int64_t slack = 0) {
    return refusal([&] { gw::group_by_confusion(c, count, slack); });
  };
  expect_part(refused(at::ones({3, 4}), 2), "expected a confusion matrix [labels, labels], got [3, 4]");
  expect_part(refused(at::full({3, 3}, -1.0), 2), "got negative ones");
  expect_part(refused(at::full({3, 3}, NAN), 2), "NaN");
  expect_part(refused(at::ones({3, 3}), 4), "expected 2 to 3 groups of 3 labels, got 4");
  expect_part(refused(at::ones({3, 3}), 1), "got 1");
  expect_part(refused(at::ones({3, 3}), 2, -1), "slack");
  EXPECT_EQ(gw::group_by_confusion(at::zeros({4, 4}), 2, 0), (LabelGroups{{0, 1}, {2, 3}}));
}

}  // namespace gw::test::label_groups_cases
