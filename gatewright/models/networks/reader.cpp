#include <ATen/ATen.h>

#include <cmath>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/cloze.h"
#include "gatewright/models/frame_steps.h"
#include "gatewright/models/mixture_blocks.h"
#include "gatewright/models/table_rows.h"
#include "gatewright/ops/conv.h"
#include "gatewright/ops/init.h"
#include "gatewright/ops/random.h"

namespace gw::inline models {
namespace {

/// Points at a word of a text that answers a question with a gap.
/// Math:   h = embedding(token) + side(is it of the question, does the word stand on the other side too); per
///         block h ← h + relu(conv(norm(h))), centred over `kernel` words, then h ← h + mixture(norm(h));
///         score of context word t: ⟨P n_t, P g⟩ / √D + ⟨u, n_t⟩, n = norm(h), g that of the gap (the mean of
///         the question without one). Words are looked for where their neighbours are those of the gap.
/// Shapes: token [B, T] as datasets/cloze lays it out; the last C = width of the answer are the context →
///         [B, C], masked where there is no word.
/// Errors: ValueError for data without tokens, fewer tokens than places, an even kernel, options that a
///         mixture refuses.
/// Cost:   per token and block kernel·D² and that of the mixture's bank.
/// Routers see: "token_id", "sequence" (place in the batch) and, where the data have domains, "task" and
///         "route" (the domain, modulo the experts).
/// Source: ours, for the claims of arXiv 2204.09598: a mixture over the tokens between encoder and answer.
///         Not its network: no pre-trained encoder, one place in the text for start and end.
class Reader : public BlockModel {
 public:
  static constexpr const char* kSummary =
      "reads a question with a gap and a text, points at the missing word";
  static constexpr const char* kSource = "after arXiv 2204.09598";
  struct Options : OptionSet {
    int64_t width = 48, depth = 2, kernel = 5;
    double forget = 0;
    OptionTable mixture{Json{{"experts", 4}, {"bank", {{"part", "mlp"}, {"hidden", 96}}}}};
    void fields(OptionVisitor& v) override {
      v.integer("width", width, "width D of a token", 1, 1 << 16);
      v.integer("depth", depth, "blocks", 1, 64);
      v.integer("kernel", kernel, "words that a convolution sees, odd", 1, 255);
      v.real("forget", forget, "share of the words that a training pass does not see", 0, 0.9);
      v.table("mixture", mixture,
              "options of each block's mixture: {experts = 4, gate = …, policy = …, bank = …, balancers = "
              "[...]}");
    }
  };

  Reader(const Options& options, const Context& context)
      : BlockModel("Reader"), o_(options), context_(context) {
    const auto& data = context.data;
    GW_CHECK(
        data.vocabulary > kFirstWord && data.context > context.answer.width && !context.answer.per_token,
        "networks/reader: expected data with questions and one place for each answer, got something else; "
        "take cloze");
    GW_CHECK(options.kernel % 2 == 1, "networks/reader: expected an odd \"kernel\", got {}", options.kernel);
    const Rng rng = Rng(context.seed).fork("networks/reader");
    const int64_t d = options.width;
    embedding_ =
        register_parameter("embedding", ops::normal(rng.fork("embedding"), {data.vocabulary, d}, 0, 1));
    side_ = register_parameter("side", ops::normal(rng.fork("side"), {4, d}, 0, 1));
    std::vector<std::string> facts{"token_id", "sequence"};
    if (data.domains > 0) facts.insert(facts.end(), {"task", "route"});
    blocks_ = register_module("blocks", std::make_shared<MixtureBlocks>(MixtureBlocks::Options{
                                            d, options.depth, options.mixture.json(), facts, "f32",
                                            "networks/reader", rng.fork("blocks").key()}));
    for (int64_t i = 0; i < options.depth; ++i) {
      const auto name = std::to_string(i);
      norms_.push_back(register_module("norm" + name, std::make_shared<RmsNorm>(d)));
      convolutions_.push_back(register_module(
          "conv" + name,
          std::make_shared<TimeConv>(TimeConvShape{d, d, options.kernel, 1, options.kernel / 2},
                                     rng.fork("conv", static_cast<uint64_t>(i)))));
    }
    last_ = register_module("norm", std::make_shared<RmsNorm>(d));
    product_ = register_parameter("product", ops::default_uniform(rng.fork("product"), {d, d}));
    prior_ = register_parameter("prior", ops::default_uniform(rng.fork("prior"), {1, d}));
  }

