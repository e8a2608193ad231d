#include "apps/cli/command_line.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/mman.h>
#include <torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <system_error>

#include "apps/cli/command.h"
#include "apps/cli/provenance.h"
#include "gatewright/base/check.h"
#include "gatewright/base/cpu_info.h"
#include "gatewright/base/dispatch.h"
#include "gatewright/base/shown.h"
#include "gatewright/ops/blas_info.h"

namespace gw {
namespace {

constexpr int kMostThreads = 1024;

// Activations are tens of megabytes and live for one layer. With glibc's defaults each is a fresh mmap whose
// page faults cost more than the work: 10.9 ms instead of 1.6 ms for a batch norm over 33 MB.
void tune_malloc() {
#ifdef __GLIBC__
  constexpr int kGigabyte = 1 << 30, kOldLimit = 32 << 20, kTopPad = 64 << 20;
  if (mallopt(M_MMAP_THRESHOLD, kGigabyte) == 0)
    mallopt(M_MMAP_THRESHOLD, kOldLimit);  // glibc before 2.35 refuses more
  mallopt(M_TRIM_THRESHOLD, kGigabyte);
  mallopt(M_TOP_PAD, kTopPad);
#endif
}

// A file opened later would take the number of a closed descriptor, and progress would be written into it.
// Standard output is opened for reading: what is printed there is lost, so writing must fail and the exit
// code must say so. Runs before any file is opened.
void open_closed_descriptors() {
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(number, F_GETFD) < 0)
      (void)::open("/dev/null", number == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
}

std::string version_text() {
  return fmt::format("gatewright {}\nlibtorch {} ({}: {})", version_with_commit(), TORCH_VERSION,
                     GW_TORCH_ORIGIN, GW_TORCH_LIBDIR);
}

// What OMP_NUM_THREADS says (the first number of a list "4,2"), or every core.
int default_threads() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  const long number = text == nullptr ? 0 : std::strtol(text, nullptr, 10);
  return number >= 1 ? static_cast<int>(std::min<long>(number, kMostThreads)) : cpu_info().cores;
}

// 81 small steps on one core: 10.5 s with 1 thread, 15.8, 19.6 and 30.9 s with 2, 4 and 8; with 64 only 77
// steps in 120 s.
void warn_of_threads(int threads) {
  if (threads <= cpu_info().cores) return;
  const std::string line =
      fmt::format("gatewright: {} threads on {} core{} wait for each other: --threads {} is faster\n",
                  threads, cpu_info().cores, cpu_info().cores == 1 ? "" : "s", cpu_info().cores);
  std::fputs(line.c_str(), stderr);
}

// OpenBLAS answers a refused allocation with a crash or by asking again for ever (train under `ulimit -v
// 1100000`). The tensor library takes about 500 MB of address space beyond the 950 MB that a started program
// has.
void require_machine(const std::string& command) {
  // libtorch reads the processor's description there and aborts without it.
  if (::access("/proc/cpuinfo", R_OK) != 0)
    throw IoError("expected /proc to be mounted, got no /proc/cpuinfo; mount it: mount -t proc proc /proc");
  constexpr size_t kNeeded_bytes = size_t{512} << 20;
  const std::vector<std::string> computing{"train", "check", "attack", "inspect", "bench"};
  if (std::find(computing.begin(), computing.end(), command) == computing.end()) return;
  void* probe = ::mmap(nullptr, kNeeded_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (probe != MAP_FAILED) {
    ::munmap(probe, kNeeded_bytes);
    return;
  }
  throw IoError(fmt::format(
      "out of memory: expected {} MiB of address space for \"{}\", got less; raise the limit (ulimit -v)",
      kNeeded_bytes >> 20, command));
}

struct Program {
  CLI::App app{"Gatewright: mixtures of experts whose sparsity shows on the clock.", "gatewright"};
  int threads = default_threads();
  std::map<std::string, std::shared_ptr<Command>> commands;

  Program() {
    app.set_version_flag("--version", version_text(), "print the versions of gatewright and libtorch");
    app.add_option(
           "--threads", threads,
           "threads to compute with; default: OMP_NUM_THREADS, or every core that this process may use")
        ->check(CLI::Range(1, kMostThreads))
        ->type_name("N");
    app.require_subcommand(0, 1);
    app.footer(
        "GATEWRIGHT_KERNELS=ref (or family=level,…) forces kernel levels; `gatewright doctor` shows them.\n"
        "Example: gatewright list");
    for (const auto& part : Registry::instance().list(Command::kKind)) {
      auto command = make_part<Command>(part.name, Json::object(), {});
      auto* sub = app.add_subcommand(part.name, part.summary);
      sub->fallthrough();  // so that --threads may also follow the command
      sub->footer(fmt::format("Example: {}", command->example()));
      command->declare(*sub);
      commands[part.name] = std::move(command);
    }
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& item : commands) names.push_back(item.first);
    return names;
  }

  // The first argument that is neither a flag nor a global flag's value must be a command.
  void refuse_unknown_command(int argc, char** argv) const {
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      const bool flag = argument.rfind("-", 0) == 0;
      if (argument == "--threads") ++i;
      if (flag && argument.rfind("--threads", 0) != 0) return;  // CLI11 knows it or refuses it
      if (flag) continue;
      GW_CHECK(commands.count(argument) != 0, "unknown command \"{}\"{}", argument.substr(0, 80),
               near_miss(argument, names()));
      return;
    }
  }

