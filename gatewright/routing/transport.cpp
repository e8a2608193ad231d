#include "gatewright/routing/transport.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <numeric>

#include "gatewright/base/check.h"
#include "gatewright/routing/inputs.h"

namespace gw::inline routing {
namespace {

at::Tensor host(const at::Tensor& scores) { return scores.detach().to(at::kDouble).contiguous(); }

// A masked score is worth no more than losing against every open one, or its size would drown the precision.
at::Tensor above_masks(const at::Tensor& scores) {
  if (scores.size(0) == 0) return scores;
  const auto open = scores.masked_fill(scores.le(kMaskedScore / 2), 0);
  return scores.clamp_min((2 * open.min() - open.max() - 1).item<double>());
}

// Slots of one expert as a heap of (bid, token), lowest bid on top: that is the price of getting in.
struct Slots {
  std::vector<std::pair<double, int64_t>> heap;

  double price(int64_t room) const { return static_cast<int64_t>(heap.size()) < room ? 0 : heap[0].first; }
  // What a second row would pay: the rival of the best slot may be the slot beside it.
  double second_price(int64_t room) const {
    const auto taken = static_cast<int64_t>(heap.size());
    if (taken + 2 <= room) return 0;
    if (taken < room) return heap.empty() ? HUGE_VAL : heap[0].first;
    if (heap.size() == 1) return HUGE_VAL;
    return heap.size() == 2 ? heap[1].first : std::min(heap[1].first, heap[2].first);
  }
};

struct Bid {
  int64_t expert = 0;
  double value = 0;
};

Bid best_bid(const double* row, const std::vector<Slots>& slots, int64_t room, double epsilon) {
  Bid bid;
  double best = -HUGE_VAL, second = -HUGE_VAL;
  for (size_t e = 0; e < slots.size(); ++e) {
    const double net = row[e] - slots[e].price(room);
    if (net > best) {
      second = best;
      best = net;
      bid.expert = static_cast<int64_t>(e);
    } else {
      second = std::max(second, net);
    }
  }
  const auto& chosen = slots[static_cast<size_t>(bid.expert)];
  second = std::max(second, row[bid.expert] - chosen.second_price(room));
  bid.value = chosen.price(room) + (second == -HUGE_VAL ? 0 : best - second) + epsilon;
  return bid;
}

}  // namespace

at::Tensor balanced_assignment(const at::Tensor& scores, double precision) {
  const auto dense = above_masks(host(scores));
  const int64_t tokens = dense.size(0), experts = dense.size(1), room = (tokens + experts - 1) / experts;
  auto assigned = at::empty({tokens}, at::kLong);
  if (tokens == 0) return assigned;
  const double range = std::max((dense.max() - dense.min()).item<double>(), 1e-12),
               epsilon = precision * range;
  std::vector<Slots> slots(static_cast<size_t>(experts));
  std::deque<int64_t> waiting(static_cast<size_t>(tokens));
  std::iota(waiting.begin(), waiting.end(), 0);
  const auto limit = static_cast<int64_t>(10.0 * static_cast<double>(tokens * experts) / precision);
  for (int64_t bids = 0; !waiting.empty(); ++bids) {
    GW_CHECK(bids < limit,
             "balanced_assignment: expected an assignment within {} bids, {} tokens still wait; raise the "
             "precision from {}",
             limit, waiting.size(), precision);
    const int64_t t = waiting.front();
    waiting.pop_front();
    const auto bid = best_bid(dense.data_ptr<double>() + t * experts, slots, room, epsilon);
    auto& heap = slots[static_cast<size_t>(bid.expert)].heap;
    if (static_cast<int64_t>(heap.size()) == room) {
      std::pop_heap(heap.begin(), heap.end(), std::greater<>());
      waiting.push_back(heap.back().second);
      heap.pop_back();
    }
    heap.emplace_back(bid.value, t);
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  for (int64_t e = 0; e < experts; ++e) {
    for (const auto& [value, t] : slots[static_cast<size_t>(e)].heap) assigned.data_ptr<int64_t>()[t] = e;
  }
  return assigned;
}

TransportResult sinkhorn(const at::Tensor& scores, double temperature, int64_t iterations, double tolerance) {
  auto log_plan = host(scores) / temperature;
  const auto tokens = static_cast<double>(log_plan.size(0)), experts = static_cast<double>(log_plan.size(1));
  TransportResult result;
  if (log_plan.size(0) == 0) return {log_plan, 0, 0};
  log_plan = log_plan - log_plan.logsumexp(1, true);
  while (result.iterations < iterations) {
    log_plan = log_plan - log_plan.logsumexp(0, true) + std::log(tokens / experts);
    log_plan = log_plan - log_plan.logsumexp(1, true);
    ++result.iterations;
    result.residual = (log_plan.exp().sum(0) * (experts / tokens) - 1).abs().max().item<double>();
    if (result.residual <= tolerance) break;
  }
  result.plan = log_plan.exp();
  return result;
}

namespace {

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// The semi-dual at α, its gradient, and the plan's columns [E][T].
struct SemiDual {
  const at::Tensor scores;  // [E, T], contiguous
  int64_t k;
  double gamma;
  int64_t experts, tokens;
  std::vector<int64_t> order;
  Vector z, plan, row_mass;

  SemiDual(const at::Tensor& by_expert, int64_t k_, double gamma_)
      : scores(by_expert),
        k(k_),
        gamma(gamma_),
        experts(by_expert.size(0)),
        tokens(by_expert.size(1)),
        order(static_cast<size_t>(tokens)),
        z(order.size()),
        plan(static_cast<size_t>(experts * tokens)) {}

  // Projects the k largest of z on the simplex; returns y·z' − ‖y‖²/2 in the scaled units of z. Ties: lowest
  // token.
  double project(double* y) {
    std::iota(order.begin(), order.end(), 0);
    const auto largest = [this](int64_t a, int64_t b) {
      const double za = z[static_cast<size_t>(a)], zb = z[static_cast<size_t>(b)];
      return za > zb || (za == zb && a < b);
    };
    if (k < tokens) std::nth_element(order.begin(), order.begin() + k, order.end(), largest);
    std::sort(order.begin(), order.begin() + k, largest);
    double sum = 0, theta = 0;
    for (int64_t l = 0; l < k; ++l) {
      const double value = z[static_cast<size_t>(order[static_cast<size_t>(l)])];
      sum += value;
      const double candidate = (sum - 1) / static_cast<double>(l + 1);
      if (value <= candidate) break;
      theta = candidate;
    }
    std::fill_n(y, tokens, 0.0);
    double value = 0;
    for (int64_t l = 0; l < k; ++l) {
      const auto t = static_cast<size_t>(order[static_cast<size_t>(l)]);
      const double mass = z[t] - theta;
      if (mass <= 0) break;
      y[t] = mass;
      value += mass * z[t] - mass * mass / 2;
    }
    return value;
  }

  /// Negated value and gradient, times T, so that an α step of 1 is a natural one.
  double operator()(const Vector& alpha, Vector& gradient) {
    const double b = 1.0 / static_cast<double>(experts), scale = gamma * b,
                 mass = static_cast<double>(tokens) * b;
    row_mass.assign(alpha.size(), 0);
    double value = -std::accumulate(alpha.begin(), alpha.end(), 0.0);
    for (int64_t e = 0; e < experts; ++e) {
      const double* s = scores.data_ptr<double>() + e * tokens;
      double* y = plan.data() + e * tokens;
      for (size_t t = 0; t < z.size(); ++t) z[t] = (alpha[t] + s[t]) / scale;
      value += mass * scale * project(y);
      for (size_t t = 0; t < z.size(); ++t) row_mass[t] += mass * y[t];
    }
    for (size_t t = 0; t < gradient.size(); ++t) gradient[t] = row_mass[t] - 1;
    return value;
  }
};

/// L-BFGS with a backtracking line search; enough for a concave, piecewise smooth dual.
class Lbfgs {
 public:
  Vector direction(const Vector& gradient) const {
    Vector q = gradient, weights(steps_.size());
    for (size_t i = steps_.size(); i-- > 0;) {
      weights[i] = dot(steps_[i], q) / curvature_[i];
      for (size_t t = 0; t < q.size(); ++t) q[t] -= weights[i] * changes_[i][t];
    }
    const double scale = steps_.empty() ? 1 : curvature_.back() / dot(changes_.back(), changes_.back());
    for (auto& value : q) value *= -scale;
    for (size_t i = 0; i < steps_.size(); ++i) {
      const double correction = -weights[i] - dot(changes_[i], q) / curvature_[i];
      for (size_t t = 0; t < q.size(); ++t) q[t] += correction * steps_[i][t];
    }
    return q;
  }
  void learn(Vector step, Vector change) {
    const double curvature = dot(step, change);
    if (curvature <= 1e-12 * dot(change, change)) return;
    steps_.push_back(std::move(step)), changes_.push_back(std::move(change)), curvature_.push_back(curvature);
    if (steps_.size() > 10)
      steps_.erase(steps_.begin()), changes_.erase(changes_.begin()), curvature_.erase(curvature_.begin());
  }
  void forget() { steps_.clear(), changes_.clear(), curvature_.clear(); }

 private:
  std::vector<Vector> steps_, changes_;
  Vector curvature_;
};

double largest(const Vector& values) {
  double worst = 0;
  for (const double value : values) worst = std::max(worst, std::abs(value));
  return worst;
}

// One descent step from (x, g, value); false when no step length helps.
bool descend(SemiDual& dual, Lbfgs& memory, Vector& x, Vector& g, double& value) {
  const auto p = memory.direction(g);
  const double slope = dot(p, g);
  Vector trial(x.size()), gradient(x.size());
  for (double length = 1; length > 1e-10; length /= 2) {
    for (size_t t = 0; t < x.size(); ++t) trial[t] = x[t] + length * p[t];
    const double reached = dual(trial, gradient);
    if (!(reached <= value + 1e-4 * length * slope)) continue;
    Vector step(x.size()), change(x.size());
    for (size_t t = 0; t < x.size(); ++t) step[t] = trial[t] - x[t], change[t] = gradient[t] - g[t];
    memory.learn(std::move(step), std::move(change));
    x = trial, g = gradient, value = reached;
    return true;
  }
  return false;
}

// Descends until the rows fit or the steps are used up; false when it stalls. At a kink the line search ends
// or creeps: 25 steps that do not take a fifth off the error never did (measured at T = 64 … 256, k = T/E …
// 1.5 T/E).
bool settle(SemiDual& dual, Vector& alpha, int64_t& spent, int64_t iterations, double tolerance,
            bool patient) {
  Vector gradient(alpha.size());
  double value = dual(alpha, gradient), best = largest(gradient);
  Lbfgs memory;
  for (int64_t idle = 0; largest(gradient) > tolerance && spent < iterations; ++spent) {
    if (!descend(dual, memory, alpha, gradient, value)) {
      memory.forget();  // the curvature is no guide: once more along the gradient itself
      if (!descend(dual, memory, alpha, gradient, value)) return false;
    }
    const double error = largest(gradient);
    idle = error < 0.8 * best ? 0 : idle + 1;
    if (idle == 0) best = error;
    if (!patient && idle >= 25) return false;
  }
  return true;
}

TransportResult assigned(const at::Tensor& scores, double gamma) {
  TransportResult result;
  result.plan =
      at::zeros(scores.sizes(), at::kDouble).scatter_(1, balanced_assignment(scores, 1e-4).unsqueeze(1), 1.0);
  result.gamma = gamma;
  return result;
}

}  // namespace

int64_t least_room(int64_t tokens, int64_t experts) {
  return (tokens + 2 * experts - std::gcd(tokens, experts) - 1) / experts;
}

TransportResult sparse_transport(const at::Tensor& scores, int64_t k, double gamma, int64_t iterations,
                                 double tolerance, bool lower_gamma) {
  const int64_t tokens = scores.size(0), experts = scores.size(1);
  if (tokens == 0) return {host(scores), 0, 0, gamma};
  GW_CHECK(k >= std::min(tokens, least_room(tokens, experts)),
           "sparse_transport: expected at least {} tokens per expert to carry {} over {}, got {}",
           least_room(tokens, experts), tokens, experts, k);
  if (k * experts == tokens) return assigned(scores, gamma);
  SemiDual dual(host(scores).t().contiguous(), std::min(k, tokens), gamma);
  Vector alpha(static_cast<size_t>(tokens), 0), gradient(alpha.size());
  TransportResult result;
  // 20 quarters are a factor of 1e12: below that no penalty is left to lower.
  for (int quarter = 0; !settle(dual, alpha, result.iterations, iterations, tolerance, !lower_gamma) &&
                        lower_gamma && quarter < 20;
       ++quarter) {
    dual.gamma /= 4;
  }
  dual(alpha, gradient);
  result.residual = largest(gradient);
  result.gamma = dual.gamma;
  const auto columns = at::from_blob(dual.plan.data(), {experts, tokens}, at::kDouble);
  result.plan = columns.t().mul(static_cast<double>(tokens) / static_cast<double>(experts)).contiguous();
  return result;
}

SemiDualPoint sparse_transport_semi_dual(const at::Tensor& scores, const at::Tensor& alpha, int64_t k,
                                         double gamma) {
  const int64_t tokens = scores.size(0);
  GW_CHECK(alpha.dim() == 1 && alpha.size(0) == tokens && k >= 1 && k <= tokens && gamma > 0,
           "sparse_transport: expected {} values of alpha, 1 to {} tokens per expert and gamma above 0, got "
           "{}, {} and {:g}",
           tokens, tokens, alpha.numel(), k, gamma);
  SemiDual dual(host(scores).t().contiguous(), k, gamma);
  const auto at = host(alpha);
  Vector values(at.data_ptr<double>(), at.data_ptr<double>() + tokens), slope(values.size());
  const double value = dual(values, slope);
  return {-value, at::tensor(slope, at::kDouble).neg()};
}

}  // namespace gw::inline routing
