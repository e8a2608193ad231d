#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/train/answers.h"
#include "gatewright/train/pair_scores.h"
#include "gatewright/train/task.h"

namespace gw::inline train {
namespace {

/// Texts that belong together, told from the others of the batch (multiple negatives ranking).
/// Math:   answers a_i, b_i of the pairs of a batch: s_ij = ⟨a_i, b_j⟩, loss = mean_i CE(s_i·, i), with
///         `symmetric` the mean of that and of mean_j CE(s_·j, j). The scale of s is the model's. With
///         `within` = "domain" a pair meets those of its own domain alone.
/// Measured on batches: contrastive_loss, found (the share whose own partner is the nearest). On the test
/// set,
///         domain by domain and then the mean over the domains (gatewright/train/pair_scores.h): f1 with a
///         threshold that other held-out pairs set, f1_worst of all domains, similarity of pairs and of
///         others, ratio of the two (others below 0.01 count as 0.01), nearest; f1_wrong_domain and
///         nearest_wrong_domain, where each pair is told the next domain in place of its own, and thresholds
///         are those of the wrong domain.
/// Errors: ValueError for a batch of answers that are not [B, 2, D], for fewer than 4 test pairs of a domain.
/// Source: Henderson et al. 2017, arXiv 1705.00652; the learned scale: Radford et al. 2021, arXiv 2103.00020.
class Contrastive : public Task {
 public:
  static constexpr const char* kSummary = "two texts belong together: their vectors among those of the batch";
  static constexpr const char* kSource = "Henderson et al. 2017, arXiv 1705.00652";
  struct Options : OptionSet {
    bool symmetric = false;
    std::string within = "batch";
    void fields(OptionVisitor& v) override {
      v.flag("symmetric", symmetric, "also the first text among those of the batch");
      v.text("within", within, "whose partners a pair is told from", {"batch", "domain"});
    }
  };

  Contrastive(const Options& options, const Context&) : options_(options) {}

  std::vector<std::string> fields() const override {
    std::vector<std::string> names{"token", "other"};
    if (options_.within == "domain") names.push_back("domain");
    return names;
  }
  AnswerSpec answer(const DataSpec&) const override { return {2, false, {{"text", 1}, {"other", 1}}}; }

  at::Tensor loss(const Output& output, const Batch& batch) const override {
    const auto s = scores(output, batch);
    const auto own = at::arange(s.size(0), at::kLong);
    const auto one = at::cross_entropy_loss(s, own);
    return options_.symmetric ? (one + at::cross_entropy_loss(s.t(), own)) / 2 : one;
  }

  std::map<std::string, double> measure(const Output& output, const Batch& batch,
                                        double loss) const override {
    const auto right = scores(output, batch).detach().argmax(1).eq(at::arange(batch.size(), at::kLong));
    return {{"contrastive_loss", loss}, {"found", right.to(at::kDouble).mean().item<double>()}};
  }

  std::vector<std::string> measures() const override { return {"contrastive_loss", "found"}; }
  std::vector<std::string> tested() const override {
    auto names = validated();
    names.insert(names.end(), {"f1", "f1_worst", "similarity", "similarity_of_others", "ratio", "nearest",
                               "f1_wrong_domain", "nearest_wrong_domain"});
    return names;
  }
  std::string best_by() const override { return "contrastive_loss"; }
  bool more_is_better() const override { return false; }

  Measured test(const EvaluationPass& pass) const override {
    auto out = Task::test(pass);
    const auto domain = pass.set.find("domain");
    const auto vectors = answers_to({pass.model, pass.set, pass.rng, pass.frame});
    const auto all = by_domain(vectors, domain);
    double count = 0, worst = kInfinity;
    for (const auto& [name, value] : means(all)) out.metrics[name] = value;
    for (const auto& one : all) worst = std::min(worst, one.f1), count += 1;
    out.metrics["f1_worst"] = worst;
    if (count < 2) return out;
    auto wrong = pass.set;
    wrong.fields["domain"] = (domain + 1).remainder(static_cast<int64_t>(all.size()));
    const auto told = means(by_domain(answers_to({pass.model, wrong, pass.rng, pass.frame}), domain));
    for (const char* name : {"f1", "nearest"})
      out.metrics[std::string(name) + "_wrong_domain"] = told.at(name);
    return out;
  }

 private:
  at::Tensor scores(const Output& output, const Batch& batch) const {
    const auto& answer = output.answer;
    GW_CHECK(answer.dim() == 3 && answer.size(1) == 2 && answer.size(0) == batch.size(),
             "tasks/contrastive: expected two vectors for each of {} pairs, got {}; take sentence_encoder",
             batch.size(), c10::str(answer.sizes()));
    const auto s = at::matmul(answer.select(1, 0), answer.select(1, 1).t());
    if (options_.within == "batch") return s;
    const auto& domain = batch.at("domain");
    return s.masked_fill(domain.unsqueeze(1).ne(domain.unsqueeze(0)), kMaskedScore);
  }

  static std::vector<PairScores> by_domain(const at::Tensor& vectors, const at::Tensor& domain) {
    if (!domain.defined()) return {pair_scores(vectors)};
    std::vector<PairScores> out;
    const auto domains = domain.max().item<int64_t>() + 1;
    for (int64_t d = 0; d < domains; ++d)
      out.push_back(pair_scores(vectors.index_select(0, domain.eq(d).nonzero().squeeze(1))));
    return out;
  }

  static std::map<std::string, double> means(const std::vector<PairScores>& all) {
    constexpr double kLeast = 0.01;
    std::map<std::string, double> sum;
    for (const auto& one : all) {
      sum["f1"] += one.f1, sum["nearest"] += one.found;
      sum["similarity"] += one.together, sum["similarity_of_others"] += one.apart;
    }
    for (auto& item : sum) item.second /= static_cast<double>(all.size());
    sum["ratio"] = sum["similarity"] / std::max(sum["similarity_of_others"], kLeast);
    return sum;
  }

  Options options_;
};

}  // namespace
}  // namespace gw::inline train

GW_REGISTER(gw::Task, gw::Contrastive);
