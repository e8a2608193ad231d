// Rows of every activation, as plain loops: the compiler turns them into vectors with each file's flags where
// nothing in them is a call. Included inside a level's unnamed namespace after its numbers (ref.cpp,
// wide_numbers.inl).
#include "gatewright/kernels/activations/units.inl"

// Parameters are copied: a store to f could otherwise change them for all the compiler knows.
template <class U, class S>
struct Parameters {
  S p[U::kInfo.count() + 1] = {};
  explicit Parameters(const S* from) {
    for (int j = 0; j < U::kInfo.count(); ++j) p[j] = from[j];
  }
};

template <class U, class S>
void value_rows(const S* __restrict x, int64_t n, const S* from, S* __restrict f) {
  const Parameters<U, S> q(from);
  for (int64_t i = 0; i < n; ++i) f[i] = U::at(x[i], q.p).f;
}

template <class U, class S>
void slope_rows(const S* __restrict x, int64_t n, const S* from, S* __restrict f, S* __restrict slope) {
  const Parameters<U, S> q(from);
  for (int64_t i = 0; i < n; ++i) {
    const Value<S> v = U::at(x[i], q.p);
    f[i] = v.f, slope[i] = v.slope;
  }
}

template <class U, class S>
void by_rows(const S* __restrict x, int64_t n, const S* from, S* __restrict to) {
  const Parameters<U, S> q(from);
  constexpr int kCount = U::kInfo.count();
  for (int64_t i = 0; i < n; ++i) {
    S d[kCount + 1];
    U::by(x[i], q.p, d);
    for (int j = 0; j < kCount; ++j) to[j * n + i] = d[j];
  }
}

template <class U, class S>
constexpr UnitRows<S> rows_of() {
  UnitRows<S> r{value_rows<U, S>, slope_rows<U, S>, nullptr, nullptr};
  if constexpr (requires(S x, const S* p, S* d) { U::by(x, p, d); }) r.by = by_rows<U, S>;
  if constexpr (requires(S x) { U::bend(x); }) r.bend = U::template bend<S>;
  return r;
}

template <class S, class... U>
struct Rows {
  static constexpr UnitRows<S> all[] = {rows_of<U, S>()...};
  static constexpr UnitTable<S> table{all, sizeof...(U)};
};
template <class S, class... U>
constexpr UnitTable<S> table_of(Units<U...>) {
  return Rows<S, U...>::table;
}
