// Ten chains in registers, enough for a latency of five and two units; the empty statement keeps the compiler from folding them.
// Included inside a level's unnamed namespace, so that each level compiles its own for its own instructions.
constexpr int64_t kChains = 10;

template <class Vector, class Step>
void run_chains(int64_t turns, const Step& step) {
  Vector a{}, b{}, c{}, d{}, e{}, f{}, g{}, h{}, i{}, j{};
  for (int64_t turn = 0; turn < turns; ++turn) {
    a = step(a), b = step(b), c = step(c), d = step(d), e = step(e);
    f = step(f), g = step(g), h = step(h), i = step(i), j = step(j);
    asm volatile("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j));
  }
}