  Output answer(const Batch& batch, const Pass& pass) override {
    const auto& given = batch.at("token");
    const int64_t c = context_.answer.width;
    GW_CHECK(given.dim() == 2 && given.scalar_type() == at::kLong && given.size(1) > c,
             "networks/reader: expected tokens [B, T] int64 of more than {} places, got {}", c,
             c10::str(given.sizes()));
    auto own = pass;
    own.rng = pass.rng.fork("networks/reader");
    const auto token = forgotten(given, own);
    const int64_t b = token.size(0), t = token.size(1), d = o_.width;
    auto inputs = facts(batch);
    auto h = at::embedding(embedding_, token) + at::embedding(side_, sides(token, c));
    Output out;
    for (int64_t i = 0; i < blocks_->depth(); ++i) {
      const auto n = static_cast<size_t>(i);
      h = h + at::relu(convolutions_[n]->forward(norms_[n]->forward(h)));
      h = blocks_->forward(i, h.reshape({b * t, d}), inputs, own, out.plans).view({b, t, d});
    }
    h = last_->forward(h);
    const auto gap = gaps(token, t - c).to(h.scalar_type());
    const auto asked = (h * gap.unsqueeze(2)).sum(1) / gap.sum(1, true).clamp_min(1);
    const auto text = h.narrow(1, t - c, c).reshape({b * c, d});
    const auto keys = ops::linear(text, product_, {}).view({b, c, d});
    const auto query = ops::linear(asked, product_, {}).unsqueeze(2);
    const auto score = at::bmm(keys, query).squeeze(2) / std::sqrt(static_cast<double>(d)) +
                       ops::linear(text, prior_, {}).view({b, c});
    out.answer = score.masked_fill(given.narrow(1, t - c, c).lt(kFirstWord), kMaskedScore);
    return out;
  }

  Batch example(int64_t count, const Rng& rng) const override {
    const auto& data = context_.data;
    Batch batch;
    batch.fields["token"] = ops::uniform(rng.fork("token"), {count, data.context}, kFirstWord,
                                         static_cast<double>(data.vocabulary))
                                .to(at::kLong)
                                .clamp_max(data.vocabulary - 1);
    if (data.domains > 0) batch.fields["domain"] = at::arange(count, at::kLong).remainder(data.domains);
    batch.index = at::arange(count, at::kLong);
    return batch;
  }

 private:
  /// In training a share of the words is not seen: the gap and the separator always are.
  at::Tensor forgotten(const at::Tensor& token, const Pass& pass) const {
    if (o_.forget == 0 || !pass.training(is_training())) return token;
    const auto lost = ops::uniform(pass.rng.fork("forget"), token.sizes(), 0, 1) < o_.forget;
    return token.masked_fill(lost.logical_and(token.ge(kFirstWord)), kNoWord);
  }

  /// 0 and 1: of the question; 2 and 3: of the context; odd ones stand on the other side too.
  static at::Tensor sides(const at::Tensor& token, int64_t c) {
    const int64_t q = token.size(1) - c;
    const auto question = token.narrow(1, 0, q), text = token.narrow(1, q, c);
    const auto same =
        question.unsqueeze(2).eq(text.unsqueeze(1)).logical_and(question.ge(kFirstWord).unsqueeze(2));
    return at::cat({same.any(2).to(at::kLong), same.any(1).to(at::kLong) + 2}, 1);
  }

  /// Where the gap is [B, T]; without one the whole question.
  static at::Tensor gaps(const at::Tensor& token, int64_t question) {
    const auto gap = token.eq(kGapWord);
    const auto all = at::arange(token.size(1), at::kLong).lt(question).unsqueeze(0);
    return gap.logical_or(gap.any(1, true).logical_not().logical_and(all));
  }

  RouterInputs facts(const Batch& batch) const {
    const auto& token = batch.at("token");
    const int64_t b = token.size(0), t = token.size(1);
    RouterInputs inputs;
    inputs.token_id = token.reshape({-1});
    inputs.sequence = at::arange(b, at::kLong).repeat_interleave(t);
    if (const auto domain = batch.find("domain"); domain.defined())
      tell_domain(inputs, domain.repeat_interleave(t), blocks_->experts());
    return inputs;
  }

  Options o_;
  Context context_;
  at::Tensor embedding_, side_, product_, prior_;
  std::vector<std::shared_ptr<RmsNorm>> norms_;
  std::vector<std::shared_ptr<TimeConv>> convolutions_;
  std::shared_ptr<RmsNorm> last_;
};

}  // namespace
}  // namespace gw::inline models

GW_REGISTER(gw::Model, gw::Reader);
