#include <ATen/ATen.h>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/models/field_embedding.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/models/model.h"
#include "gatewright/models/table_rows.h"
#include "gatewright/ops/cost.h"

namespace gw::inline models {
namespace {

/// What every column says by itself, and the products of every two fields' vectors.
/// Math:   y = W x + b + H Σ_{m<k} e_m ∘ e_k, e the field embeddings; with one answer and H all ones it is
///         the factorization machine, without `pairs` the linear (logistic) regression.
/// Shapes: x [B, D] → [B, answer].
/// Errors: ValueError for data without "x" and a task of one answer for each token.
/// Cost:   multiply-adds of a row: D·(answer + embedding) + M·embedding.
/// Source: Rendle 2010, "Factorization machines"; differs: H is learned, so that several answers share the
///         vectors (He and Chua 2017, arXiv 1708.05027, without its hidden layers).
class FactorizationMachine : public Model {
 public:
  static constexpr const char* kSummary =
      "linear in all columns, plus products of the fields' vectors: tables";
  static constexpr const char* kSource = "Rendle 2010";
  struct Options : OptionSet {
    int64_t embedding = 16;
    bool pairs = true;
    void fields(OptionVisitor& v) override {
      v.integer("embedding", embedding, "width of each field's vector", 1, 4096);
      v.flag("pairs", pairs, "products of two fields; without them the model is linear");
    }
  };

  FactorizationMachine(const Options& options, const Context& context)
      : Model("FactorizationMachine"), inputs_(context.data.inputs) {
    GW_CHECK(
        inputs_ > 0,
        "networks/factorization_machine: expected data with the field \"x\", got none; take mixed_table");
    GW_CHECK(!context.answer.per_token,
             "networks/factorization_machine: expected a task with one answer for each row, got one for each "
             "token");
    const Rng rng = Rng(context.seed).fork("networks/factorization_machine");
    linear_ = register_module("linear",
                              std::make_shared<Linear>(inputs_, context.answer.width, rng.fork("linear")));
    if (!options.pairs) return;
    embedding_ = register_module(
        "embedding", std::make_shared<FieldEmbedding>(fields_of(context.data), inputs_,
                                                      FieldEmbedding::Options{options.embedding, 0, 0.05},
                                                      rng.fork("fields")));
    mix_ = register_parameter("mix", at::ones({context.answer.width, options.embedding}));
  }

  Output answer(const Batch& batch, const Pass&) override {
    const auto& x = batch.at("x");
    GW_CHECK(x.dim() == 2 && x.size(1) == inputs_,
             "networks/factorization_machine: expected rows [B, {}], got {} dimensions", inputs_, x.dim());
    Output out;
    out.answer = linear_->forward(x);
    if (!embedding_) return out;
    const auto e = embedding_->forward(x);
    ops::CostRecorder::add(e.numel() + x.size(0) * mix_.numel());
    // Σ_{m<k} e_m ∘ e_k = (Σ² − Σ of squares) / 2.
    const auto pairs = (e.sum(1).square() - e.square().sum(1)) / 2;
    out.answer = out.answer + at::linear(pairs, mix_);
    return out;
  }

  Batch example(int64_t count, const Rng& rng) const override { return drawn_rows(count, inputs_, rng); }

  bool routed() const override { return false; }

 private:
  int64_t inputs_;
  std::shared_ptr<Linear> linear_;
  std::shared_ptr<FieldEmbedding> embedding_;
  at::Tensor mix_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::FactorizationMachine);
