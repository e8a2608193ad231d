// Rows of factors and numbers with a click that pairs and triples of them decide: a made table whose
// interactions are known.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>

#include "gatewright/base/check.h"
#include "gatewright/base/registry.h"
#include "gatewright/data/dataset.h"
#include "gatewright/ops/random.h"

namespace {

/// `factors` factors of `levels` levels, all alike likely, and `numbers` numbers from N(0, 1).
/// Math:   score = Σ_f m_f(x_f)·main + Σ over drawn pairs of a table over both levels (two numbers enter as
///         their product, a number with a factor by a slope of the level) + Σ over drawn triples of
///         factors of a table over three levels; each term has the deviation 1 (`main`: that of each field's
///         own). click with the chance σ(strength·(score − its mean) / its deviation).
/// Fields: "x" [n, factors·levels + numbers]; "label" [n]; "targets" [n, 1] of classes "no", "yes", named
///         click. Known pairs: those drawn, and the three of each triple.
/// Errors: ValueError for more pairs or triples than there are.
class ClickTable : public gw::Dataset {
 public:
  struct Options : gw::OptionSet {
    int64_t factors = 10, levels = 20, numbers = 0, pairs = 8, triples = 4, train = 60000, test = 15000,
            seed = 0;
    double main = 0.5, strength = 3;
    void fields(gw::OptionVisitor& v) override {
      v.integer("factors", factors, "factors of a row", 0, 1000);
      v.integer("levels", levels, "levels of each factor", 2, 1000);
      v.integer("numbers", numbers, "numbers of a row", 0, 1000);
      v.integer("pairs", pairs, "pairs of fields that act together", 0, 1000);
      v.integer("triples", triples, "triples of factors that act together", 0, 1000);
      v.integer("train", train, "training rows", 10, 10000000);
      v.integer("test", test, "test rows", 10, 10000000);
      v.integer("seed", seed, "of tables and rows", 0, INT64_MAX);
      v.real("main", main, "deviation of what each field says by itself", 0, 100);
      v.real("strength", strength, "deviation of the click's log odds", 0.01, 100);
    }
  };
  static constexpr const char* kSummary =
      "made: factors and numbers, a click by tables over pairs and triples of them";
  static constexpr const char* kSource = "";

  ClickTable(Options options, const Context&) : o_(options) {
    const int64_t m = o_.factors + o_.numbers, f = o_.factors;
    GW_CHECK(m >= 2 && o_.pairs <= m * (m - 1) / 2,
             "datasets/click_table: expected at most {} pairs of {} fields, got {}", m * (m - 1) / 2, m,
             o_.pairs);
    GW_CHECK(o_.triples <= f * (f - 1) * (f - 2) / 6,
             "datasets/click_table: expected at most {} triples of {} factors, got {}",
             f * (f - 1) * (f - 2) / 6, f, o_.triples);
  }

  gw::TaskData load() override {
    const auto rng = gw::Rng(static_cast<uint64_t>(o_.seed)).fork("datasets/click_table");
    const int64_t n = o_.train + o_.test;
    gw::TaskData data;
    const auto rows = made_rows(rng, n, data);
    auto score = at::zeros({n}, at::kDouble);
    add_main(rng, rows, score);
    add_pairs(rng, rows, score, data);
    add_triples(rng, rows, score, data);
    std::sort(data.known_pairs.begin(), data.known_pairs.end());
    data.known_pairs.erase(std::unique(data.known_pairs.begin(), data.known_pairs.end()),
                           data.known_pairs.end());
    const auto odds = standardised(score) * o_.strength;
    const auto click = gw::ops::uniform(rng.fork("click"), {n}, 0, 1).to(at::kDouble).lt(at::sigmoid(odds));
    gw::TensorSet all{
        {{"x", rows.x}, {"label", click.to(at::kLong)}, {"targets", click.to(at::kFloat).unsqueeze(1)}}};
    all.common["target_classes"] = at::full({1}, 2, at::kLong);
    data.train = all.rows(at::arange(o_.train, at::kLong));
    data.test = all.rows(at::arange(o_.train, n, at::kLong));
    data.classes = 2, data.class_names = {"no", "yes"};
    data.targets.push_back({"click", {"no", "yes"}});
    data.origin = "generated";
    return data;
  }

  std::string missing() override { return ""; }
  std::vector<std::string> targets() const override { return {"click"}; }

 private:
  struct Rows {
    at::Tensor level, number, x;  // [n, factors] int64, [n, numbers] f64, [n, D]
  };

