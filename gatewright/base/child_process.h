#pragma once
// Another program, started by this one and spoken with in lines.
#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gw::inline base {

/// A program that runs beside this one. It inherits standard output and error, and finds a socket at
/// descriptor `kLine` over which both send lines. It is killed when the thread that started it ends, however
/// that comes. A terminal's Ctrl-C does not reach it (its process group is its own): this process says when.
class ChildProcess {
 public:
  static constexpr int kLine = 3;
  struct Command {
    std::vector<std::string> words;  ///< the first is the program's path; no shell reads them
    std::vector<std::pair<std::string, std::string>> environment = {};  ///< set beside what is inherited
  };

  /// Errors: ValueError without words; IoError where the system starts no process or no program of this path.
  explicit ChildProcess(const Command& command);
  /// Ends it with SIGKILL if it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// For poll(2): readable when lines came or the child ended.
  int line() const { return line_; }
  /// What came since the last call, without waiting; a last line without its end is kept back.
  /// Errors: ValueError for a line longer than 64 KiB.
  std::vector<std::string> received();
  /// Sends a line (without its end). A child that ended meanwhile is no error.
  void send(std::string_view text);

  void pause();   ///< SIGSTOP
  void resume();  ///< SIGCONT
  /// SIGTERM and the end of the line: who waits for a word there hears that none will come.
  void ask_to_end();
  /// Waits for its end: "" after exit status 0, else "exit status 3" or "killed by signal 9 (Killed)".
  std::string wait();

 private:
  pid_t pid_ = -1;
  int line_ = -1;
  std::string rest_;
};

/// The other end: the line of a process that was started so.
/// Errors: ValueError where descriptor `kLine` is no socket.
class ParentLine {
 public:
  ParentLine();
  void send(std::string_view text) const;
  /// Waits for a line. Errors: IoError if the parent is gone.
  std::string receive();

 private:
  std::string rest_;
};

}  // namespace gw::inline base
