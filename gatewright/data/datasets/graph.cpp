// A table of nodes and a table of edges: the class of every node is to be told.
#include "gatewright/data/graph.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/frame.h"
#include "gatewright/data/locate.h"

namespace {

/// Nodes from one CSV file and edges from another.
/// Fields: "node" [n], "label" [n]; `common` of gatewright/data/graph.h, "x" with mean 0 and deviation 1 over
///         the training nodes. Nothing of a test node but its inputs and edges is seen before the test.
/// Errors: those of gatewright/data/csv.h, frame.h and graph.h; ValueError for nodes that are all alike.
class Graph : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    std::string nodes = "nodes.csv", edges = "edges.csv", id = "id", from = "from", to = "to",
                label = "label";
    std::vector<std::string> inputs, factors;
    bool directed = false;
    double test_share = 0.2;
    int64_t seed = 0;
    void fields(gw::OptionVisitor& v) override {
      v.text("nodes", nodes, "CSV file of nodes: a path, or a name in $GATEWRIGHT_DATA");
      v.text("edges", edges, "CSV file of edges");
      v.text("id", id, "column of the nodes' names");
      v.text("label", label, "column of the nodes' classes");
      v.text("from", from, "column of the edges' first node");
      v.text("to", to, "column of the edges' second node");
      v.texts("inputs", inputs, "columns of the nodes to predict from; empty: all others");
      v.texts("factors", factors, "numbers that are names of groups");
      v.flag("directed", directed, "take edges one way; otherwise in both directions");
      v.real("test_share", test_share, "share of the nodes that is held out for the test", 0.01, 0.9);
      v.integer("seed", seed, "of the order in which nodes are split", 0, INT64_MAX);
    }
  };
  static constexpr const char* kSummary =
      "a graph from two CSV tables: the class of each node from all of it";
  static constexpr const char* kSource = "";

  Graph(Options options, const Context&) : options_(std::move(options)) {}

  gw::TaskData load() override {
    const auto& o = options_;
    const auto path = gw::find_file("datasets/graph", o.nodes);
    const auto table = gw::load_csv(path);
    std::vector<std::string> names;
    for (int64_t r = 0; r < table.rows(); ++r) names.emplace_back(table.cell(r, table.column(o.id)));
    gw::FrameOptions wanted;
    wanted.response = o.label, wanted.factors = o.factors, wanted.classes = true;
    wanted.inputs = o.inputs;
    for (int64_t c = 0; o.inputs.empty() && c < table.columns(); ++c) {
      const auto& name = table.header()[static_cast<size_t>(c)];
      if (name != o.id && name != o.label && !table.unnamed(c)) wanted.inputs.push_back(name);
    }
    GW_CHECK(!wanted.inputs.empty(), "datasets/graph: expected a column of inputs in \"{}\", got none", path);
    const auto frame = gw::make_frame(table, wanted);
    auto edge = gw::read_edges(gw::load_csv(gw::find_file("datasets/graph", o.edges)), o.from, o.to, names);
    edge = o.directed ? gw::proper_edges(edge, table.rows()) : gw::undirected(edge, table.rows());
    gw::TaskData data;
    data.class_names = frame.schema.classes;
    data.classes = static_cast<int64_t>(data.class_names.size());
    const auto x = at::tensor(frame.x, at::kDouble).view({frame.size(), -1});
    const gw::TensorSet fields{{{"label", at::tensor(frame.y, at::kDouble).to(at::kLong)}}};
    gw::split_nodes(data, fields, {}, o.test_share, static_cast<uint64_t>(o.seed));
    const auto seen = x.index_select(0, data.train.at("node"));
    const auto deviation = (seen - seen.mean(0)).square().mean(0).sqrt();
    const auto scaled = (x - seen.mean(0)) / at::where(deviation > 0, deviation, at::ones_like(deviation));
    data.train.common = data.test.common = gw::graph_common(scaled.to(at::kFloat), edge);
    data.origin = path;
    return data;
  }

  std::string missing() override { return ""; }

 private:
  Options options_;
};

}  // namespace

GW_REGISTER(gw::Dataset, Graph);