  std::string hint_for_extras() {
    std::vector<std::string> known;
    std::string help = "gatewright --help";
    std::vector<CLI::App*> apps = app.get_subcommands();
    if (!apps.empty()) help = fmt::format("gatewright {} --help", apps.front()->get_name());
    apps.push_back(&app);
    for (auto* one : apps) {
      for (const auto* option : one->get_options()) {
        for (const auto& name : option->get_lnames()) known.push_back("--" + name);
      }
    }
    const auto extras = app.remaining(true);
    const bool flag = !extras.empty() && extras.front().rfind("--", 0) == 0;
    std::string hint = flag ? near_miss(extras.front().substr(0, extras.front().find('=')), known) : "";
    if (hint.find("did you mean") == std::string::npos) hint = "";
    return fmt::format("{}\nRun `{}` for what is known.", hint, help);
  }
};

int usage_error(Program& program, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return program.app.exit(error);  // --help and --version
  const bool extras = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError);
  fmt::print(stderr, "gatewright: {}{}\n", shown(error.what()), extras ? program.hint_for_extras() : "");
  return 2;
}

int run(int argc, char** argv) {
  Program program;
  program.refuse_unknown_command(argc, argv);
  try {
    program.app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return usage_error(program, error);
  }
  if (program.app.get_subcommands().empty()) {
    fmt::print(stderr, "{}", program.app.help());
    return 2;
  }
  if (const char* levels = std::getenv("GATEWRIGHT_KERNELS")) force_kernels(levels);
  warn_of_threads(program.threads);
  const std::string name = program.app.get_subcommands().front()->get_name();
  require_machine(name);
  at::set_num_threads(program.threads);
  ops::quiet_blas();
  const int code = program.commands.at(name)->run();
  if (std::fflush(stdout) != 0) throw IoError("standard output: cannot write to file: is the disk full?");
  return code;
}

// Never throws: standard error may be full or closed, and the exit code still tells.
int report(const std::string& message, int code, bool ours) {
  // File names, recipes and tables of others are in messages.
  const std::string line = fmt::format("gatewright: {}{}\n", shown(message),
                                       ours ? " (a defect of gatewright: please report)" : "");
  std::fputs(line.c_str(), stderr);
  return code;
}

int guarded_run(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const InternalError& error) {
    return report(error.what(), 1, false);
  } catch (const Interrupted& error) {
    return report(error.what(), 130, false);  // as shells expect after SIGINT
  } catch (const Error& error) {              // the caller's, the environment's or the data's fault
    return report(error.what(), 2, false);
  } catch (const c10::Error& error) {
    std::string text = error.what_without_backtrace();
    text = text.substr(0, text.find('\n'));
    if (text.find("can't allocate memory") != std::string::npos)
      return report("out of memory; a smaller batch needs less: " + text, 1, false);
    return report("libtorch: " + text, 1, true);
  } catch (const std::bad_alloc&) {
    return report(
        "out of memory; a smaller batch or model needs less; if the size was modest, please report it", 1,
        false);
  } catch (
      const std::system_error& error) {  // a full disk, a file that cannot be read: the environment's fault
    return report(error.what(), 2, false);
  } catch (const std::exception& error) {
    return report(error.what(), 1, true);
  }
}

}  // namespace

int command_line(int argc, char** argv) {
  open_closed_descriptors();
  tune_malloc();
  return guarded_run(argc, argv);
}

}  // namespace gw
