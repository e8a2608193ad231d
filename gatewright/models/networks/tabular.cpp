#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/models/table_rows.h"

namespace gw::inline models {
namespace {

/// Rows of a table through mixtures: a linear embedding, residual blocks, a head.
/// Math:   h = W x + b; per block h ← h + mixture(norm(h)); answer = head(norm(h)), with heads = "domain"
/// that of the
///         row's domain.
/// Shapes: x [B, D], "domain" [B] where the data have domains → [B, width].
/// Routers see, where the data have domains, "task" and "route" (the domain, modulo the experts).
class Tabular : public BlockModel {
 public:
  static constexpr const char* kSummary = "linear embedding, blocks of mixture, head: rows of numbers";
  static constexpr const char* kSource = "";
  struct Options : OptionSet {
    int64_t width = 32, depth = 1;
    std::string precision = "f32", heads = "one";
    OptionTable mixture{Json{{"experts", 4}, {"bank", {{"part", "mlp"}, {"hidden", 32}}}}};
    void fields(OptionVisitor& v) override {
      v.integer("width", width, "width of a row after the embedding", 1, 1 << 16);
      v.text("heads", heads, "one for all rows, or one for each domain of the data", {"one", "domain"});
      v.integer("depth", depth, "blocks", 1, 1024);
      visit_precision(v, precision);
      v.table("mixture", mixture,
              "options of each block's mixture: {experts = 4, gate = …, policy = …, bank = …, balancers = "
              "[...]}");
    }
  };

  Tabular(const Options& options, const Context& context)
      : BlockModel("Tabular"), options_(options), context_(context) {
    GW_CHECK(context.data.inputs > 0,
             "networks/tabular: expected data with the field \"x\", got none; take table");
    GW_CHECK(!context.answer.per_token,
             "networks/tabular: expected a task with one answer for each row, got one for each token");
    const Rng rng = Rng(context.seed).fork("networks/tabular");
    embedding_ = register_module(
        "embedding", std::make_shared<Linear>(context.data.inputs, options.width, rng.fork("embedding")));
    blocks_ =
        register_module("blocks", std::make_shared<MixtureBlocks>(MixtureBlocks::Options{
                                      options.width, options.depth, options.mixture.json(), facts(),
                                      options.precision, "networks/tabular", rng.fork("blocks").key()}));
    norm_ = register_module("norm", std::make_shared<RmsNorm>(options.width));
    GW_CHECK(options.heads == "one" || context.data.domains > 0,
             "networks/tabular: expected data with domains for heads = \"domain\", got none; take heads = "
             "\"one\"");
    heads_ = options.heads == "one" ? 1 : context.data.domains;
    head_ = register_module(
        "head", std::make_shared<Linear>(options.width, heads_ * context.answer.width, rng.fork("head")));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto& x = batch.at("x");
    GW_CHECK(x.dim() == 2 && x.size(1) == context_.data.inputs,
             "networks/tabular: expected rows [B, {}], got {} dimensions", context_.data.inputs, x.dim());
    RouterInputs inputs;
    const auto domain = batch.find("domain");
    if (domain.defined() && context_.data.domains > 0) tell_domain(inputs, domain, blocks_->experts());
    auto own = pass;
    own.rng = pass.rng.fork("networks/tabular");
    Output out;
    auto h = embedding_->forward(x);
    for (int64_t i = 0; i < blocks_->depth(); ++i) h = blocks_->forward(i, h, inputs, own, out.plans);
    out.answer = head_->forward(norm_->forward(h));
    if (heads_ > 1) out.answer = of_domain(out.answer, batch.at("domain"));
    return out;
  }

  Batch example(int64_t count, const Rng& rng) const override {
    auto batch = drawn_rows(count, context_.data.inputs, rng);
    if (context_.data.domains > 0)
      batch.fields["domain"] = at::arange(count, at::kLong).remainder(context_.data.domains);
    return batch;
  }

 private:
  std::vector<std::string> facts() const {
    std::vector<std::string> known{"the scores"};
    if (context_.data.domains > 0) known.insert(known.end(), {"task", "route"});
    return known;
  }

  /// [B, heads · width] → [B, width]: of each row its domain's.
  at::Tensor of_domain(const at::Tensor& all, const at::Tensor& domain) const {
    const int64_t width = context_.answer.width;
    const auto column = domain.unsqueeze(1) * width + at::arange(width, at::kLong);
    return all.gather(1, column);
  }

  Options options_;
  Context context_;
  int64_t heads_ = 1;
  std::shared_ptr<Linear> embedding_, head_;
  std::shared_ptr<RmsNorm> norm_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::Tabular);
