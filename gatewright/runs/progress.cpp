#include "gatewright/runs/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "gatewright/base/check.h"

namespace gw::inline runs {
namespace {

constexpr size_t kSamples = 16;
constexpr double kSampleApart_s = 2;

struct CodePoint {
  uint32_t value;
  size_t bytes;
};

/// The code point at the start of `text`; a damaged byte counts as U+FFFD.
CodePoint decode(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t size = lead < 0x80                   ? 1
                      : lead >= 0xF0 && lead < 0xF8 ? 4
                      : lead >= 0xE0 && lead < 0xF0 ? 3
                      : lead >= 0xC0 && lead < 0xE0 ? 2
                                                    : 0;
  if (size == 0 || size > text.size()) return {0xFFFD, 1};
  uint32_t value = size == 1 ? lead : lead & (0xFFu >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xC0) != 0x80) return {0xFFFD, 1};
    value = value << 6 | (next & 0x3F);
  }
  return {value, size};
}

bool is_control(uint32_t c) { return c < 0x20 || (c >= 0x7F && c < 0xA0); }

int cells(uint32_t c) {
  if ((c >= 0x300 && c < 0x370) || (c >= 0x200B && c <= 0x200F) || (c >= 0xFE00 && c <= 0xFE0F) ||
      (c >= 0x20D0 && c < 0x2100))
    return 0;
  const bool wide = (c >= 0x1100 && c < 0x1160) || (c >= 0x2E80 && c < 0xA4D0) ||
                    (c >= 0xAC00 && c < 0xD7A4) || (c >= 0xF900 && c < 0xFB00) ||
                    (c >= 0xFE30 && c < 0xFE70) || (c >= 0xFF00 && c < 0xFF61) ||
                    (c >= 0x1F300 && c < 0x1FB00) || (c >= 0x20000 && c < 0x40000);
  return wide ? 2 : 1;
}

std::string format_rate(double per_s, const std::string& unit) {
  if (!(per_s > 0)) return "";
  if (per_s < 1)
    return fmt::format("{:.1f} s/{}", 1 / per_s,
                       unit.size() > 1 && unit.back() == 's' ? unit.substr(0, unit.size() - 1) : unit);
  return per_s >= 100 ? fmt::format("{:.0f} {}/s", per_s, unit) : fmt::format("{:.1f} {}/s", per_s, unit);
}

/// Escape codes take no cells. Only ours are in the text: those in labels and notes have become spaces.
std::string without_colour(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b') {
      i = std::min(text.find('m', i), text.size());
    } else {
      plain += text[i];
    }
  }
  return plain;
}

constexpr int kTextCells = 1000;

}  // namespace

void say(std::FILE* out, const std::string& text) {
  std::fputs(text.c_str(), out);
}  // fmt::print throws when a write fails

int display_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const CodePoint c = decode(text);
    width += cells(c.value);
    text.remove_prefix(c.bytes);
  }
  return width;
}

std::string fit_width(std::string_view text, int width) {
  const bool cut = display_width(text) > width;
  const int room = cut ? width - 1 : width;
  std::string fitted;
  int used = 0;
  while (!text.empty()) {
    const CodePoint c = decode(text);
    used += cells(c.value);
    if (used > room) break;
    if (is_control(c.value)) {
      fitted += ' ';
    } else if (c.value == 0xFFFD) {
      fitted += "\uFFFD";
    } else {
      fitted += text.substr(0, c.bytes);
    }
    text.remove_prefix(c.bytes);
  }
  return cut && width > 0 ? fitted + "…" : fitted;
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9) return "?";
  const auto s = static_cast<int64_t>(std::llround(seconds));
  return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                  : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

