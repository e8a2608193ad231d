// Several targets of one table, and graphs from two tables.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>

#include "gatewright/base/registry.h"
#include "gatewright/data/graph.h"
#include "gatewright/data/loader.h"
#include "gatewright/data/target_table.h"
#include "tests/data/temp_directory.h"
#include "tests/support/refusal.h"

namespace gw::test::target_table_cases {

const char* const kTable =
    "size,colour,sold,price,grade\n"
    "1,red,yes,10,1\n"
    "2,blue,no,,2\n"
    "3,red,,30,2\n"
    "4,blue,yes,40,1\n"
    "5,red,no,50,\n"
    "6,blue,yes,60,3\n"
    "7,red,,,\n"
    "8,blue,no,80,1\n";

TaskData read(TargetTableOptions options) {
  const CsvTable table(kTable, "goods.csv");
  return target_table(table, options);
}

TEST(TargetTable, ClassesNumbersAndMissingValuesStandSideBySide) {
  TargetTableOptions options;
  options.targets = {"sold", "price", "grade"}, options.factors = {"grade"}, options.test_share = 0.3;
  const auto data = read(options);
  ASSERT_EQ(data.targets.size(), 3u);
  EXPECT_EQ(data.targets[0].class_names, (std::vector<std::string>{"no", "yes"}));
  EXPECT_TRUE(data.targets[1].class_names.empty());
  EXPECT_EQ(data.targets[2].class_names, (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_TRUE(data.train.whole("target_classes").equal(at::tensor({2, 0, 3}, at::kLong)));
  EXPECT_EQ(data.train.size() + data.test.size(), 7) << "the row without any target is left out";
  const auto all = at::cat({data.train.at("targets"), data.test.at("targets")});
  EXPECT_EQ(all.isnan().sum(0).select(0, 0).item<int64_t>(), 1);
  EXPECT_EQ(all.isnan().sum(0).select(0, 1).item<int64_t>(), 1);
  EXPECT_EQ(all.isnan().sum(0).select(0, 2).item<int64_t>(), 1);
  const auto price = data.train.at("targets").select(1, 1), seen = price.masked_select(price.isfinite());
  EXPECT_LT(seen.mean().abs().item<double>(), 1e-6) << "standardised over the training rows that have it";
  EXPECT_LT((seen.square().mean() - 1).abs().item<double>(), 1e-5);
  EXPECT_EQ(data.train.at("x").size(1), 2) << "size, and colour as one column";
  // A row's answers stay with its inputs: price = 10 · size, so that both are the same linear scale.
  const auto x = data.train.at("x").select(1, 0).masked_select(price.isfinite());
  const auto slope = (seen[1] - seen[0]) / (x[1] - x[0]);
  EXPECT_LT(((seen - seen[0]) - slope * (x - x[0])).abs().max().item<double>(), 1e-5);
}

TEST(TargetTable, BadInputIsNamed) {
  const auto told = [](std::vector<std::string> targets, std::vector<std::string> inputs = {}) {
    TargetTableOptions options;
    options.targets = std::move(targets), options.inputs = std::move(inputs), options.factors = {"grade"};
    return refusal<ValueError>([&] { read(options); });
  };
  expect_part(told({"sold", "prize"}), "did you mean \"price\"?");
  expect_part(told({"sold", "sold"}), "expected each target once, got \"sold\" twice");
  expect_part(told({"sold"}, {"size", "sold"}), "\"sold\" is a target and cannot be an input too");
  expect_part(told({"sold"}, {"size", "price"}), "line 3, column \"price\": the value is missing");
}

TEST(TargetTable, ATaskThatNobodyCouldLearnIsNamed) {
  const auto told = [](const std::string& text, std::vector<std::string> targets) {
    TargetTableOptions options;
    options.inputs = {"x"}, options.targets = std::move(targets), options.test_share = 0.2;
    return refusal<ValueError>([&] { target_table(CsvTable(text, "t.csv"), options); });
  };
  std::string none = "x,y,z\n", same = none;
  for (int i = 0; i < 20; ++i) {
    const auto x = std::to_string(i);
    none += x + "," + x + ",\n", same += x + "," + x + "," + (i < 2 ? "3" : "") + "\n";
  }
  expect_part(told(none, {"y", "z"}), "a value of \"z\", got none of 20; a task without rows");
  expect_part(told(same, {"y", "z"}), "that are all the same; leave it out of the targets");
  // Two classes, of which the training rows have one at most: one row each is not in both parts.
  std::string odd = "x,y,z\n0,0,a\n1,1,b\n";
  for (int i = 2; i < 20; ++i) odd += std::to_string(i) + "," + std::to_string(i) + ",\n";
  TargetTableOptions options;
  options.inputs = {"x"}, options.targets = {"y", "z"}, options.test_share = 0.2;
  int refused = 0, accepted = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    options.seed = seed;
    try {
      target_table(CsvTable(odd, "t.csv"), options);
      ++accepted;
    } catch (const ValueError& error) {
      expect_part(error.what(), "different values of \"z\"");
      ++refused;
    }
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(accepted, 0);
}

TEST(TargetTable, ADataSetKnowsItsTargetsWithoutItsFile) {
  const auto part = make_part<Dataset>("table", {{"path", "no/such.csv"}, {"targets", {"a", "b"}}}, {});
  EXPECT_EQ(part->targets(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(make_part<Dataset>("table", Json::object(), {})->targets().empty());
}

TEST(TargetTable, PenguinsHaveThreeTargetsOfWhichSomeAreMissing) {
  const auto data = make_part<Dataset>("table",
                                       {{"path", "penguins.csv"},
                                        {"targets", {"species", "sex", "body_mass_g"}},
                                        {"inputs", {"bill_length_mm", "bill_depth_mm", "flipper_length_mm"}},
                                        {"drop_missing", true}},
                                       {})
                        ->load();
  EXPECT_EQ(data.train.size() + data.test.size(), 342);
  const auto all = at::cat({data.train.at("targets"), data.test.at("targets")});
  EXPECT_TRUE(all.isnan().sum(0).equal(at::tensor({0, 9, 0}, at::kLong)));
}

TEST(TaskGroups, SharesOfPositivesAreThoseAskedFor) {
  const auto data =
      make_part<Dataset>("task_groups", {{"train", 4000}, {"test", 1000}, {"sparse", 0.02}}, {})->load();
  const auto all = at::cat({data.train.at("targets"), data.test.at("targets")}).mean(0);
  ASSERT_EQ(all.numel(), 6);
  for (int64_t t = 0; t < 6; ++t) EXPECT_NEAR(all[t].item<double>(), t % 3 == 2 ? 0.02 : 0.3, 0.002) << t;
  EXPECT_EQ(data.targets[5].name, "g1_t2");
}

TEST(WholeBatches, EveryBatchSeesWhatIsCommon) {
  TensorSet set;
  set.fields["node"] = at::arange(5, at::kLong), set.common["x"] = at::arange(7, at::kFloat);
  const Loader loader(set.rows(at::tensor({0, 1, 4}, at::kLong)).first(2), 1, {}, true, Rng(1));
  EXPECT_EQ(loader.get(0, 1).whole("x").numel(), 7);
  EXPECT_EQ(loader.get(0, 1).size(), 1);
  expect_part(refusal<ValueError>([&] { loader.get(0, 0).whole("edge"); }),
              "expected \"edge\" among what batches see whole, got x");
}

class GraphFiles : public TempDirectory {
 protected:
  Json options(const std::string& nodes, const std::string& edges) {
    std::ofstream(directory_ + "/nodes.csv") << nodes;
    std::ofstream(directory_ + "/edges.csv") << edges;
    return {{"nodes", directory_ + "/nodes.csv"}, {"edges", directory_ + "/edges.csv"}, {"label", "kind"}};
  }
  TaskData load(const std::string& nodes, const std::string& edges) {
    return make_part<Dataset>("graph", options(nodes, edges), {})->load();
  }
};

const char* const kNodes = "id,age,kind\na,1,x\nb,2,y\nc,3,x\nd,4,y\ne,5,x\n";

TEST_F(GraphFiles, EdgesCountInBothDirectionsAndOnce) {
  const auto data = load(kNodes, "from,to\na,b\nb,a\nc,c\nd,e\n");
  const auto& edge = data.train.whole("edge");
  EXPECT_TRUE(edge.equal(at::tensor({0, 1, 3, 4, 1, 0, 4, 3}, at::kLong).view({2, 4})));
  EXPECT_EQ(data.train.whole("x").size(0), 5) << "every node, also those of the test";
  EXPECT_EQ(data.train.size() + data.test.size(), 5);
  EXPECT_TRUE(data.test.whole("x").is_same(data.train.whole("x")));
  for (const auto* set : {&data.train, &data.test}) {
    const auto node = set->at("node"), label = set->at("label");
    EXPECT_TRUE(label.equal(node.remainder(2))) << "labels stay with their nodes";
  }
}

TEST_F(GraphFiles, EdgesOneWayCountOnceAndNoNodeIsItsOwnNeighbour) {
  auto o = options(kNodes, "from,to\nb,a\na,b\nb,a\nc,c\nd,e\n");
  o["directed"] = true;
  const auto edge = make_part<Dataset>("graph", o, {})->load().train.whole("edge");
  EXPECT_TRUE(edge.equal(at::tensor({0, 1, 3, 1, 0, 4}, at::kLong).view({2, 3})));
}

TEST_F(GraphFiles, BadEdgesAndNodesAreNamed) {
  expect_part(refusal<ValueError>([&] { load(kNodes, "from,to\na,b\nb,zz\n"); }),
              "line 3, column \"to\": expected a node of the table of nodes, got \"zz\"");
  expect_part(refusal<ValueError>([&] { load(std::string(kNodes) + "a,6,y\n", "from,to\na,b\n"); }),
              "expected each node once, got \"a\" twice");
  expect_part(refusal<ValueError>([&] { load(kNodes, "from,until\na,b\n"); }), "to");
  expect_part(refusal<IoError>([&] {
                make_part<Dataset>("graph", {{"nodes", "no/such.csv"}}, {})->load();
              }),
              "no/such.csv");
}

TEST(BlockGraph, HomophilyIsThatOfTheNodesThatTheirNeighboursTell) {
  const auto data = make_part<Dataset>("block_graph", {{"nodes", 4000}, {"homophily", 0.7}}, {})->load();
  const auto edge = data.train.whole("edge");
  const auto label = at::arange(4000, at::kLong).remainder(4);
  auto domain = at::zeros({4000}, at::kLong);
  for (const auto* set : {&data.train, &data.test}) domain.index_copy_(0, set->at("node"), set->at("domain"));
  const auto same = label.index_select(0, edge[0]).eq(label.index_select(0, edge[1])).to(at::kDouble);
  const auto kind = domain.index_select(0, edge[1]);
  EXPECT_NEAR(same.masked_select(kind.eq(0)).mean().item<double>(), 0.7 + 0.3 / 4, 0.02);
  EXPECT_NEAR(same.masked_select(kind.eq(1)).mean().item<double>(), 0.25, 0.02);
  EXPECT_NEAR(static_cast<double>(edge.size(1)) / 4000, 10, 0.2);
}

}  // namespace gw::test::target_table_cases
