// Streams: the order of time, windows and tasks, made drifts, tables in the order of a column.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/data/stream.h"
#include "tests/data/temp_directory.h"
#include "tests/support/refusal.h"

namespace gw::test::stream_cases {

TensorSet timed(const std::vector<double>& times, const std::vector<int64_t>& domains) {
  return {{{"time", at::tensor(times, at::kDouble)},
           {"domain", at::tensor(domains, at::kLong)},
           {"x", at::arange(static_cast<int64_t>(times.size()), at::kFloat).unsqueeze(1)}}};
}

TEST(Stream, RefusesAnOrderOfTimeThatIsBroken) {
  check_time_order(timed({1, 1, 2, 7}, {0, 0, 0, 0}));
  const auto told = refusal<ValueError>([] { check_time_order(timed({1, 3, 2, 4}, {0, 0, 0, 0})); });
  expect_part(told, "time order broken");
  expect_part(told, "got 2 at row 2 after 3 at row 1");
  expect_part(told, "sort = true");
  expect_part(refusal<ValueError>([] {
                check_time_order(timed({1, std::nan(""), 3}, {0, 0, 0}));
              }),
              "expected finite times");
  expect_part(refusal<ValueError>([] {
                check_time_order({{{"x", at::ones({3, 1})}}});
              }),
              "expected rows with the field \"time\"");
}

TEST(Stream, WindowsCoverEveryRowOnceInItsOrder) {
  const auto set = timed({0, 1, 2, 3, 4, 5, 6}, {0, 0, 0, 0, 1, 1, 1});
  const auto windows = stream_windows(set, 3, false, 1, Rng(1));
  ASSERT_EQ(windows.size(), 3u);
  EXPECT_TRUE(windows[1].index.equal(at::tensor({3, 4, 5}, at::kLong))) << "domains do not matter";
  EXPECT_TRUE(windows[2].index.equal(at::tensor({6}, at::kLong)));
  EXPECT_EQ(domain_changes(set), std::vector<int64_t>{4});
  const auto batch = window_batch(set, windows[1]);
  EXPECT_TRUE(batch.index.equal(windows[1].index));
  EXPECT_EQ(batch.at("x")[0].item<float>(), 3.0F);
  expect_part(refusal<ValueError>([&] { stream_windows(set, 3, false, 2, Rng(1)); }), "passes = 1");
}

TEST(Stream, TasksAreMetAsOftenAsSaidAndDoNotMix) {
  const auto set = timed({0, 1, 2, 3, 4, 5, 6}, {0, 0, 0, 0, 1, 1, 1});
  const auto windows = stream_windows(set, 3, true, 2, Rng(1));
  std::vector<int64_t> met(7, 0);
  for (const auto& window : windows) {
    for (int64_t i = 0; i < window.index.numel(); ++i) {
      const auto row = window.index[i].item<int64_t>();
      ++met[static_cast<size_t>(row)];
      EXPECT_EQ(window.domain, row < 4 ? 0 : 1);
    }
  }
  EXPECT_EQ(met, std::vector<int64_t>(7, 2));
  ASSERT_EQ(windows.size(), 6u);
  EXPECT_TRUE(windows[0].index.equal(at::tensor({0, 1, 2}, at::kLong))) << "the first time in order";
  EXPECT_EQ(windows[0].pass, 0);
  EXPECT_EQ(windows[3].pass, 1);
  EXPECT_TRUE(windows[3].last);
  EXPECT_FALSE(windows[1].last);
  auto without = set;
  without.fields.erase("domain");
  expect_part(refusal<ValueError>([&] { stream_windows(without, 3, true, 1, Rng(1)); }), "\"domain\"");
}

TEST(DriftStream, TurnsWhereItSaysAndFavoursAGroup) {
  const Json options{{"rows", 40000}, {"drifts", {20000}}, {"turns", {60}}, {"flip", true},
                     {"noise", 0.0},  {"shift", 0.0},      {"bias", 1.0}};
  const auto data = make_part<Dataset>("drift_stream", options, {})->load();
  const auto& set = data.train;
  check_time_order(set);
  EXPECT_EQ(domain_changes(set), std::vector<int64_t>{20000});
  const auto w = at::ones({6}) / std::sqrt(6.0);
  const auto side = set.at("group").to(at::kFloat) - 0.5;
  const auto as_told = (set.at("x").matmul(w) + side).gt(0).eq(set.at("label")).to(at::kFloat);
  EXPECT_EQ(as_told.narrow(0, 0, 20000).mean().item<float>(), 1.0F) << "the first concept, exactly";
  const auto after = (set.at("x").matmul(w) - side).gt(0).eq(set.at("label")).to(at::kFloat);
  EXPECT_LT(after.narrow(0, 20000, 20000).mean().item<float>(), 0.8F) << "turned";
  const auto label = set.at("label").to(at::kFloat), group = set.at("group");
  const auto gap = [&](int64_t first) {
    const auto y = label.narrow(0, first, 20000), s = group.narrow(0, first, 20000);
    return (y.masked_select(s.eq(1)).mean() - y.masked_select(s.eq(0)).mean()).item<float>();
  };
  EXPECT_GT(gap(0), 0.3F);
  EXPECT_LT(gap(20000), -0.3F) << "the bias changed its sign";
  expect_part(refusal<ValueError>([] {
                make_part<Dataset>("drift_stream", {{"rows", 100}, {"drifts", {50, 40}}}, {});
              }),
              "that ascend");
  expect_part(refusal<ValueError>([] {
                make_part<Dataset>("drift_stream", {{"rows", 100}, {"drifts", {200}}}, {});
              }),
              "lie below 100 rows");
}

class TableStream : public TempDirectory {
 protected:
  TaskData load(const std::string& text, Json options = Json::object()) {
    const Json base{{"path", file("s.csv", text)}, {"response", "freed"}, {"time", "year"}, {"warm", 3}};
    for (const auto& [key, value] : base.items()) {
      if (!options.contains(key)) options[key] = value;
    }
    return make_part<Dataset>("table_stream", options, {})->load();
  }
};

const char* const kRows =
    "year,age,colour,freed\n1997,20,dark,yes\n1997,30,light,no\n1998,40,light,yes\n1999,60,dark,no\n";

TEST_F(TableStream, StandardisesByTheFirstRowsAndKeepsTheGroupApart) {
  const auto data = load(kRows, {{"group", "colour"}, {"member", "dark"}});
  EXPECT_EQ(data.train.at("x").sizes(), (at::IntArrayRef{4, 1})) << "neither times nor groups are inputs";
  EXPECT_TRUE(data.train.at("group").equal(at::tensor({1, 0, 0, 1}, at::kLong)));
  const double deviation = std::sqrt(200.0 / 3);
  EXPECT_NEAR(data.train.at("x")[3][0].item<double>(), (60 - 30) / deviation, 1e-5)
      << "by mean and deviation of the first three rows";
  EXPECT_EQ(data.class_names, (std::vector<std::string>{"no", "yes"}));
  EXPECT_EQ(data.test.size(), 0);
  const auto held = load(kRows, {{"test_share", 0.25}});
  EXPECT_EQ(held.train.size(), 3);
  EXPECT_EQ(held.test.at("time")[0].item<double>(), 1999.0);
}

TEST_F(TableStream, SaysWhatIsWrongWithALine) {
  const std::string broken =
      "year,age,colour,freed\n1997,20,dark,yes\n1999,30,light,no\n1998,40,light,yes\n1999,60,dark,no\n";
  const auto told = refusal<ValueError>([&] { load(broken); });
  expect_part(told, "line 4, column \"year\"");
  expect_part(told, "time order broken in a stream");
  expect_part(told, "got 1998 after 1999");
  const auto sorted = load(broken, {{"sort", true}});
  EXPECT_TRUE(sorted.train.at("time").equal(at::tensor({1997.0, 1998.0, 1999.0, 1999.0}, at::kDouble)));
  expect_part(refusal<ValueError>([&] {
                load(kRows, {{"time", "age"}, {"group", "year"}});
              }),
              "got 3 levels");
  expect_part(refusal<ValueError>([&] { load(kRows, {{"time", "colour"}}); }), "expected a time, a number");
  expect_part(refusal<ValueError>([&] { load(kRows, {{"time", ""}}); }), "a table without one is no stream");
  expect_part(refusal<ValueError>([&] { load(kRows, {{"group", "colour"}, {"member", "green"}}); }), "green");
  const std::string one = "year,age,colour,freed\n1,20,dark,yes\n1,30,dark,no\n2,40,dark,yes\n3,60,dark,no\n";
  expect_part(refusal<ValueError>([&] { load(one, {{"group", "colour"}}); }), "expected two groups");
  const std::string gone = "year,age,colour,freed\n1,20,,yes\n1,30,dark,no\n2,40,light,yes\n3,60,dark,no\n";
  expect_part(refusal<ValueError>([&] { load(gone, {{"group", "colour"}}); }), "expected a group");
  const std::string single = "year,age,colour,freed\n1,20,a,yes\n1,30,b,yes\n2,40,a,yes\n3,60,b,yes\n";
  EXPECT_NE(refusal<ValueError>([&] { load(single); }), "accepted") << "a response of one class";
}

TEST(ImageTasks, TasksDifferAsTheySay) {
  const Json images{{"part", "synthetic"}, {"classes", 4}, {"height", 6},
                    {"width", 6},          {"train", 80},  {"test", 40}};
  const auto made = [&](const char* kind, int64_t tasks, int64_t train) {
    return make_part<Dataset>(
               "image_tasks",
               {{"images", images}, {"kind", kind}, {"tasks", tasks}, {"train", train}, {"test", 10}}, {})
        ->load();
  };
  const auto permuted = made("permuted", 3, 60);
  check_time_order(permuted.train);
  EXPECT_EQ(domain_changes(permuted.train), (std::vector<int64_t>{60, 120}));
  EXPECT_EQ(permuted.test.size(), 30);
  const auto image = permuted.train.at("image");
  EXPECT_TRUE(std::get<0>(image[70].flatten().sort()).sum().item<double>() > 0);
  const auto split = made("split", 2, 30);
  EXPECT_LE(split.train.at("label").narrow(0, 0, 30).max().item<int64_t>(), 1);
  EXPECT_GE(split.train.at("label").narrow(0, 30, 30).min().item<int64_t>(), 2);
  expect_part(refusal<ValueError>([&] { made("split", 5, 10); }), "at most 4 tasks");
  expect_part(refusal<ValueError>([&] { made("split", 2, 60); }),
              "expected 60 images of a task to train with");
}

}  // namespace gw::test::stream_cases