ProgressOptions progress_for(std::FILE* out, std::function<double()> now_s) {
  ProgressOptions options;
  options.out = out;
  options.now_s = std::move(now_s);
  const char* term = std::getenv("TERM");
  const char* no_colour = std::getenv("NO_COLOR");
  options.terminal = ::isatty(::fileno(out)) != 0 && term != nullptr && std::string_view(term) != "dumb";
  options.colour = options.terminal &&
                   (no_colour == nullptr || *no_colour == '\0');  // no-color.org: any text that is not empty
  winsize size{};
  if (options.terminal && ::ioctl(::fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    options.columns = size.ws_col;
  return options;
}

Progress::Progress(int64_t total, ProgressOptions options, int64_t start)
    : options_(std::move(options)), total_(total), done_(start), drawn_done_(start) {
  GW_CHECK(options_.out != nullptr && options_.now_s,
           "progress: expected a stream and a clock, got none; set ProgressOptions::out and now_s");
  GW_CHECK(total >= 0, "progress: expected a total of at least 0, got {}; count the loop first", total);
  options_.label = fit_width(options_.label, kTextCells);
  drawn_s_ = options_.now_s();
  history_.emplace_back(drawn_s_, start);
}

Progress::~Progress() {
  try {
    finish();
  } catch (...) {  // a clock that throws: the line is not worth a crash
  }
}

void Progress::update(int64_t done, const std::string& note) {
  if (finished_) return;
  const double now = options_.now_s();
  done_ = done;
  note_ = fit_width(note, kTextCells);
  if (now - history_.back().first >= kSampleApart_s) {
    history_.emplace_back(now, done);
    if (history_.size() > kSamples) history_.pop_front();
  }
  const double fraction =
      total_ > 0 ? static_cast<double>(done - drawn_done_) / static_cast<double>(total_) : 0;
  const double quiet_s = now - drawn_s_;
  const bool due = options_.terminal ? !drawn_ || quiet_s >= options_.redraw_s
                                     : quiet_s >= options_.line_s && (fraction >= options_.line_fraction ||
                                                                      quiet_s >= options_.quiet_s);
  if (due) draw(now);
}

void Progress::finish() {
  if (finished_) return;
  if (options_.terminal || !drawn_ || drawn_done_ != done_) draw(options_.now_s());
  if (options_.terminal) std::fputc('\n', options_.out);
  std::fflush(options_.out);
  finished_ = true;
}

void Progress::clear() {
  if (!options_.terminal || !drawn_ || finished_) return;
  say(options_.out, fmt::format("\r{}\r", std::string(static_cast<size_t>(drawn_width_), ' ')));
  std::fflush(options_.out);
  drawn_width_ = 0;
  drawn_ = false;
}

double Progress::rate_per_s(double now) const {
  const auto& [then, done] = history_.front();
  return now > then ? static_cast<double>(done_ - done) / (now - then) : 0;
}

std::string Progress::bar(int width) const {
  // Eighths of a cell: a bar of 20 cells moves 160 times.
  static constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const double fraction =
      total_ > 0 ? std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0) : 0;
  const int eighths = static_cast<int>(fraction * width * 8);
  std::string filled, rest;
  for (int i = 0; i < eighths / 8; ++i) filled += "█";
  filled += kEighths[eighths % 8];
  for (int i = (eighths + 7) / 8; i < width; ++i) rest += "·";
  return options_.colour ? "\x1b[36m" + filled + "\x1b[0m\x1b[2m" + rest + "\x1b[0m" : filled + rest;
}

std::string Progress::line(double now) const {
  const double rate = rate_per_s(now);
  const double percent = total_ > 0 ? 100.0 * static_cast<double>(done_) / static_cast<double>(total_) : 0;
  std::string text = total_ > 0 ? fmt::format("{:3.0f} % {}/{}", std::floor(percent), done_, total_)
                                : fmt::format("{} {}", done_, options_.unit);
  if (const std::string r = format_rate(rate, options_.unit); !r.empty()) text += "  " + r;
  if (total_ > done_ && rate > 0)
    text += "  " + format_duration(static_cast<double>(total_ - done_) / rate) + " left";
  if (!note_.empty()) text += "  " + note_;
  const std::string label = options_.label.empty() ? "" : options_.label + "  ";
  if (!options_.terminal) return label + text;
  const int width = std::max(1, options_.columns - 1);  // a full last column would wrap on some terminals
  const int left = width - display_width(label) - display_width(text) - 1;
  if (total_ == 0 || left < 8) return fit_width(label + text, width);
  return fit_width(label, width) + bar(std::min(left, 24)) + " " + fit_width(text, width);
}

void Progress::draw(double now) {
  const std::string text = line(now);
  if (options_.terminal) {
    const int width = display_width(without_colour(text));
    say(options_.out, fmt::format("\r{}{}", text,
                                  std::string(static_cast<size_t>(std::max(0, drawn_width_ - width)), ' ')));
    drawn_width_ = width;
  } else {
    say(options_.out, text + "\n");
  }
  std::fflush(options_.out);
  drawn_ = true;
  drawn_s_ = now;
  drawn_done_ = done_;
}

}  // namespace gw::inline runs
