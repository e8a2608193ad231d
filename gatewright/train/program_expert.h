#pragma once
// An expert that is a program: any command that reads questions and writes answers, line by line.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gatewright/base/child_process.h"
#include "gatewright/base/json.h"
#include "gatewright/base/options.h"

namespace gw::inline train {

/// How a program is asked, and what an answer of it costs.
struct ProgramOptions : OptionSet {
  std::vector<std::string> command;
  double price = 1, timeout = 10, start_timeout = 60;
  int64_t retries = 1, give_up = 3;
  std::string speaks = "json";
  bool once = false;
  void fields(OptionVisitor& v) override;
};

/// What came of a question.
struct ProgramReply {
  bool answered = false;
  Json answer;           ///< of a program that speaks text: its line
  std::string why;       ///< there is no answer: the last failure, in words
  int64_t attempts = 0;  ///< times that the question was sent
  double seconds = 0;
};

/// What a program did so far, for reports.
struct ProgramRecord {
  int64_t answers = 0, attempts = 0, starts = 0;
  int64_t timeouts = 0, deaths = 0, nonsense = 0, declined = 0, missing = 0;
  double seconds = 0;
  int64_t failures() const { return timeouts + deaths + nonsense + declined + missing; }
};

/// Speaks with one program over its standard input and output. Speaking `json`, it gets {"id": n, "text": …}
/// on a line for each question and answers {"answer": …} on one, in which "id" is checked where it is given;
/// {"error": …} declines. Speaking `text` both lines are the text itself. A program that is asked `once` gets
/// one question, then the end of its input, and is started anew for the next.
///
/// Whatever it does, a question ends: after `timeout` seconds (`start_timeout` for the first answer after a
/// start) it is killed with all that it has started in its process group, and so it is after a line that is
/// no answer, a line longer than 64 KiB, a word that nobody asked for, or when it has died. It is then
/// started anew and asked again, `retries` times; after `give_up` failures in a row it is asked no more. It
/// also ends with the thread that started it (base/child_process.h), which must therefore be the one that
/// goes on asking.
class ProgramExpert {
 public:
  /// Nothing is started before the first question. Errors: ValueError without a command.
  ProgramExpert(std::string name, ProgramOptions options);
  /// Asks at most `most_attempts` times. Errors: ValueError for a question that is longer than a megabyte,
  /// and for one with line ends where text is spoken; no other: what the program does wrong is in the reply.
  ProgramReply ask(const std::string& text, int64_t most_attempts = INT64_MAX);

  const std::string& name() const { return name_; }
  const ProgramOptions& options() const { return options_; }
  const ProgramRecord& record() const { return record_; }
  bool given_up() const { return in_a_row_ >= options_.give_up; }
  /// Ends the process, if there is one; the next question starts it anew.
  void stop() { process_.reset(); }

 private:
  std::string message(const std::string& text, int64_t id) const;
  void attempt(const std::string& message, int64_t id, ProgramReply& reply);
  bool started(ProgramReply& reply);
  bool heard(int64_t most_ms, std::string& line, ProgramReply& reply);
  void take(const std::string& line, int64_t id, ProgramReply& reply);
  void failed(int64_t& count, std::string why, ProgramReply& reply);

  std::string name_;
  ProgramOptions options_;
  ProgramRecord record_;
  std::unique_ptr<ChildProcess> process_;
  bool fresh_ = true;  ///< it has not answered since it was started
  int64_t asked_ = 0, in_a_row_ = 0;
};

/// The table `experts` of a recipe or a team: a name for each and its options. Errors: ValueError naming
/// `where` for no experts, names that are no names of parts, and options out of range.
std::vector<std::pair<std::string, ProgramOptions>> read_programs(const std::string& where,
                                                                  const Json& table);

/// With the path of the data file (data/locate.h) in place of words of the command that begin with "data:".
/// Errors: IoError naming `where` for a file that is not there.
ProgramOptions with_data_paths(const std::string& where, ProgramOptions options);

/// Where the system finds a program of this name: itself if it holds a slash, else the first of PATH; ""
/// where there is none.
std::string find_program(const std::string& name);

}  // namespace gw::inline train