  Rows made_rows(const gw::Rng& rng, int64_t n, gw::TaskData& data) const {
    Rows rows;
    rows.level = gw::ops::uniform(rng.fork("levels"), {n, o_.factors}, 0, static_cast<double>(o_.levels))
                     .to(at::kLong)
                     .clamp_max(o_.levels - 1);
    const auto number = gw::ops::normal(rng.fork("numbers"), {n, o_.numbers}, 0, 1);
    rows.number = number.to(at::kDouble);
    const auto ones = at::one_hot(rows.level, o_.levels).to(at::kFloat).view({n, o_.factors * o_.levels});
    rows.x = at::cat({ones, number}, 1);
    for (int64_t f = 0; f < o_.factors; ++f)
      data.fields.push_back({"f" + std::to_string(f), f * o_.levels, o_.levels, false});
    for (int64_t k = 0; k < o_.numbers; ++k) {
      const int64_t column = o_.factors * o_.levels + k;
      data.fields.push_back({"n" + std::to_string(k), column, 1, true}), data.numeric.push_back(column);
    }
    return rows;
  }

  static at::Tensor standardised(const at::Tensor& v) {
    const auto centred = v - v.mean();
    return centred / centred.square().mean().sqrt().clamp_min(1e-12);
  }
  at::Tensor table(const gw::Rng& rng, int64_t cells) const {
    return gw::ops::normal(rng.fork("table"), {cells}, 0, 1).to(at::kDouble);
  }

  void add_main(const gw::Rng& rng, const Rows& rows, at::Tensor& score) const {
    for (int64_t m = 0; m < o_.factors + o_.numbers; ++m) {
      const auto own = rng.fork("main", static_cast<uint64_t>(m));
      const auto term = m < o_.factors ? table(own, o_.levels).index_select(0, rows.level.select(1, m))
                                       : rows.number.select(1, m - o_.factors);
      score = score + standardised(term) * o_.main;
    }
  }

  void add_pairs(const gw::Rng& rng, const Rows& rows, at::Tensor& score, gw::TaskData& data) const {
    const int64_t m = o_.factors + o_.numbers;
    std::vector<std::pair<int64_t, int64_t>> all;
    for (int64_t a = 0; a < m; ++a) {
      for (int64_t b = a + 1; b < m; ++b) all.emplace_back(a, b);
    }
    const auto order = rng.fork("pairs").permutation(static_cast<int64_t>(all.size()));
    for (int64_t i = 0; i < o_.pairs; ++i) {
      const auto [a, b] = all[static_cast<size_t>(order[static_cast<size_t>(i)])];
      score = score + standardised(pair_term(rng.fork("pair", static_cast<uint64_t>(i)), rows, a, b));
      data.known_pairs.emplace_back(a, b);
    }
  }

  /// a < b, so that where one of them is a factor, a is.
  at::Tensor pair_term(const gw::Rng& rng, const Rows& rows, int64_t a, int64_t b) const {
    if (a >= o_.factors) return rows.number.select(1, a - o_.factors) * rows.number.select(1, b - o_.factors);
    const auto level = rows.level.select(1, a);
    if (b >= o_.factors)
      return table(rng, o_.levels).index_select(0, level) * rows.number.select(1, b - o_.factors);
    return table(rng, o_.levels * o_.levels).index_select(0, level * o_.levels + rows.level.select(1, b));
  }

  void add_triples(const gw::Rng& rng, const Rows& rows, at::Tensor& score, gw::TaskData& data) const {
    std::vector<std::array<int64_t, 3>> all;
    for (int64_t a = 0; a < o_.factors && o_.triples > 0; ++a) {
      for (int64_t b = a + 1; b < o_.factors; ++b) {
        for (int64_t c = b + 1; c < o_.factors; ++c) all.push_back({a, b, c});
      }
    }
    const auto order = rng.fork("triples").permutation(static_cast<int64_t>(all.size()));
    for (int64_t i = 0; i < o_.triples; ++i) {
      const auto [a, b, c] = all[static_cast<size_t>(order[static_cast<size_t>(i)])];
      const auto cell = (rows.level.select(1, a) * o_.levels + rows.level.select(1, b)) * o_.levels +
                        rows.level.select(1, c);
      const auto cells =
          table(rng.fork("triple", static_cast<uint64_t>(i)), o_.levels * o_.levels * o_.levels);
      score = score + standardised(cells.index_select(0, cell));
      for (const auto& [x, y] : {std::pair{a, b}, std::pair{a, c}, std::pair{b, c}})
        data.known_pairs.emplace_back(x, y);
    }
  }

  Options o_;
};

}  // namespace

GW_REGISTER(gw::Dataset, ClickTable);
