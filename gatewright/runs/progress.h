#pragma once
// A progress line: rewritten in place on a terminal, now and then a plain line elsewhere.
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace gw::inline runs {

/// Cells that UTF-8 text takes on a terminal: 2 for East Asian wide characters and emoji, 0 for combining
/// marks.
int display_width(std::string_view text);
/// The longest beginning of `text` of at most `width` cells, with "…" for what was cut; control characters
/// become spaces.
std::string fit_width(std::string_view text, int width);

struct ProgressOptions {
  std::FILE* out = nullptr;
  std::function<double()> now_s;  ///< any steady clock; the library reads none
  std::string label;
  std::string unit = "steps";  ///< also of the rate: "images" gives images/s
  bool terminal = false;       ///< rewrite one line
  bool colour = false;
  int columns = 80;
  double redraw_s = 0.1;       ///< least time between two drawings on a terminal
  double line_s = 5;           ///< least time between two plain lines,
  double line_fraction = 0.1;  ///< which also wait for this much progress
  double quiet_s = 60;         ///< but never longer than this
};
/// Fills `terminal`, `columns` and `colour` from the stream and the environment (TERM, NO_COLOR).
ProgressOptions progress_for(std::FILE* out, std::function<double()> now_s);

/// Prints a message about progress. Write errors are ignored: a full disk or a closed pipe behind it must not
/// end a run.
void say(std::FILE* out, const std::string& text);

/// Shows how far a loop is, its rate over the last half minute or so, and the time left at that rate.
/// Errors: ValueError without a stream or a clock, or with a negative total. Write errors are ignored: a
///         closed pipe must not end a run.
class Progress {
 public:
  /// `start`: units that an earlier process had done; they do not count for the rate.
  Progress(int64_t total, ProgressOptions options, int64_t start = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `note` ends the line: "loss 0.31".
  void update(int64_t done, const std::string& note = "");
  /// Draws the last state and ends the line. Called by the destructor otherwise.
  void finish();
  /// Takes the line off the terminal, for a message; the next update draws it again.
  void clear();

 private:
  double rate_per_s(double now) const;
  std::string line(double now) const;
  std::string bar(int cells) const;
  void draw(double now);

  ProgressOptions options_;
  int64_t total_, done_;
  std::string note_;
  std::deque<std::pair<double, int64_t>> history_;  // at most 16 samples, at least 2 s apart
  double drawn_s_;
  int64_t drawn_done_;
  int drawn_width_ = 0;
  bool drawn_ = false, finished_ = false;
};

/// "0:07", "12:40", "3:05:00"; "?" if unknown.
std::string format_duration(double seconds);

}  // namespace gw::inline runs
