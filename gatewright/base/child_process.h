#pragma once
// Another program, started by this one and spoken with in lines.
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gw::inline base {

/// A program that runs beside this one. It inherits standard output and error, and finds a socket at
/// descriptor `kLine` over which both send lines; a `standard` one finds it at standard input and output
/// instead, as programs expect that know nothing of this house. It is killed when the thread that started it
/// ends, however that comes. A terminal's Ctrl-C does not reach it (its process group is its own): this
/// process says when. What it starts itself and leaves in its group ends with it.
class ChildProcess {
 public:
  static constexpr int kLine = 3;
  struct Command {
    std::vector<std::string> words;  ///< the first is the program's path; no shell reads them
    std::vector<std::pair<std::string, std::string>> environment = {};  ///< set beside what is inherited
    bool standard = false;  ///< the line is its standard input and output
  };

  /// Errors: ValueError without words; IoError where the system starts no process or no program of this path.
  explicit ChildProcess(const Command& command);
  /// Ends it, and its process group, with SIGKILL if it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// For poll(2): readable when lines came or the child ended.
  int line() const { return line_; }
  /// What came since the last call, without waiting; a last line without its end is kept back.
  /// Errors: ValueError for a line longer than 64 KiB.
  std::vector<std::string> received();
  /// Its end of the line is closed, as `received` found: nothing more will come.
  bool ended() const { return ended_; }
  /// Sends a line (without its end), and waits for the child to read it, `most_ms` at most (below 0: for
  /// ever). False if it did not, or has ended meanwhile.
  bool send(std::string_view text, int64_t most_ms = -1);
  /// The child reads the end of what was sent; it may go on speaking.
  void finish_sending();

  void pause();   ///< SIGSTOP
  void resume();  ///< SIGCONT
  /// SIGTERM and the end of the line: who waits for a word there hears that none will come.
  void ask_to_end();
  /// Whether it has ended, or does so in so many milliseconds; it is still to be waited for.
  bool ends_within(int64_t most_ms) const;
  /// Waits for its end: "" after exit status 0, else "exit status 3" or "killed by signal 9 (Killed)". What
  /// is left of its process group is then killed.
  std::string wait();

 private:
  pid_t pid_ = -1;
  int line_ = -1;
  bool ended_ = false;
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
