#pragma once
// The built program from outside. GW_CLI is its path.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wordexp.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "apps/cli/command_line.h"

namespace gw::test {

struct Answer {
  int code;
  std::string text;  // standard output and standard error, as they came
};

inline std::string rest_of(FILE* stream) {
  std::string text;
  std::array<char, 4096> buffer;
  for (size_t n; (n = fread(buffer.data(), 1, buffer.size(), stream)) > 0;) text.append(buffer.data(), n);
  return text;
}

inline Answer shell(const std::string& command) {
  FILE* pipe = popen(("{ " + command + "; } 2>&1").c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  std::string text = rest_of(pipe);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text};
}

/// The words of `text` as a shell splits them; none where only a shell can tell (pipes, redirections).
inline std::optional<std::vector<std::string>> words_of(const std::string& text) {
  wordexp_t found;
  if (::wordexp(text.c_str(), &found, WRDE_NOCMD) != 0) return std::nullopt;
  std::vector<std::string> words(found.we_wordv, found.we_wordv + found.we_wordc);
  ::wordfree(&found);
  return words;
}

/// The command line in a fork of this process, where libtorch is loaded already: its start takes 0.75 s of
/// every process. This process itself computes nothing, so the fork has no threads to miss.
inline Answer forked(std::vector<std::string> words) {
  std::array<int, 2> ends;
  if (::pipe(ends.data()) != 0) return {-1, "pipe failed"};
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO), ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]), ::close(ends[1]);
    std::setvbuf(stdout, nullptr, _IOFBF, 1 << 16);
    words.insert(words.begin(), "gatewright");
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const int code = command_line(static_cast<int>(words.size()), argv.data());
    std::fflush(nullptr);
    ::_exit(code);
  }
  ::close(ends[1]);
  FILE* output = ::fdopen(ends[0], "r");
  std::string text = rest_of(output);
  std::fclose(output);
  int status = 0;
  ::waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text};
}

inline Answer cli(const std::string& arguments, const std::string& environment = "") {
  const auto words = words_of(arguments);
  if (words && environment.empty()) return forked(*words);
  return shell(environment + " " GW_CLI " " + arguments);
}

inline void expect(const Answer& answer, int code, const std::string& part) {
  EXPECT_EQ(answer.code, code) << answer.text;
  EXPECT_NE(answer.text.find(part), std::string::npos) << "looked for: " << part << "\nin: " << answer.text;
}

/// The program as a process that can be signalled; its output goes to a file. Killed at the end of the scope
/// if it still runs.
class Process {
 public:
  /// `file_limit_bytes` > 0: no file may grow beyond it, as on a full disk.
  Process(const std::string& arguments, const std::string& output, uint64_t file_limit_bytes = 0) {
    const std::string command = "exec " GW_CLI " " + arguments + " > " + output + " 2>&1";
    pid_ = ::fork();
    if (pid_ != 0) return;
    if (file_limit_bytes > 0) {
      const rlimit limit{file_limit_bytes, file_limit_bytes};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  ~Process() {
    signal(SIGKILL);
    wait();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  bool running() {
    if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = 0;
    return pid_ > 0;
  }
  void signal(int number) {
    if (running()) ::kill(pid_, number);
  }
  /// The exit code, or 128 + the signal that ended it.
  int wait() {
    if (pid_ > 0) ::waitpid(pid_, &status_, 0);
    pid_ = 0;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  }
  /// Waits until `done()` or the end of the process; false after two minutes.
  template <class Done>
  bool wait_until(Done done) {
    for (int i = 0; i < 120000 && running() && !done(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return !running() || done();
  }

 private:
  pid_t pid_ = -1;
  int status_ = 0;
};

}  // namespace gw::test
