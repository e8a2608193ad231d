// Ten chains in registers, enough for a latency of five and two units; the empty statement keeps the compiler
// from folding them.
// Included inside a level's unnamed namespace, so that each level compiles its own for its own instructions.
constexpr int64_t kChains = 10;

template <class Vector, class Step>
void run_chains(int64_t turns, const Step& step) {
  Vector a{}, b{}, c{}, d{}, e{}, f{}, g{}, h{}, i{}, j{};
  for (int64_t turn = 0; turn < turns; ++turn) {
    a = step(a), b = step(b), c = step(c), d = step(d), e = step(e);
    f = step(f), g = step(g), h = step(h), i = step(i), j = step(j);
    asm volatile(""
                 : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j));
  }
}

// The same with every second operation taking a fresh factor from the first-level cache, as the tile of a
// product does (16 loads for 28 operations). Loads beside full use of the vector units make a processor lower
// its clock: what this reaches, no product exceeds.
template <class Vector, class Load, class Step>
void run_fed_chains(int64_t turns, const float* factors, const Load& load, const Step& step) {
  Vector a{}, b{}, c{}, d{}, e{}, f{}, g{}, h{}, i{}, j{};
  for (int64_t turn = 0; turn < turns; ++turn) {
    asm volatile("" : "+r"(factors));  // not known to be the same as before: loaded again
    const Vector v = load(factors), w = load(factors + 1), x = load(factors + 2), y = load(factors + 3),
                 z = load(factors + 4);
    a = step(a, v), b = step(b, v), c = step(c, w), d = step(d, w), e = step(e, x);
    f = step(f, x), g = step(g, y), h = step(h, y), i = step(i, z), j = step(j, z);
    asm volatile(""
                 : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j));
  }
}
constexpr float kFactors[5] = {1e-9f, 2e-9f, 3e-9f, 4e-9f, 5e-9f};
