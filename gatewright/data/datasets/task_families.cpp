// Families of related tasks, each with a rare member: the synthetic data of multi-task mixtures.
#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/ops/random.h"

namespace {

/// Rows x ~ N(0, I) of binary tasks. Task t of family f: label = [a_t · tanh((W_f + own · N_t) x) > 0], W_f
/// shared in the family, N_t the task's own part of the first layer. Every task has `train` rows but the last
/// of each family, which has `rare`; all have `test`. Fields: "x" [n, inputs], "label" [n] of classes "no",
/// "yes", "domain" [n] the task, family by family, named f0_t0 …
/// Source: ours, for the claims of Gupta et al. 2022, arXiv 2204.07689.
class TaskFamilies : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    int64_t inputs = 32, families = 3, tasks = 3, hidden = 16, train = 4000, rare = 100, test = 1000,
            seed = 0;
    double own = 0.1;
    void fields(gw::OptionVisitor& v) override {
      v.integer("inputs", inputs, "values of a row", 1, 4096);
      v.integer("families", families, "of tasks that share a first layer", 1, 64);
      v.integer("tasks", tasks, "of each family; the last one is rare", 1, 64);
      v.integer("hidden", hidden, "values of a family's first layer", 1, 4096);
      v.integer("train", train, "training rows of a task", 1, 10000000);
      v.integer("rare", rare, "training rows of each family's last task", 1, 10000000);
      v.integer("test", test, "test rows of a task", 1, 10000000);
      v.integer("seed", seed, "of teachers and rows", 0, INT64_MAX);
      v.real("own", own, "share of a task's own in its first layer", 0, 1);
    }
  };
  static constexpr const char* kSummary = "made: families of binary tasks, the last of each with few rows";
  static constexpr const char* kSource = "";

  TaskFamilies(Options options, const Context&) : options_(options) {}

  gw::TaskData load() override {
    const auto& o = options_;
    const gw::Rng rng = gw::Rng(static_cast<uint64_t>(o.seed)).fork("datasets/task_families");
    const double scale = 1.5 / std::sqrt(static_cast<double>(o.inputs));
    gw::TaskData data;
    std::vector<at::Tensor> train[3], test[3];
    for (int64_t f = 0; f < o.families; ++f) {
      const auto family = rng.fork("family", static_cast<uint64_t>(f));
      const auto shared = gw::ops::normal(family.fork("w"), {o.inputs, o.hidden}, 0, scale);
      for (int64_t t = 0; t < o.tasks; ++t) {
        const auto task = family.fork("task", static_cast<uint64_t>(t));
        const auto first =
            shared * (1 - o.own) + gw::ops::normal(task.fork("w"), {o.inputs, o.hidden}, 0, scale) * o.own;
        const auto second = gw::ops::normal(task.fork("a"), {o.hidden}, 0, 1);
        const auto rows = [&](const char* name, int64_t n, std::vector<at::Tensor>* into) {
          const auto x = gw::ops::normal(task.fork(name), {n, o.inputs}, 0, 1);
          into[0].push_back(x);
          into[1].push_back(at::matmul(at::tanh(at::matmul(x, first)), second).gt(0).to(at::kLong));
          into[2].push_back(at::full({n}, f * o.tasks + t, at::kLong));
        };
        rows("train", t + 1 == o.tasks ? o.rare : o.train, train), rows("test", o.test, test);
        data.domain_names.push_back("f" + std::to_string(f) + "_t" + std::to_string(t));
      }
    }
    data.train.fields = {
        {"x", at::cat(train[0])}, {"label", at::cat(train[1])}, {"domain", at::cat(train[2])}};
    data.test.fields = {{"x", at::cat(test[0])}, {"label", at::cat(test[1])}, {"domain", at::cat(test[2])}};
    data.classes = 2, data.class_names = {"no", "yes"};
    data.origin = "generated";
    return data;
  }

  std::string missing() override { return ""; }

 private:
  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, TaskFamilies);
