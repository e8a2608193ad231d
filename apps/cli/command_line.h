#pragma once

namespace gw {

/// The command line: one subcommand per file of commands/. Exit codes: 0 success, 1 a verdict that does not
/// hold or a defect of ours, 2 the caller's or the environment's fault, 130 interrupted. Never throws.
int command_line(int argc, char** argv);

}  // namespace gw
