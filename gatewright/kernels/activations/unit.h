#pragma once
// One catalogue of activations: what each is called, what it computes, and rows of it at every level.
// Files compiled for one instruction set include this header: nothing here may have external inline code.
#include <cstdint>

namespace gw::kernels {

/// A parameter of an activation. `learned`: where its paper trains it.
struct UnitParameter {
  const char* name = nullptr;
  double value = 0, lo = 0, hi = 0;
  bool learned = false;
};

/// What is said about an activation; lists are texts with commas.
struct UnitInfo {
  const char *name, *aliases, *formula, *slope, *source;
  const char* kinks = "";   ///< where the derivative jumps, at the default parameters
  const char* traits = "";  ///< bounded; straight-through (the slope is chosen, not the derivative); scalar
  UnitParameter parameters[10] = {};
  const char* file = __builtin_FILE();

  constexpr int count() const {
    int n = 0;
    while (n < 10 && parameters[n].name != nullptr) ++n;
    return n;
  }
};

/// Value and derivative at one point.
template <class S>
struct Value {
  S f, slope;
};

/// One activation at one level. `p`: its parameters, kInfo.count() values. Places may not overlap.
template <class S>
struct UnitRows {
  void (*value)(const S* x, int64_t n, const S* p, S* f);
  void (*slope)(const S* x, int64_t n, const S* p, S* f, S* slope);
  /// to[j·n + i] = ∂f(x_i)/∂p_j; null where no parameter is learned.
  void (*by)(const S* x, int64_t n, const S* p, S* to);
  /// Second derivative at one point, where it has a closed form; else null.
  S (*bend)(S x);
};

/// All activations at one level, in the order of the catalogue (gatewright/kernels/activations/units.inl).
template <class S>
struct UnitTable {
  const UnitRows<S>* rows;
  int64_t count;
};

extern const UnitTable<double> units_ref_f64;
extern const UnitTable<float> units_ref, units_avx2, units_avx512, units_neon;
/// What units.inl says of each.
extern const UnitInfo* const unit_infos;

}  // namespace gw::kernels
