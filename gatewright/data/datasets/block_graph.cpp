// A contextual stochastic block model of two kinds of nodes: those whose own values tell their class, and
// those whose neighbours do.
#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/registry.h"
#include "gatewright/data/graph.h"
#include "gatewright/ops/random.h"

namespace {

/// Values x_i = μ_{y_i} + s_i N(0, I), μ ~ N(0, I) of length `spread` for each class. Telling nodes (domain
/// 1) have s = `quiet` and edges to anybody; the others (domain 0) have s = `loud` and edges of which the
/// share `homophily` leads to nodes of their class. Every node draws degree / 2 edges, which count in both
/// directions. Fields: "node", "label", "domain" [n]; `common` of gatewright/data/graph.h.
class BlockGraph : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    int64_t nodes = 3000, classes = 4, inputs = 16, degree = 10, seed = 0;
    double telling = 0.5, quiet = 0.5, loud = 3, homophily = 0.8, spread = 1, test_share = 0.2;
    void fields(gw::OptionVisitor& v) override {
      v.integer("nodes", nodes, "nodes", 10, 10000000);
      v.integer("classes", classes, "classes", 2, 1000);
      v.integer("inputs", inputs, "values of a node", 1, 4096);
      v.integer("degree", degree, "mean number of neighbours, even", 2, 10000);
      v.integer("seed", seed, "of all draws", 0, INT64_MAX);
      v.real("telling", telling, "share of the nodes whose own values tell their class", 0, 1);
      v.real("quiet", quiet, "deviation of their values", 0, 100);
      v.real("loud", loud, "deviation of the others' values", 0, 100);
      v.real("homophily", homophily, "share of the others' edges that stay in their class", 0, 1);
      v.real("spread", spread, "deviation of the classes' means, value by value", 0, 100);
      v.real("test_share", test_share, "share of the nodes that is held out for the test", 0.01, 0.9);
    }
  };
  static constexpr const char* kSummary =
      "made: a graph in which half the nodes tell their class, half their neighbours do";
  static constexpr const char* kSource = "after arXiv 1807.09596";

  BlockGraph(Options options, const Context&) : options_(options) {}

  gw::TaskData load() override {
    const auto& o = options_;
    const gw::Rng rng = gw::Rng(static_cast<uint64_t>(o.seed)).fork("datasets/block_graph");
    const auto label = at::arange(o.nodes, at::kLong).remainder(o.classes);
    const auto telling = (gw::ops::uniform(rng.fork("kind"), {o.nodes}, 0, 1) < o.telling).to(at::kLong);
    const auto mean = gw::ops::normal(rng.fork("mean"), {o.classes, o.inputs}, 0, o.spread);
    const auto deviation = at::where(telling.eq(1), at::full({o.nodes}, o.quiet, at::kFloat),
                                     at::full({o.nodes}, o.loud, at::kFloat));
    const auto x = mean.index_select(0, label) +
                   gw::ops::normal(rng.fork("x"), {o.nodes, o.inputs}, 0, 1) * deviation.unsqueeze(1);
    gw::TaskData data;
    data.classes = o.classes;
    for (int64_t c = 0; c < o.classes; ++c) data.class_names.push_back("block " + std::to_string(c));
    data.domain_names = {"told by neighbours", "told by itself"};
    gw::split_nodes(data, {{{"label", label}, {"domain", telling}}},
                    gw::graph_common(x, edges(rng.fork("edges"), telling)), o.test_share,
                    static_cast<uint64_t>(o.seed));
    data.origin = "generated";
    return data;
  }

  std::string missing() override { return ""; }

 private:
  /// Labels go round: the nodes of a class are every `classes`-th, so that a partner of the same class is a
  /// draw among these. A telling node ends no homophilous edge: it would learn from its neighbours.
  at::Tensor edges(const gw::Rng& rng, const at::Tensor& telling) const {
    const auto& o = options_;
    const auto* tells = telling.data_ptr<int64_t>();
    std::vector<int64_t> from, to;
    for (int64_t i = 0; i < o.nodes; ++i) {
      const gw::Rng own = rng.fork("node", static_cast<uint64_t>(i));
      uint64_t draw = 0;
      for (int64_t e = 0; e < o.degree / 2; ++e) {
        const bool same = tells[i] == 0 && own.uniform(draw++) < o.homophily;
        int64_t other = i;
        for (int64_t tries = 0; tries < 64; ++tries) {
          other = same ? static_cast<int64_t>(own.below(
                             draw++, static_cast<uint64_t>((o.nodes + o.classes - 1) / o.classes))) *
                                 o.classes +
                             i % o.classes
                       : static_cast<int64_t>(own.below(draw++, static_cast<uint64_t>(o.nodes)));
          if (other != i && other < o.nodes && tells[other] == tells[i]) break;
        }
        if (other >= o.nodes) continue;
        from.push_back(i), to.push_back(other);
      }
    }
    return gw::undirected(at::stack({at::tensor(from, at::kLong), at::tensor(to, at::kLong)}), o.nodes);
  }

  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, BlockGraph);
