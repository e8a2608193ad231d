#include "gatewright/base/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "gatewright/base/check.h"

extern char** environ;

namespace gw::inline base {
namespace {

constexpr size_t kLongestLine = size_t{64} << 10;

using Clock = std::chrono::steady_clock;

/// Waits until the socket takes bytes; false where `end` is over first.
bool can_send(int socket, const std::optional<Clock::time_point>& end) {
  constexpr int64_t kLongest_ms = 1000;
  int64_t left_ms = kLongest_ms;
  if (end) {
    left_ms = std::chrono::duration_cast<std::chrono::milliseconds>(*end - Clock::now()).count() + 1;
    if (left_ms <= 0) return false;
  }
  pollfd ready{socket, POLLOUT, 0};
  ::poll(&ready, 1, static_cast<int>(std::min(left_ms, kLongest_ms)));
  return true;
}

/// Sends all of a line; false if nobody is at the other end any more, or nobody read it in time.
bool send_line(int socket, std::string_view text, int64_t most_ms) {
  const std::string line = std::string(text) + "\n";
  std::optional<Clock::time_point> end;
  if (most_ms >= 0) end = Clock::now() + std::chrono::milliseconds(most_ms);
  size_t sent = 0;
  while (sent < line.size()) {
    const auto n = ::send(socket, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (!can_send(socket, end)) return false;
      continue;
    }
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

/// Takes the next whole line off the front.
bool take_line(std::string& text, std::string& line) {
  const auto end = text.find('\n');
  GW_CHECK((end == std::string::npos ? text.size() : end) <= kLongestLine,
           "child process: expected lines of at most {} bytes, got a longer one", kLongestLine);
  if (end == std::string::npos) return false;
  line = text.substr(0, end);
  text.erase(0, end + 1);
  return true;
}

/// The environment with some values replaced.
std::vector<std::string> with(const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> all;
  for (char** item = environ; *item != nullptr; ++item) {
    const std::string_view text = *item;
    bool replaced = false;
    for (const auto& [name, value] : added) replaced = replaced || text.starts_with(name + "=");
    if (!replaced) all.emplace_back(text);
  }
  for (const auto& [name, value] : added) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  for (auto& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

/// What the child does between fork and exec: only calls that a fork of a threaded process may make.
[[noreturn]] void become(char** words, char** environment, int line, bool standard, int failure,
                         pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  ::setpgid(0, 0);
  // The failure's descriptor may lie where the line must be; it closes itself when the program is there.
  if (failure == ChildProcess::kLine) failure = ::fcntl(failure, F_DUPFD_CLOEXEC, ChildProcess::kLine + 1);
  if (standard)
    ::dup2(line, STDIN_FILENO), ::dup2(line, STDOUT_FILENO);
  else if (line == ChildProcess::kLine)
    ::fcntl(line, F_SETFD, 0);
  else
    ::dup2(line, ChildProcess::kLine);
  ::signal(SIGPIPE, SIG_DFL);
  ::execve(words[0], words, environment);
  const int code = errno;
  [[maybe_unused]] const auto written = ::write(failure, &code, sizeof(code));
  ::_exit(127);
}

}  // namespace

ChildProcess::ChildProcess(const Command& command) {
  GW_CHECK(!command.words.empty(), "child process: expected a program, got no words");
  auto words = command.words;
  auto environment = with(command.environment);
  const auto word_pointers = pointers(words), environment_pointers = pointers(environment);
  std::array<int, 2> ends, failure;
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw IoError(fmt::format("child process: cannot make a socket: {}", std::strerror(errno)));
  if (::pipe2(failure.data(), O_CLOEXEC) != 0) {
    const int code = errno;
    ::close(ends[0]), ::close(ends[1]);
    throw IoError(fmt::format("child process: cannot make a pipe: {}", std::strerror(code)));
  }
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  int code = errno;
  if (pid_ == 0)
    become(const_cast<char**>(word_pointers.data()), const_cast<char**>(environment_pointers.data()), ends[1],
           command.standard, failure[1], parent);
  ::close(ends[1]), ::close(failure[1]);
  line_ = ends[0];
  ::fcntl(line_, F_SETFL, O_NONBLOCK);
  const bool failed = pid_ < 0 || ::read(failure[0], &code, sizeof(code)) == sizeof(code);
  ::close(failure[0]);
  if (!failed) return;
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  ::close(line_);
  throw IoError(fmt::format("child process: cannot start {}: {}", words[0], std::strerror(code)));
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0) {
    ::kill(-pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  ::close(line_);
}

std::vector<std::string> ChildProcess::received() {
  std::array<char, 4096> buffer;
  while (true) {
    const auto n = ::recv(line_, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    ended_ = ended_ || n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
    if (n <= 0) break;
    rest_.append(buffer.data(), static_cast<size_t>(n));
    if (rest_.size() > 2 * kLongestLine) break;
  }
  std::vector<std::string> lines;
  for (std::string line; take_line(rest_, line);) lines.push_back(line);
  return lines;
}

bool ChildProcess::send(std::string_view text, int64_t most_ms) { return send_line(line_, text, most_ms); }

void ChildProcess::finish_sending() { ::shutdown(line_, SHUT_WR); }

void ChildProcess::pause() {
  if (pid_ > 0) ::kill(pid_, SIGSTOP);
}

void ChildProcess::resume() {
  if (pid_ > 0) ::kill(pid_, SIGCONT);
}

void ChildProcess::ask_to_end() {
  if (pid_ > 0) ::kill(pid_, SIGTERM);
  ::shutdown(line_, SHUT_RDWR);
  resume();
}

bool ChildProcess::ends_within(int64_t most_ms) const {
  if (pid_ <= 0) return true;
  const auto end = Clock::now() + std::chrono::milliseconds(most_ms);
  while (true) {
    siginfo_t found;
    found.si_pid = 0;
    ::waitid(P_PID, static_cast<id_t>(pid_), &found, WEXITED | WNOWAIT | WNOHANG);
    if (found.si_pid == pid_) return true;
    if (Clock::now() >= end) return false;
    ::usleep(1000);
  }
}

std::string ChildProcess::wait() {
  if (pid_ <= 0) return "";
  // Its number is not given away again before it is reaped, so that the group is still the one it led.
  siginfo_t found;
  while (::waitid(P_PID, static_cast<id_t>(pid_), &found, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  ::kill(-pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFSIGNALED(status))
    return fmt::format("killed by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  return WEXITSTATUS(status) == 0 ? "" : fmt::format("exit status {}", WEXITSTATUS(status));
}

ParentLine::ParentLine() {
  struct stat found;
  GW_CHECK(::fstat(ChildProcess::kLine, &found) == 0 && S_ISSOCK(found.st_mode),
           "worker: expected a socket at descriptor {}, got none; a worker is started by its own program",
           ChildProcess::kLine);
}

void ParentLine::send(std::string_view text) const { send_line(ChildProcess::kLine, text, -1); }

std::string ParentLine::receive() {
  std::array<char, 4096> buffer;
  std::string line;
  while (!take_line(rest_, line)) {
    const auto n = ::recv(ChildProcess::kLine, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw IoError("worker: the program that started this one has ended");
    rest_.append(buffer.data(), static_cast<size_t>(n));
  }
  return line;
}

}  // namespace gw::inline base
