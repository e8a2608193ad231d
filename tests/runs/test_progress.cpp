#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "gatewright/base/error.h"
#include "gatewright/runs/progress.h"

using namespace gw;

namespace gw::test::progress_cases {

/// A stream in memory and a clock that the test moves.
struct Bench {
  char* bytes = nullptr;
  size_t size = 0;
  std::FILE* stream = ::open_memstream(&bytes, &size);
  double now = 100;
  ~Bench() {
    std::fclose(stream);
    std::free(bytes);
  }
  std::string text() {
    std::fflush(stream);
    return {bytes, size};
  }
  ProgressOptions options(bool terminal) {
    ProgressOptions o;
    o.out = stream;
    o.now_s = [this] { return now; };
    o.label = "train";
    o.terminal = terminal;
    return o;
  }
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t end; (end = text.find(separator, begin)) != std::string::npos; begin = end + 1)
    parts.push_back(text.substr(begin, end - begin));
  parts.push_back(text.substr(begin));
  return parts;
}

TEST(Progress, AStreamThatCannotBeWrittenEndsNothing) {
  std::FILE* full = std::fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  std::setvbuf(full, nullptr, _IONBF, 0);  // as standard error: every write fails at once
  for (const bool terminal : {false, true}) {
    Bench bench;
    auto options = bench.options(terminal);
    options.out = full;
    Progress progress(10, options);
    bench.now += 100;
    EXPECT_NO_THROW(progress.update(5, "loss 0.5"));
    EXPECT_NO_THROW(progress.clear());
    EXPECT_NO_THROW(progress.finish());
  }
  EXPECT_NO_THROW(say(full, "a message\n"));
  std::fclose(full);
}

TEST(Progress, PlainLinesAreRare) {
  Bench bench;
  {
    Progress progress(1000, bench.options(false));
    for (int i = 1; i <= 1000; ++i) {
      bench.now += 0.1;  // 10 a second: 10 % in 10 s
      progress.update(i, "loss 0.5");
    }
  }
  const auto lines = split(bench.text(), '\n');
  ASSERT_EQ(lines.size(), 11u) << bench.text();
  EXPECT_EQ(lines[0], "train   10 % 100/1000  10.0 steps/s  1:30 left  loss 0.5");
  EXPECT_EQ(lines[9], "train  100 % 1000/1000  10.0 steps/s  loss 0.5");
  EXPECT_EQ(bench.text().find('\r'), std::string::npos);
  EXPECT_EQ(bench.text().find('\x1b'), std::string::npos);
}

TEST(Progress, SlowLoopsStillReport) {
  Bench bench;
  Progress progress(100000, bench.options(false));
  for (int i = 1; i <= 13; ++i) {
    bench.now += 10;
    progress.update(i);
  }
  EXPECT_EQ(split(bench.text(), '\n').size(), 3u) << bench.text();  // at 60 s and at 120 s
  EXPECT_NE(bench.text().find("10.0 s/step"), std::string::npos) << bench.text();
}

TEST(Progress, ShortLoopsReportOnce) {
  Bench bench;
  { Progress progress(3, bench.options(false)); }
  EXPECT_EQ(bench.text(), "train    0 % 0/3\n");
}

TEST(Progress, TerminalRewritesOneLineWithinItsWidth) {
  for (int columns : {1, 10, 30, 60, 80, 200}) {
    Bench bench;
    auto options = bench.options(true);
    options.columns = columns;
    {
      Progress progress(100, options);
      for (int i = 1; i <= 100; ++i) {
        bench.now += 0.25;
        progress.update(i, i < 50 ? "a long note about the loss" : "short");
      }
    }
    const std::string text = bench.text();
    EXPECT_EQ(text.back(), '\n');
    EXPECT_EQ(split(text, '\n').size(), 2u);
    for (const std::string& drawing : split(text.substr(0, text.size() - 1), '\r'))
      EXPECT_LT(display_width(drawing), std::max(columns, 2)) << drawing;
  }
}

TEST(Progress, DrawingsCoverTheLastOne) {
  Bench bench;
  auto options = bench.options(true);
  options.colour = true;
  Progress progress(100, options);
  bench.now += 1;
  progress.update(1, "long note");
  bench.now += 1;
  progress.update(2, "");
  auto drawings = split(bench.text(), '\r');
  ASSERT_EQ(drawings.size(), 3u);
  EXPECT_EQ(display_width(drawings[1]),
            display_width(drawings[2]));  // padded with spaces: the same escapes are in both
  progress.clear();
  const std::string text = bench.text();
  EXPECT_EQ(text.back(), '\r');
  EXPECT_EQ(text.find("\x1b[36m") == std::string::npos, false);
}

TEST(Progress, RedrawsAreLimitedAndRateIsRecent) {
  Bench bench;
  Progress progress(1'000'000, bench.options(true), 500'000);
  for (int i = 1; i <= 1000; ++i) {
    bench.now += 0.001;
    progress.update(500'000 + i);
  }
  EXPECT_LE(split(bench.text(), '\r').size(), 12u);
  EXPECT_NE(bench.text().find("1000 steps/s"), std::string::npos) << bench.text();
  EXPECT_NE(bench.text().find("8:19 left"), std::string::npos) << bench.text();
}

TEST(Progress, HostileNotesStayOnTheLine) {
  Bench bench;
  auto options = bench.options(true);
  options.label = "a\x1b[2Jb";
  Progress progress(10, options);
  progress.update(1, "x\ny\x1b]0;title\x07 \xff");
  const std::string text = bench.text();
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_NE(text.find("\uFFFD"), std::string::npos);
}

TEST(Progress, WidthsOfText) {
  EXPECT_EQ(display_width("abc"), 3);
  EXPECT_EQ(display_width("门路"), 4);
  EXPECT_EQ(display_width("e\u0301"), 1);
  EXPECT_EQ(fit_width("门路径", 5), "门路…");
  EXPECT_EQ(fit_width("门路径", 4), "门…");
  EXPECT_EQ(fit_width("abc", 3), "abc");
  EXPECT_EQ(fit_width("abc", 0), "");
}

TEST(Progress, Durations) {
  EXPECT_EQ(format_duration(7), "0:07");
  EXPECT_EQ(format_duration(760), "12:40");
  EXPECT_EQ(format_duration(3 * 3600 + 300), "3:05:00");
  EXPECT_EQ(format_duration(-1), "?");
}

TEST(Progress, NeedsAClockAndNoColourIsKept) {
  Bench bench;
  EXPECT_THROW(Progress(1, ProgressOptions{}), ValueError);
  EXPECT_THROW(Progress(-1, bench.options(false)), ValueError);
  const auto options = progress_for(stdout, [] { return 0.0; });
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(progress_for(stdout, [] { return 0.0; }).colour);
  ::unsetenv("NO_COLOR");
  EXPECT_EQ(options.terminal && options.columns <= 0, false);
}

}  // namespace gw::test::progress_cases
