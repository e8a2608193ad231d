#!/usr/bin/env python3
"""The report in a real browser: no console errors, no network, the right numbers, reachable by keyboard, fits at two widths, prints.

Usage: test_report_page.py GATEWRIGHT OUT [--require]
  Trains two tiny recorded runs into OUT, renders their report, and leaves screenshots there as artefacts.
  Exit code 77 (skipped) without a Chromium, unless --require.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import unittest

from chromium import Browser, find_browser

PROGRAM, OUT = "", pathlib.Path()
WIDTHS = {"phone": 390, "desktop": 1280}
SMALL = ["data.part=synthetic", "data.classes=3", "data.height=8", "data.width=8", "data.train=60", "data.test=24", "train_per_class=0", "test_per_class=0",
         "network.backbone_options.width=4", "batch=8", "epochs=2"]


def gatewright(*arguments):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"gatewright {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def train(name, arm, *values):
    flags = [part for value in [*SMALL, *values] for part in ("--set", value)]
    gatewright("train", "advmoe", "--size", "tiny", "--arm", arm, "--quiet", "--threads", "1", "--record-routes", "--out", str(OUT / name), *flags)
    return OUT / name


class ReportPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir(parents=True)
        image = train("image-seed0", "adv_moe", "network.gate.width=2")
        layer = train("layer-seed0", "at_moe", "network.routing=layer", 'network.gate={"part":"pooled_linear"}')
        cls.runs = [image, layer]
        cls.page = OUT / "report.html"
        gatewright("report", str(image), str(layer), "--out", str(cls.page))
        cls.views = [json.loads(gatewright("inspect", str(run), "--json")) for run in cls.runs]
        cls.browser = Browser(find_browser())

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def open(self, width=1280, dark=False):
        self.browser.problems.clear()
        self.browser.requests.clear()
        self.browser.open(self.page, width, dark=dark)

    def test_loads_without_errors_and_without_the_network(self):
        for width in WIDTHS.values():
            self.open(width)
            self.assertEqual(self.browser.problems, [])
            self.assertTrue(all(url.startswith(("file:", "data:")) for url in self.browser.requests), self.browser.requests)

    def test_nothing_is_wider_than_the_screen(self):
        for name, width in WIDTHS.items():
            for dark in (False, True):
                self.open(width, dark)
                self.browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
                self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width, name)
                self.browser.evaluate("document.querySelectorAll('.chart details').forEach(d => d.open = false)")
                self.browser.screenshot(OUT / f"report-{name}{'-dark' if dark else ''}.png")

    def test_the_table_has_the_recording_s_numbers(self):
        self.open()
        rows = self.browser.evaluate("[...document.querySelectorAll('table.routes tbody tr')].map(r => [...r.children].map(c => c.textContent))")
        expected = []
        for view in self.views:
            for layer in view["layers"]:
                for s in layer["stats"]:
                    flips = layer["flips"].get(s["phase"]) if s["purpose"] == "attacked" else None
                    share = f"{100 * flips['flipped'] / flips['compared']:.1f} %" if flips else ""
                    expected.append([layer["layer"], f"{s['phase']}, {s['purpose']}", str(layer["experts"]), str(s["tokens"]), f"{s['max_over_mean']:.3f}",
                                     f"{s['variation']:.3f}", f"{s['entropy']:.3f}", str(s["dead"]), str(s["dropped"]), share])
        self.assertGreaterEqual(len(expected), 6)
        self.assertEqual(rows, expected)

    def test_charts_are_there_and_drawn(self):
        self.open()
        titles = self.browser.evaluate("[...document.querySelectorAll('#routes figcaption strong')].map(t => t.textContent)")
        for title in ("Layers by experts", "Load of the experts over training", "router: experts by class over training", "router: experts by class, clean",
                      "router: experts by class, attacked", "router: load over time", "Routes changed by the attack"):
            self.assertIn(title, titles)
        self.assertTrue(any(title.startswith("From ") for title in titles), titles)
        empty = self.browser.evaluate("[...document.querySelectorAll('#routes > .grid figure > svg')].filter(s => s.getBoundingClientRect().height < 20).length")
        self.assertEqual(empty, 0)
        cells = self.browser.evaluate("[...document.querySelectorAll('#routes figure')].find(f => f.textContent.startsWith('router: experts by class, clean'))"
                                      ".querySelectorAll('td').length")
        self.assertEqual(cells, 2 * 3)

    def moved(self, script):
        return self.browser.evaluate(f"(() => {{ const box = document.querySelector('.scrubbed'); {script} }})()")

    def shown_load(self):
        return self.moved("return [...box.querySelectorAll('td')].map(c => c.textContent)")

    def expected_load(self, at):
        load = self.views[0]["layers"][0]["load_over_time"][at]["load"]
        return [f"{100 * n / sum(load):.1f} %" for n in load]

    def test_the_slider_moves_through_training_by_keyboard(self):
        self.open()
        bins = self.views[0]["layers"][0]["load_over_time"]
        self.assertEqual(self.shown_load(), self.expected_load(-1))
        self.assertFalse(self.moved("return box.querySelector('.controls').hidden"))
        # All of them, also beside samples whose experts the attack changed: a class of both once stopped the script there.
        shown = self.browser.evaluate("[...document.querySelectorAll('[id^=moved-]')].map(box => box.matches('.scrubbed') && !box.querySelector('.controls').hidden)")
        self.assertGreater(len(shown), 3)
        self.assertTrue(all(shown), shown)
        self.assertGreater(self.browser.evaluate("document.querySelectorAll('.sample .moved, .route.moved').length"), 0, "no sample's route moved: nothing to get wrong")
        for _ in range(400):  # every stop before it must let go of the focus
            self.browser.press("Tab")
            if self.browser.evaluate("document.activeElement.type") == "range":
                break
        self.assertEqual(self.browser.evaluate("document.activeElement.getAttribute('aria-label')"), "Training step of Load of the experts over training")
        outline = self.browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        self.assertNotEqual(outline, "none")
        self.browser.press("Home")
        self.assertEqual(self.shown_load(), self.expected_load(0))
        self.assertEqual(self.moved("return box.querySelector('output').textContent"), str(bins[0]["last_step"]))
        self.browser.press("ArrowRight")
        self.assertEqual(self.shown_load(), self.expected_load(1))
        opacity = self.moved("return [...box.querySelectorAll('rect.cell')].map(c => Number(c.getAttribute('fill-opacity')))")
        load = bins[1]["load"]
        self.assertEqual(opacity.index(max(opacity)), load.index(max(load)))
        self.browser.press("End")
        self.assertEqual(self.shown_load(), self.expected_load(-1))

    def test_play_runs_to_the_end_and_stops(self):
        self.open()
        self.moved("box.querySelector('button').focus()")
        self.browser.press("Enter")
        self.assertEqual(self.moved("return box.querySelector('button').textContent"), "Stop")
        self.assertTrue(self.browser.evaluate("""new Promise(done => { const box = document.querySelector('.scrubbed'), wait = () =>
            box.querySelector('button').textContent === 'Play' ? done(true) : setTimeout(wait, 50); wait(); })"""))
        self.assertEqual(self.shown_load(), self.expected_load(-1))
        self.assertEqual(self.browser.problems, [])

    def test_every_chart_has_a_name_and_its_data(self):
        self.open()
        nameless = self.browser.evaluate("[...document.querySelectorAll('figure svg[role=img]')].filter(s => !s.getAttribute('aria-label')).length")
        without = self.browser.evaluate("[...document.querySelectorAll('figure.chart')].filter(f => !f.querySelector('details td')).length")
        self.assertEqual((nameless, without), (0, 0))

    def test_the_hint_to_scroll_stands_where_a_table_is_cut_and_only_there(self):
        for width in WIDTHS.values():
            self.open(width)
            wrong = self.browser.evaluate("[...document.querySelectorAll('.sideways')].filter(h => { const b = h.parentNode.previousElementSibling;"
                                          " return b.clientWidth > 0 && h.hidden === (b.scrollWidth > b.clientWidth + 1); }).length")
            self.assertEqual(wrong, 0, width)
        self.assertGreater(self.browser.evaluate("document.querySelectorAll('.sideways').length"), 0)

    def test_the_first_picture_is_read_at_a_glance(self):
        self.open(1280)
        share = self.browser.evaluate("document.querySelector('.headline figure').getBoundingClientRect().width / document.querySelector('main').clientWidth")
        self.assertGreater(share, 0.4)
        self.open(390)  # each result a line of its own: heading, then value
        self.assertEqual(self.browser.evaluate("getComputedStyle(document.querySelector('.results td')).display"), "flex")

    def test_it_prints(self):
        self.open()
        self.browser.print_pdf(OUT / "report.pdf")
        self.assertTrue((OUT / "report.pdf").read_bytes().startswith(b"%PDF"))
        self.browser.call("Emulation.setEmulatedMedia", media="print")
        buttons = self.browser.evaluate("[...document.querySelectorAll('.controls button')].filter(b => getComputedStyle(b).display !== 'none').length")
        self.browser.call("Emulation.setEmulatedMedia", media="")
        self.assertEqual(buttons, 0)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    if find_browser() is None:
        print("browser test: no Chromium on this machine (Debian: apt-get install chromium); skipped")
        sys.exit(1 if sys.argv[3:] == ["--require"] else 77)
    PROGRAM, OUT = sys.argv[1], pathlib.Path(sys.argv[2])
    unittest.main(argv=sys.argv[:1])
