#pragma once
// Every activation once more, from its paper's formula, in long double: what the catalogue is compared with.
#include <cmath>
#include <functional>
#include <map>
#include <string>

namespace gw::test {

using Real = long double;
using Formula = std::function<Real(Real)>;

inline Real logistic(Real x) { return 1 / (1 + std::exp(-x)); }
inline Real log_one_plus_exp(Real x) { return std::log(1 + std::exp(x)); }
inline Real normal_law(Real x) { return (1 + std::erf(x / std::sqrt(Real(2)))) / 2; }
inline Real relu6_of(Real x) { return std::fmin(6, std::fmax(0, x)); }
inline Real arctan_share(Real x) { return std::atan(x) / Real(M_PIl) + Real(0.5); }
inline Real elu_of(Real x) { return x > 0 ? x : std::exp(x) - 1; }

inline std::map<std::string, Formula> rectifiers() {
  return {
      {"identity", [](Real x) { return x; }},
      {"relu", [](Real x) { return std::fmax(0, x); }},
      {"leaky_relu", [](Real x) { return x > 0 ? x : Real(0.01) * x; }},
      {"prelu", [](Real x) { return std::fmax(0, x) + Real(0.25) * std::fmin(0, x); }},
      {"relu6", relu6_of},
      {"relu_squared", [](Real x) { return std::pow(std::fmax(0, x), 2); }},
      {"star_relu",
       [](Real x) { return (std::pow(std::fmax(0, x), 2) - Real(0.5)) / std::sqrt(Real(1.25)); }},
      {"helu", [](Real x) { return std::fmax(0, x); }},
      {"softshrink", [](Real x) { return x > 0.5 ? x - Real(0.5) : (x < -0.5 ? x + Real(0.5) : 0); }},
      {"elu", elu_of},
      {"selu",
       [](Real x) {
         return Real(1.0507009873554804934L) * (x > 0 ? x : Real(1.6732632423543772848L) * elu_of(x));
       }},
      {"celu", elu_of},
      {"isrlu", [](Real x) { return x > 0 ? x : x / std::sqrt(1 + x * x); }},
      {"softplus", log_one_plus_exp},
      {"squareplus", [](Real x) { return (x + std::sqrt(x * x + 4)) / 2; }},
  };
}

inline std::map<std::string, Formula> squashers() {
  return {
      {"sigmoid", logistic},
      {"hard_sigmoid", [](Real x) { return relu6_of(x + 3) / 6; }},
      {"tanh", [](Real x) { return (std::exp(x) - std::exp(-x)) / (std::exp(x) + std::exp(-x)); }},
      {"hard_tanh", [](Real x) { return std::fmin(1, std::fmax(-1, x)); }},
      {"penalized_tanh", [](Real x) { return std::tanh(x) * (x > 0 ? 1 : Real(0.25)); }},
      {"softsign", [](Real x) { return x / (1 + std::fabs(x)); }},
      {"log_sigmoid", [](Real x) { return std::log(logistic(x)); }},
  };
}

inline std::map<std::string, Formula> self_gated() {
  return {
      {"silu", [](Real x) { return x * logistic(x); }},
      {"quick_gelu", [](Real x) { return x * logistic(Real(1.702) * x); }},
      {"gelu", [](Real x) { return x * normal_law(x); }},
      {"gelu_tanh",
       [](Real x) {
         return x / 2 * (1 + std::tanh(std::sqrt(2 / Real(M_PIl)) * (x + Real(0.044715) * x * x * x)));
       }},
      {"mish", [](Real x) { return x * std::tanh(log_one_plus_exp(x)); }},
      {"hard_swish", [](Real x) { return x * relu6_of(x + 3) / 6; }},
      {"hard_mish", [](Real x) { return x / 2 * std::fmin(2, std::fmax(0, x + 2)); }},
      {"golu", [](Real x) { return x * std::exp(-std::exp(-x)); }},
      {"atlu", [](Real x) { return x * arctan_share(x); }},
      {"logish", [](Real x) { return x * std::log(1 + logistic(x)); }},
      {"tanh_exp", [](Real x) { return x * std::tanh(std::exp(x)); }},
      {"smish", [](Real x) { return x * std::tanh(std::log(1 + logistic(x))); }},
      {"serf", [](Real x) { return x * std::erf(log_one_plus_exp(x)); }},
      {"phish", [](Real x) { return x * std::tanh(x * normal_law(x)); }},
      {"lisht", [](Real x) { return x * std::tanh(x); }},
      {"gcu", [](Real x) { return x * std::cos(x); }},
      {"elish", [](Real x) { return logistic(x) * (x >= 0 ? x : std::exp(x) - 1); }},
      {"e_swish", [](Real x) { return Real(1.5) * x * logistic(x); }},
  };
}

inline Real pade(Real x) {
  const Real a[] = {0.03358, 0.505, 1.652, 2.007, 0.9298, 0.152};
  Real top = 0;
  for (int k = 5; k >= 0; --k) top = top * x + a[k];
  return top / (1 + std::fabs(Real(3.974) * x * x + Real(0.3009) * x * x * x * x));
}

inline std::map<std::string, Formula> learned() {
  return {
      {"swish", [](Real x) { return x * logistic(x); }},
      {"xatlu", [](Real x) { return x * arctan_share(x); }},
      {"xgelu", [](Real x) { return x * normal_law(x); }},
      {"xsilu", [](Real x) { return x * logistic(x); }},
      {"arctan_gate", arctan_share},
      {"gauss_gate", normal_law},
      {"sigmoid_gate", logistic},
      {"sinlu", [](Real x) { return (x + std::sin(x)) * logistic(x); }},
      {"acon_c", [](Real x) { return x * logistic(x); }},
      {"pau", pade},
      {"smu", [](Real x) { return (Real(1.25) * x + Real(0.75) * x * std::erf(Real(0.75) * x)) / 2; }},
      {"mittag_leffler", [](Real x) { return x * logistic(x); }},
      {"mittag_leffler_gate", logistic},
      {"mittag_leffler_elu", elu_of},
  };
}

inline std::map<std::string, Formula> others() {
  return {
      {"snake", [](Real x) { return x + std::pow(std::sin(x), 2); }},
      {"sine", [](Real x) { return std::sin(30 * x); }},
      {"max_sigmoid", [](Real x) { return std::fmax(x, logistic(x)); }},
      {"max_tanh", [](Real x) { return std::fmax(x, std::tanh(x)); }},
      {"min_sin", [](Real x) { return std::fmin(x, std::sin(x)); }},
      {"cos_minus", [](Real x) { return std::cos(x) - x; }},
      {"atan_squared_minus", [](Real x) { return std::pow(std::atan(x), 2) - x; }},
      {"sinc_plus", [](Real x) { return (x == 0 ? 1 : std::sin(x) / x) + x; }},
      {"asinh_squared", [](Real x) { return x * std::pow(std::asinh(x), 2); }},
  };
}

inline const std::map<std::string, Formula>& formulas() {
  static const auto all = [] {
    auto out = rectifiers();
    out.merge(squashers()), out.merge(self_gated()), out.merge(learned()), out.merge(others());
    return out;
  }();
  return all;
}

}  // namespace gw::test
