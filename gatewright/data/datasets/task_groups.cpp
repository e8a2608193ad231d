// Two groups of binary tasks over one row: the synthetic table of the experiment on hierarchies of gates.
#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/ops/random.h"

namespace {

/// Rows x ~ N(0, I). Each group of tasks has a teacher: a layer of `hidden` values tanh(W x), of which the
/// share `shared` is the same for all groups. Task t: positive where a_t · h + noise is above the threshold
/// that leaves the share `positives` of it (`sparse` for the last task of each group). Fields: "x" [n,
/// inputs]; "targets" [n, groups · tasks] of classes "no", "yes", named g0_t0 …
class TaskGroups : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    int64_t inputs = 32, groups = 2, tasks = 3, hidden = 40, train = 40000, test = 10000, seed = 0;
    double shared = 0.7, positives = 0.3, sparse = 0.01, noise = 0.3;
    void fields(gw::OptionVisitor& v) override {
      v.integer("inputs", inputs, "values of a row", 1, 4096);
      v.integer("groups", groups, "groups of tasks", 1, 64);
      v.integer("tasks", tasks, "tasks of each group; the last one is rare", 1, 64);
      v.integer("hidden", hidden, "values of each group's teacher", 2, 4096);
      v.integer("train", train, "training rows", 10, 10000000);
      v.integer("test", test, "test rows", 10, 10000000);
      v.integer("seed", seed, "of teachers and rows", 0, INT64_MAX);
      v.real("shared", shared, "share of the teachers' values that all groups have", 0, 1);
      v.real("positives", positives, "share of positive rows", 0.001, 0.999);
      v.real("sparse", sparse, "share of positive rows of each group's last task", 0.001, 0.999);
      v.real("noise", noise, "deviation of the noise, in deviations of the score", 0, 100);
    }
  };
  static constexpr const char* kSummary = "made: groups of binary tasks over one row, one of each group rare";
  static constexpr const char* kSource = "";

  TaskGroups(Options options, const Context&) : options_(options) {}

  gw::TaskData load() override {
    const auto& o = options_;
    const gw::Rng rng = gw::Rng(static_cast<uint64_t>(o.seed)).fork("datasets/task_groups");
    const int64_t n = o.train + o.test;
    const auto x = gw::ops::normal(rng.fork("x"), {n, o.inputs}, 0, 1);
    const auto common = static_cast<int64_t>(std::llround(o.shared * static_cast<double>(o.hidden)));
    const auto first = layer(rng.fork("shared"), common, x);
    gw::TaskData data;
    std::vector<at::Tensor> targets;
    for (int64_t g = 0; g < o.groups; ++g) {
      const auto stream = rng.fork("group", static_cast<uint64_t>(g));
      const auto h = at::cat({first, layer(stream, o.hidden - common, x)}, 1);
      for (int64_t t = 0; t < o.tasks; ++t) {
        const auto own = stream.fork("task", static_cast<uint64_t>(t));
        const auto score = scaled(at::matmul(h, gw::ops::normal(own.fork("a"), {o.hidden}, 0, 1))) +
                           gw::ops::normal(own.fork("noise"), {n}, 0, 1) * o.noise;
        const double share = t + 1 == o.tasks ? o.sparse : o.positives;
        targets.push_back((score > at::quantile(score, 1 - share)).to(at::kFloat));
      }
    }
    for (const auto& name : TaskGroups::targets()) data.targets.push_back({name, {"no", "yes"}});
    gw::TensorSet all{{{"x", x}, {"targets", at::stack(targets, 1)}}};
    all.common["target_classes"] = at::full({o.groups * o.tasks}, 2, at::kLong);
    data.train = all.rows(at::arange(o.train, at::kLong));
    data.test = all.rows(at::arange(o.train, n, at::kLong));
    data.origin = "generated";
    return data;
  }

  std::string missing() override { return ""; }

  std::vector<std::string> targets() const override {
    std::vector<std::string> names;
    for (int64_t g = 0; g < options_.groups; ++g) {
      for (int64_t t = 0; t < options_.tasks; ++t)
        names.push_back("g" + std::to_string(g) + "_t" + std::to_string(t));
    }
    return names;
  }

 private:
  static at::Tensor layer(const gw::Rng& rng, int64_t count, const at::Tensor& x) {
    const double scale = 1.5 / std::sqrt(static_cast<double>(x.size(1)));
    return at::tanh(at::matmul(x, gw::ops::normal(rng.fork("w"), {x.size(1), count}, 0, scale)));
  }
  static at::Tensor scaled(const at::Tensor& score) { return (score - score.mean()) / score.std(false); }

  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, TaskGroups);
