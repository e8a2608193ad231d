// Graphs of several families side by side: the same classes, told by values and by edges, in each its own
// way.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/graph.h"
#include "gatewright/ops/random.h"

namespace {

/// `graphs` graphs of each family, of least to most nodes.
/// Edges: random      (Erdős–Rényi) between any two nodes
///        hubs        (Barabási–Albert) from each node to earlier ones, in proportion to their edges
///        blocks      (stochastic block model) between nodes drawn at random
///        ring        to the nearest on a ring on which classes lie side by side
///        Each node starts degree / 2 edges; the share `homophily` of those of hubs and blocks stays in its
///        class, and the share `noise` of a ring's goes anywhere.
/// Values: x_i = (1 − own) μ_y + own ν_fy + deviation · N(0, I): a mean of the class, and one of the class in
///        its family.
/// Fields: "node", "label", "domain" (the family) [n]; `common` of gatewright/data/graph.h and
///        "graph_offsets" [G + 1]. The nodes of all graphs are split for the test.
/// Errors: ValueError for an unknown family, or none.
class GraphFamilies : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::vector<std::string> families = {"random", "hubs", "blocks", "ring"};
    int64_t graphs = 200, least = 50, most = 100, classes = 4, inputs = 16, degree = 6, seed = 0;
    double own = 0.5, deviation = 2, homophily = 0.8, noise = 0.1, test_share = 0.5;
    void fields(gw::OptionVisitor& v) override {
      v.texts("families", families, "of random, hubs, blocks, ring");
      v.integer("graphs", graphs, "of each family", 1, 100000);
      v.integer("least", least, "nodes of a graph", 4, 100000);
      v.integer("most", most, "nodes of a graph", 4, 100000);
      v.integer("classes", classes, "of nodes", 2, 100);
      v.integer("inputs", inputs, "values of a node", 1, 4096);
      v.integer("degree", degree, "mean number of neighbours, even", 2, 1000);
      v.integer("seed", seed, "of all draws", 0, INT64_MAX);
      v.real("own", own, "weight of the mean that a class has in its family alone", 0, 1);
      v.real("deviation", deviation, "of the values", 0, 100);
      v.real("homophily", homophily, "share of the edges of hubs and blocks that stay in a class", 0, 1);
      v.real("noise", noise, "share of a ring's edges that go anywhere", 0, 1);
      v.real("test_share", test_share, "share of the nodes that is held out for the test", 0.01, 0.99);
    }
  };
  static constexpr const char* kSummary = "made: graphs of several families, nodes of the same classes";
  static constexpr const char* kSource = "";

  GraphFamilies(Options options, const Context&) : o_(std::move(options)) {
    GW_CHECK(!o_.families.empty(), "datasets/graph_families: expected at least one family, got none");
    GW_CHECK(o_.most >= o_.least, "datasets/graph_families: expected \"most\" of at least {} nodes, got {}",
             o_.least, o_.most);
    for (const auto& name : o_.families) place_of(name);
  }

  gw::TaskData load() override {
    const gw::Rng rng = gw::Rng(static_cast<uint64_t>(o_.seed)).fork("datasets/graph_families");
    const auto shared = gw::ops::normal(rng.fork("mean"), {o_.classes, o_.inputs}, 0, 1);
    std::vector<at::Tensor> x, edge, label, domain;
    std::vector<int64_t> offsets{0};
    for (size_t f = 0; f < o_.families.size(); ++f) {
      const auto family = rng.fork("family", place_of(o_.families[f]));  // the same in any company
      const auto mean = shared * (1 - o_.own) +
                        gw::ops::normal(family.fork("mean"), {o_.classes, o_.inputs}, 0, 1) * o_.own;
      for (int64_t g = 0; g < o_.graphs; ++g) {
        const auto own = family.fork("graph", static_cast<uint64_t>(g));
        const auto n = o_.least + static_cast<int64_t>(own.fork("size").below(
                                      0, static_cast<uint64_t>(o_.most - o_.least + 1)));
        const auto classes = labels(o_.families[f], n, own.fork("label"));
        label.push_back(at::tensor(classes, at::kLong));
        domain.push_back(at::full({n}, static_cast<int64_t>(f), at::kLong));
        x.push_back(mean.index_select(0, label.back()) +
                    gw::ops::normal(own.fork("x"), {n, o_.inputs}, 0, o_.deviation));
        edge.push_back(gw::undirected(edges(o_.families[f], classes, own.fork("edges")), n) + offsets.back());
        offsets.push_back(offsets.back() + n);
      }
    }
    gw::TaskData data;
    data.classes = o_.classes;
    for (int64_t c = 0; c < o_.classes; ++c) data.class_names.push_back("class " + std::to_string(c));
    data.domain_names = o_.families;
    auto common = gw::graph_common(at::cat(x), at::cat(edge, 1));
    common["graph_offsets"] = at::tensor(offsets, at::kLong);
    gw::split_nodes(data, {{{"label", at::cat(label)}, {"domain", at::cat(domain)}}}, common, o_.test_share,
                    static_cast<uint64_t>(o_.seed));
    data.origin = "generated";
    return data;
  }

  std::string missing() override { return ""; }

 private:
  static uint64_t place_of(const std::string& name) {
    const std::vector<std::string> known{"random", "hubs", "blocks", "ring"};
    const auto found = std::find(known.begin(), known.end(), name);
    GW_CHECK(found != known.end(),
             "datasets/graph_families: expected families of random, hubs, blocks and ring, got \"{}\"", name);
    return static_cast<uint64_t>(found - known.begin());
  }

  /// Of a ring side by side, from a drawn place on; of others drawn.
  std::vector<int64_t> labels(const std::string& family, int64_t n, const gw::Rng& rng) const {
    std::vector<int64_t> out;
    const auto turned = static_cast<int64_t>(rng.below(0, static_cast<uint64_t>(n)));
    for (int64_t i = 0; i < n; ++i)
      out.push_back(family == "ring" ? (i + turned) % n * o_.classes / n
                                     : static_cast<int64_t>(rng.below(static_cast<uint64_t>(i) + 1,
                                                                      static_cast<uint64_t>(o_.classes))));
    return out;
  }

  at::Tensor edges(const std::string& family, const std::vector<int64_t>& label, const gw::Rng& rng) const {
    const auto n = static_cast<int64_t>(label.size());
    std::vector<int64_t> from, to;
    std::vector<int64_t> ends;  // of hubs: every end of an edge once
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t e = 0; e < o_.degree / 2; ++e) {
        const auto own = rng.fork("edge", static_cast<uint64_t>(i * o_.degree + e));
        const int64_t other = end_of(family, label, i, e, ends, own);
        if (other == i) continue;
        from.push_back(i), to.push_back(other);
        ends.push_back(i), ends.push_back(other);
      }
    }
    return at::stack({at::tensor(from, at::kLong), at::tensor(to, at::kLong)});
  }

  /// Where the e-th edge of node i leads; i itself: nowhere.
  int64_t end_of(const std::string& family, const std::vector<int64_t>& label, int64_t i, int64_t e,
                 const std::vector<int64_t>& ends, const gw::Rng& own) const {
    const auto n = static_cast<int64_t>(label.size());
    uint64_t draw = 0;
    const double first = own.uniform(draw++);
    if (family == "ring" && first >= o_.noise) return (i + 1 + e) % n;
    const bool same = (family == "hubs" || family == "blocks") && first < o_.homophily;
    for (int tries = 0; tries < 64; ++tries) {
      int64_t other = i;
      if (family == "hubs" && !ends.empty()) {
        other = ends[own.below(draw++, ends.size())];
      } else {
        other = static_cast<int64_t>(own.below(draw++, static_cast<uint64_t>(n)));
      }
      if (other != i && (!same || label[static_cast<size_t>(other)] == label[static_cast<size_t>(i)]))
        return other;
    }
    return i;
  }

  Options o_;
};

}  // namespace

GW_REGISTER(gw::Dataset, GraphFamilies);
