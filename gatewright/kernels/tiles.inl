// How the matrix unit (AMX) is set up. Included inside a level's unnamed namespace; the file has <array> and
// <cstdint>.

struct alignas(64) TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

/// One for each number of rows, 1 first: the unit's time for a product is that of its rows of A. kTiles hold
/// sums and rows of A and have that many; the others always have all 16 rows.
template <size_t... kTiles>
constexpr std::array<TileConfig, 16> tile_configs() {
  std::array<TileConfig, 16> all;
  for (size_t m = 0; m < all.size(); ++m) {
    for (const size_t tile : {kTiles...}) all[m].rows[tile] = static_cast<uint8_t>(m + 1);
  }
  return all;
}

// g++ 12 does not know that a tile load reads memory: without this, stores before it may come after it, or
// never.
inline void seen() { asm volatile("" ::: "memory"); }
