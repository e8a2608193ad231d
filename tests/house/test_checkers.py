"""The checkers themselves: a bad tree must fail, and for the reason it is bad."""
import json
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import check_baseline  # noqa: E402
import check_budgets  # noqa: E402
import check_docs  # noqa: E402
import check_floors  # noqa: E402
from floors import FLOORS  # noqa: E402

GOOD_PART = '#include "gatewright/routing/gate.h"\n\nGW_REGISTER(gw::Gate, Linear);\n'


class Tree(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        self.write("CMakeLists.txt", f"set(GW_FLOORS {' '.join(FLOORS)})\n")
        self.write("gatewright/base/error.h", "#pragma once\n// why\n")
        self.write("gatewright/routing/gate.h", '#pragma once\n// why\n#include "gatewright/base/error.h"\n')
        self.write("gatewright/routing/gates/linear.cpp", GOOD_PART)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def refuses(self, checker, *parts):
        problems = checker.check(self.root)
        self.assertEqual(len(problems), 1, problems)
        for part in parts:
            self.assertIn(part, problems[0])


@unittest.skipUnless(platform.machine() == "x86_64" and shutil.which("g++") and shutil.which("objdump"), "needs an x86-64 g++ and objdump")
class Baseline(Tree):
    """Objects of a baseline file and of a level, compiled with the flags given."""

    def build(self, baseline="", level=""):
        entries = []
        for name, flags, text in (("plain", baseline, "float scale(float* x) { for (int i = 0; i < 64; ++i) x[i] *= 2; return *x; }\n"),
                                  ("level", "-mavx2", f"{level} float twice(float x) {{ return x + x; }} float four(float x) {{ return twice(twice(x)); }}\n")):
            self.write(f"{name}.cpp", text)
            object_file = f"CMakeFiles/gw_kernels.dir/{name}.cpp.o"
            (self.root / object_file).parent.mkdir(parents=True, exist_ok=True)
            command = f"g++ -O3 {flags if name == 'level' else ''} -o {object_file} -c {name}.cpp"
            entries.append({"directory": str(self.root), "command": command, "file": f"{name}.cpp"})
            subprocess.run(command.split() + (["-mavx512f", "-mprefer-vector-width=512"] if flags == "wide" else []), cwd=self.root, check=True)
        self.write("compile_commands.json", json.dumps(entries))
        return check_baseline.check(self.root)[0]

    def test_sound_objects_pass(self):
        self.assertEqual(self.build(level="static"), [])

    def test_wide_registers_in_the_baseline(self):
        problems = self.build(baseline="wide", level="static")
        self.assertEqual(len(problems), 1, problems)
        self.assertIn("plain.cpp", problems[0])
        self.assertIn("scale", problems[0])

    def test_external_inline_in_a_level(self):
        problems = self.build(level="__attribute__((noinline)) inline")
        self.assertEqual(len(problems), 1, problems)
        self.assertIn("twice", problems[0])


class Floors(Tree):
    def test_a_good_tree_stands(self):
        self.assertEqual(check_floors.check(self.root), [])

    def test_upward_include(self):
        self.write("gatewright/base/bad.cpp", '#include "gatewright/routing/gate.h"\n')
        self.refuses(check_floors, "gatewright/base/bad.cpp:1", "floor base may not include floor routing")

    def test_sideways_include(self):
        self.write("gatewright/experts/bad.h", '#pragma once\n#  include "gatewright/routing/gate.h"\n')
        self.refuses(check_floors, "gatewright/experts/bad.h:2", "floor experts may not include floor routing")

    def test_floor_includes_program(self):
        self.write("apps/cli/command.h", "")
        self.write("gatewright/train/bad.cpp", '#include "apps/cli/command.h"\n')
        self.refuses(check_floors, "gatewright/train/bad.cpp:1", "on no floor")

    def test_include_that_is_no_repository_path(self):
        self.write("gatewright/routing/bad.cpp", '#include "gate.h"\n')
        self.refuses(check_floors, "gatewright/routing/bad.cpp:1", "repository paths")

    def test_tensors_below_ops(self):
        self.write("gatewright/kernels/bad.cpp", "#include <ATen/ATen.h>\n")
        self.refuses(check_floors, "gatewright/kernels/bad.cpp:1", "no tensors")

    def test_an_installed_header_that_brings_fmt(self):
        self.write("gatewright/base/check.h", "#pragma once\n#include <fmt/format.h>\n")
        for line in ("#include <fmt/format.h>", "#include <nlohmann/json.hpp>", '#include "gatewright/base/check.h"'):
            self.write("gatewright/routing/bad.h", f"#pragma once\n{line}\n")
            self.refuses(check_floors, "gatewright/routing/bad.h:2", "neither fmt nor nlohmann")

    def test_part_includes_part(self):
        self.write("gatewright/routing/gates/other.cpp", '#include "gatewright/routing/gates/linear.cpp"\n' + GOOD_PART)
        self.refuses(check_floors, "gatewright/routing/gates/other.cpp:1", "includes another part")

    def test_header_among_parts(self):
        self.write("gatewright/routing/gates/shared.h", "#pragma once\n")
        self.refuses(check_floors, "gatewright/routing/gates/shared.h", "only parts live")

    def test_part_that_does_not_end_in_its_registration(self):
        self.write("gatewright/routing/gates/late.cpp", GOOD_PART + "int after();\n")
        self.refuses(check_floors, "gatewright/routing/gates/late.cpp", "ends in GW_REGISTER")

    def test_file_without_registration_among_parts(self):
        self.write("gatewright/routing/gates/helper.cpp", "int helper();\n")
        self.refuses(check_floors, "gatewright/routing/gates/helper.cpp", "ends in GW_REGISTER")

    def test_two_registrations(self):
        self.write("gatewright/routing/gates/two.cpp", GOOD_PART + "GW_REGISTER(gw::Gate, Other);\n")
        self.refuses(check_floors, "one file registers one part")

    def test_two_interfaces_in_one_catalogue(self):
        self.write("gatewright/routing/gates/policy.cpp", "GW_REGISTER(gw::Policy, Top);\n")
        self.refuses(check_floors, "one catalogue holds one interface")

    def test_name_that_is_no_stem(self):
        self.write("gatewright/routing/gates/Linear-2.cpp", GOOD_PART)
        self.refuses(check_floors, "snake_case")

    def test_cmake_order_differs(self):
        self.write("CMakeLists.txt", "set(GW_FLOORS base ops)\n")
        self.refuses(check_floors, "expected set(GW_FLOORS")

    def test_exit_codes(self):
        program = [sys.executable, str(ROOT / "tools/check_floors.py"), str(self.root)]
        self.assertEqual(subprocess.run(program, capture_output=True).returncode, 0)
        self.write("gatewright/base/bad.cpp", '#include "gatewright/routing/gate.h"\n')
        self.assertEqual(subprocess.run(program, capture_output=True).returncode, 1)
        self.assertEqual(subprocess.run([*program[:2], "/no/such/tree"], capture_output=True).returncode, 2)


def function_of(lines, head="int long_one(int a)"):
    return f"namespace gw {{\n{head} {{\n" + "  a();\n" * (lines - 2) + "}\n}\n"


class Budgets(Tree):
    def lengths(self, code):
        return {name: length for name, _, length in check_budgets.functions(code)}

    def test_a_good_tree_stands(self):
        self.write("gatewright/base/fits.cpp", "// why\n" * 5 + function_of(40))
        self.assertEqual(check_budgets.check(self.root), [])

    def test_long_function(self):
        self.write("gatewright/base/bad.cpp", "// why\n" * 5 + function_of(41))
        self.refuses(check_budgets, "gatewright/base/bad.cpp:long_one", "41 lines, the budget is 40")

    def test_long_files(self):
        for path, lines in {"gatewright/base/bad.h": 201, "gatewright/base/bad.cpp": 401, "tests/base/bad.cpp": 401}.items():
            with self.subTest(path):
                self.write(path, "// why\n" * (lines // 10) + "int a;\n" * (lines - lines // 10))
                self.refuses(check_budgets, path, "the budget is")
                (self.root / path).unlink()
        self.write("gatewright/routing/gates/linear.cpp", "// why\n" * 30 + "int a;\n" * 170 + GOOD_PART)
        self.refuses(check_budgets, "gatewright/routing/gates/linear.cpp", "catalogue file", "200")

    def test_kernels_may_be_longer(self):
        self.write("gatewright/kernels/family/fits.cpp", "// why\n" * 15 + function_of(120))
        self.assertEqual(check_budgets.check(self.root), [])

    def test_exceptions_have_reasons_and_do_not_rot(self):
        self.write("gatewright/base/long.cpp", "// why\n" * 5 + function_of(50))
        self.write("tools/budgets.txt", "# comment\ngatewright/base/long.cpp:long_one 50 one table, read top to bottom\n")
        self.assertEqual(check_budgets.check(self.root), [])
        self.write("gatewright/base/long.cpp", "// why\n" * 5 + function_of(51))
        self.refuses(check_budgets, "51 lines, the budget is 50")
        self.write("gatewright/base/long.cpp", "// why\n" * 5 + function_of(30))
        self.refuses(check_budgets, "no longer needs an exception")
        self.write("tools/budgets.txt", "gatewright/base/long.cpp:long_one 50\n")
        self.assertEqual(check_budgets.main([str(self.root)]), 1)

    def test_wide_lines(self):
        self.write("gatewright/base/wide.cpp", "// why\n" + "int a;" + " " * 104 + "\n" + 'auto text = R"(' + "x" * 200 + ')";\n')
        self.assertEqual(check_budgets.check(self.root), [])
        self.write("gatewright/base/wide.cpp", "int a;\n" * 9 + "int a;  // " + "é" * 100 + "\n")
        self.refuses(check_budgets, "gatewright/base/wide.cpp:10: 111 columns, the width is 110")

    def test_code_without_comments(self):
        self.write("gatewright/base/bare.cpp", "int a;\n" * 100)
        self.refuses(check_budgets, "comments are on")

    def test_functions_are_found_in_all_their_shapes(self):
        code = """
namespace gw {
struct A : B {
  A(int a, int b) : a_(a), b_{b} {
    go();
  }
  int get() const { return a_; }
  std::vector<int> values{1, 2};
  virtual ~A() = default;
};
template <class T, class = std::enable_if_t<true>>
auto mapped(T t) -> std::vector<T> {
  const auto inner = [&](int i) {
    if (i) { return; }
  };
  return "}{ // not code" + R"(} } })";
}
const std::map<int, F> table = {{1, [](int i) { return i; }}, {2, {}}};
void A::run(
    int i) noexcept {
}
bool operator==(const A& a, const A& b) { return true; }
enum class E { kOne, kTwo };
}  // namespace gw
TEST(Suite, Name) {
}
"""
        self.assertEqual(
            self.lengths(code), {"A": 3, "get": 1, "mapped": 7, "A::run": 3, "operator==": 1, "TEST(Suite, Name)": 2}
        )


class Docs(Tree):
    SNIPPET = "<!-- compiled: hello -->\n```cpp\n#include <cstdio>\nstd::puts(\"hi\");\n```\n"

    def test_a_good_tree_stands(self):
        self.write("docs/a.md", "[up](../README.md) [out](https://example.org/x) " + "\n" + self.SNIPPET)
        self.write("README.md", "see [a](docs/a.md#part)\n```\n[not](a link)\n```\n")
        self.write("examples/custom_router.cpp", "\n" * 59)
        self.assertEqual(check_docs.check(self.root), [])

    def test_dead_link(self):
        self.write("docs/a.md", "[gone](nowhere.md)")
        self.refuses(check_docs, "docs/a.md", "nowhere.md")

    def test_wide_prose(self):
        long = "word " * 21
        self.write("docs/a.md", f"| {long} |\n\n    {long}\n\n```\n{long}\n```\n")
        self.assertEqual(check_docs.check(self.root), [])
        self.write("docs/a.md", f"one\n\n* {long}\n")
        self.refuses(check_docs, "docs/a.md:3", "100 columns")

    def test_conflict_left_behind(self):
        self.write("docs/a.md", "one\n<<<<<<< HEAD\ntwo\n=======\nthree\n>>>>>>> other\n")
        self.refuses(check_docs, "docs/a.md", "two versions of a merge")

    def test_marker_without_block(self):
        self.write("docs/a.md", "<!-- compiled: hello -->\n\n```cpp\nint x;\n```\n")
        self.refuses(check_docs, "marker without a cpp block")

    def test_same_name_twice(self):
        self.write("docs/a.md", self.SNIPPET)
        self.write("docs/b.md", self.SNIPPET)
        self.refuses(check_docs, "docs/b.md", "twice")

    def test_long_examples(self):
        self.write("examples/moe_layer.cpp", "\n" * 40)
        self.refuses(check_docs, "examples/moe_layer.cpp", "under 40 lines, got 40")
        self.write("examples/moe_layer.cpp", "\n" * 39)
        self.write("examples/custom_router.cpp", "\n" * 60)
        self.refuses(check_docs, "examples/custom_router.cpp", "under 60 lines, got 60")

    def test_snippets_become_programs(self):
        part = "<!-- compiled: pair/part.cpp -->\n```cpp\nGW_REGISTER(gw::Gate, P);\n```\n"
        self.write("docs/a.md", self.SNIPPET + part + "<!-- compiled: pair -->\n```cpp\nint main() { return 1; }\n```\n")
        programs = check_docs.snippets(self.root)
        self.assertEqual(programs["hello"]["main.cpp"], '#include <cstdio>\n\nint main() {\nstd::puts("hi");\n}\n')
        self.assertEqual(programs["pair"], {"part.cpp": "GW_REGISTER(gw::Gate, P);\n", "main.cpp": "int main() { return 1; }\n"})


if __name__ == "__main__":
    unittest.main()
