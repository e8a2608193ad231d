#pragma once
// What a template may use up. Templates come with checkpoints of strangers: a render must end, soon, and
// within bounds of memory and stack, whatever the template says.
#include <cstddef>
#include <cstdint>

namespace gw::inline text::jinja {

inline constexpr size_t kSourceLimit_bytes = size_t{1} << 20;  ///< of a template
inline constexpr size_t kTextLimit_bytes = size_t{16} << 20;   ///< of one text, and of the output
inline constexpr uint64_t kStepLimit = 4'000'000;  ///< nodes evaluated, elements visited, 64 bytes each
inline constexpr int kParseLimit = 200;            ///< nested brackets, operators and statements
inline constexpr int kNodeLimit = 250;             ///< levels of the tree: 1 + 1 + 1 … makes one each
inline constexpr int kCallLimit = 500;             ///< levels of evaluation, macros within macros
inline constexpr int kValueLimit = 100;            ///< lists within lists
inline constexpr size_t kNameLimit_bytes = 1000;   ///< of one name
inline constexpr size_t kNamedLimit = 200;         ///< arguments with names of one call
inline constexpr int64_t kRangeLimit = 100'000;    ///< numbers of one range(…)

/// Counts what one render uses. Errors: ValueError that names the limit.
class Meter {
 public:
  /// Pays for visiting `count` nodes or elements.
  void step(uint64_t count = 1) {
    if (count > kStepLimit - steps_) exhausted();
    steps_ += count;
  }
  /// Pays for a text of `bytes` that is about to be made.
  void text(size_t bytes) { grow(0, bytes); }
  /// Pays for `more` bytes behind the `have` that are paid for already.
  void grow(size_t have, size_t more) {
    if (more > kTextLimit_bytes || have > kTextLimit_bytes - more) too_long(have + more);
    step(more / 64);
  }
  /// Pays for looking for one text in another: what a search costs where nearly all of it fits everywhere.
  void search(size_t text, size_t wanted) { step((1 + text / 64) * (1 + wanted / 64)); }

  /// One level deeper, for as long as it lives.
  class Level {
   public:
    explicit Level(Meter& meter) : meter_(meter) {
      if (++meter_.levels_ > kCallLimit) {
        --meter_.levels_;
        too_deep();
      }
    }
    ~Level() { --meter_.levels_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Meter& meter_;
  };

 private:
  [[noreturn]] static void exhausted();
  [[noreturn]] static void too_long(size_t bytes);
  [[noreturn]] static void too_deep();

  uint64_t steps_ = 0;
  int levels_ = 0;
};

}  // namespace gw::inline text::jinja
