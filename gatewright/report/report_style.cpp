// Style sheet and script of the report. The palette is Okabe and Ito's (jfly.uni-koeln.de/color), darkened on
// white and lightened on black until every colour has a contrast of at least 3 with the page.
#include "gatewright/report/report_sections.h"

namespace gw::inline report {

const char* const kReportCss = R"css(
:root { color-scheme: light dark;
  --page: #ffffff; --panel: #f6f7f8; --ink: #1b1f24; --soft: #5c6570; --line: #dfe3e7; --strong: #9aa3ad;
  --good: #00694d; --good-back: #e2f3ec; --bad: #a93c00; --bad-back: #fcebe2; --heat: #07539a; --heat-ink: #ffffff; --heat-mid: #1b1f24; --dense: #a7afb8;
  --c0: #0068a8; --c1: #d05500; --c2: #008a64; --c3: #b24a88; --c4: #8d6e00; --c5: #2c8fcb; --c6: #59616b; --c7: #6d4bb0; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171b; --panel: #1c2026; --ink: #e7eaee; --soft: #9ba5b1; --line: #2d333b; --strong: #5b6570;
  --good: #5fd3a8; --good-back: #143026; --bad: #ff9a62; --bad-back: #3a2115; --heat: #6db9f2; --heat-ink: #0b1218; --heat-mid: #0b1218; --dense: #626c78;
  --c0: #56aee8; --c1: #ff8b45; --c2: #2fc79b; --c3: #e48fbf; --c4: #e8c53f; --c5: #a5dbff; --c6: #b4bcc6; --c7: #b59df2; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, footer { max-width: 1200px; margin: 0 auto; padding: 0 28px; }
header { padding: 44px 0 8px; }
.kind { margin: 0; color: var(--soft); font-size: 13px; font-weight: 600; }
h1 { margin: 2px 0 18px; font-size: 32px; line-height: 1.2; font-weight: 680; letter-spacing: -0.015em; overflow-wrap: anywhere; text-wrap: balance; }
h2 { margin: 0 0 4px; font-size: 20px; line-height: 1.3; font-weight: 650; letter-spacing: -0.01em; }
h3 { margin: 18px 0 8px; font-size: 15px; font-weight: 600; overflow-wrap: anywhere; }
section { padding: 26px 0 22px; border-top: 1px solid var(--line); }
.lead { margin: 0 0 14px; color: var(--soft); max-width: 100ch; }
.facts { display: flex; flex-wrap: wrap; gap: 10px 36px; margin: 0; padding: 20px 0 22px; border-top: 1px solid var(--line); }
.facts div { min-width: 0; }
dt { color: var(--soft); font-size: 12.5px; }
dd { margin: 0; overflow-wrap: anywhere; }
code, pre { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
pre { margin: 8px 0; padding: 12px 14px; background: var(--panel); border-radius: 6px; white-space: pre-wrap; }
.scroll { overflow-x: auto; margin: 12px 0; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: 13px; padding: 0 0 6px; }
th, td { padding: 8px 22px 8px 0; text-align: left; vertical-align: top; font-weight: 400; border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { padding-right: 2px; }
thead th { color: var(--soft); font-size: 13px; vertical-align: bottom; border-bottom: 1px solid var(--strong); white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
.n { text-align: right; white-space: nowrap; }
.results tbody th { font-weight: 600; min-width: 110px; }
.headline p { margin: 0 0 10px; max-width: 80ch; } .headline .first { font-size: 18px; font-weight: 600; max-width: none; }
@media (min-width: 900px) { .headline .grid { grid-template-columns: 1fr 1fr; gap: 22px 44px; } .headline svg text { font-size: 9px; } .headline .label, .headline .value { font-size: 9.5px; } }
.results thead th { white-space: normal; min-width: 58px; } .results th, .results td { padding-right: 12px; }
.scrolls { margin: 0; color: var(--soft); font-size: 13px; } .download { font-size: 13px; color: inherit; }
.results b { font-weight: 680; }
td small { display: block; color: var(--soft); font-size: 12px; line-height: 1.4; }
.check tbody th { min-width: 230px; max-width: 420px; }
.check td:last-child { min-width: 170px; color: var(--soft); }
.check td:nth-child(2) { min-width: 130px; }
.verdict { display: inline-block; padding: 0 9px; border-radius: 4px; font-weight: 600; font-size: 13.5px; line-height: 1.7; white-space: nowrap; background: var(--panel); }
.verdict.pass { color: var(--good); background: var(--good-back); }
.verdict.fail { color: var(--bad); background: var(--bad-back); }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 22px 30px; }
.grid.two { max-width: 1000px; margin-bottom: 22px; } .grid.below { margin-top: 26px; }
.grid > * { min-width: 0; }
figure { margin: 0; }
.chart { position: relative; }
.chart figcaption { margin-bottom: 6px; line-height: 1.4; overflow-wrap: anywhere; }
.chart figcaption span { color: var(--soft); font-size: 13px; }
.chart > svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-family: inherit; font-variant-numeric: tabular-nums; fill: var(--ink); font-size: 11px; }
svg .tick, svg .axis { fill: var(--soft); }
.label { font-size: 11.5px; } .value { font-weight: 600; font-size: 11.5px; }
line.grid { stroke: var(--line); } line.ref { stroke: var(--soft); stroke-dasharray: 2 3; } line.spread { stroke: var(--ink); stroke-width: 2; } line.cursor { stroke: var(--strong); }
polyline { fill: none; stroke: currentColor; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; }
.dash polyline { stroke-width: 1.1; stroke-dasharray: 4 3; opacity: 0.75; }
svg g[class] { fill: currentColor; }
.s0 { color: var(--c0); } .s1 { color: var(--c1); } .s2 { color: var(--c2); } .s3 { color: var(--c3); }
.s4 { color: var(--c4); } .s5 { color: var(--c5); } .s6 { color: var(--c6); } .s7 { color: var(--c7); }
.f0 { fill: var(--c0); } .f1 { fill: var(--c1); } .f2 { fill: var(--c2); } .f3 { fill: var(--c3); }
.f4 { fill: var(--c4); } .f5 { fill: var(--c5); } .f6 { fill: var(--c6); } .f7 { fill: var(--c7); } .dense { fill: var(--dense); }
.band { opacity: 0.22; }
.cell { fill: var(--heat); } svg .hi { fill: var(--heat-ink); font-size: 10.5px; } svg .mid { fill: var(--heat-mid); font-size: 10.5px; } svg .lo { font-size: 10.5px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; margin: 6px 0 12px; padding: 0; font-size: 13.5px; }
.legend li { display: flex; align-items: center; gap: 7px; min-width: 0; overflow-wrap: anywhere; }
.legend svg { flex: none; }
details { margin-top: 6px; }
summary { cursor: pointer; color: var(--soft); font-size: 13px; width: fit-content; padding: 2px 0; }
summary:hover { color: var(--ink); }
#runs summary, .more > summary { color: var(--ink); font-size: 15px; overflow-wrap: anywhere; }
.more { margin-top: 20px; } .more .grid { margin-top: 14px; }
.chart details table { font-size: 13px; } .chart details th, .chart details td { padding: 3px 14px 3px 0; }
.chart details .scroll { max-height: 300px; overflow: auto; }
.controls { display: flex; align-items: center; gap: 12px; margin: 4px 0 2px; font-size: 13px; } .controls[hidden] { display: none; }
.controls label { display: flex; align-items: center; gap: 8px; flex: 1; min-width: 0; color: var(--soft); } .controls input { flex: 1; min-width: 60px; accent-color: var(--c0); }
.controls output { min-width: 5ch; font-variant-numeric: tabular-nums; text-align: right; }
.controls button { font: inherit; color: var(--ink); background: var(--panel); border: 1px solid var(--strong); border-radius: 5px; padding: 3px 12px; min-width: 64px; cursor: pointer; }
.controls button:focus-visible, .controls input:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(264px, 1fr)); gap: 24px 26px; }
.samples.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 540px), 1fr)); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; font-size: 13px; line-height: 1.45; }
.pair.arms { grid-template-columns: repeat(auto-fill, minmax(96px, 1fr)); }
.pair div { min-width: 0; } .pair span { display: block; overflow-wrap: anywhere; }
.pair img { display: block; width: 100%; height: auto; image-rendering: pixelated; border-radius: 4px; margin-bottom: 6px; }
.sample figcaption { margin-bottom: 5px; font-weight: 600; overflow-wrap: anywhere; }
.side, .route { color: var(--soft); } .right { color: var(--good); } .wrong { color: var(--bad); font-weight: 600; } .moved { color: var(--ink); }
.tip { position: absolute; pointer-events: none; z-index: 1; max-width: 270px; padding: 6px 10px; border: 1px solid var(--line); border-radius: 5px; background: var(--page);
  font-size: 12.5px; line-height: 1.45; font-variant-numeric: tabular-nums; box-shadow: 0 2px 10px #0002; }
.tip div { display: flex; justify-content: space-between; gap: 14px; } .tip b { white-space: nowrap; }
footer { padding-bottom: 36px; color: var(--soft); font-size: 13px; }
footer p { margin: 0; padding-top: 18px; border-top: 1px solid var(--line); }
@media (max-width: 600px) {
  main, footer { padding-left: 18px; padding-right: 18px; } header { padding-top: 26px; } h1 { font-size: 25px; }
  .facts { flex-direction: column; gap: 4px; } .facts div { display: flex; gap: 10px; } .facts dt { flex: 0 0 108px; line-height: 1.85; } section { padding: 20px 0 16px; } th, td { padding-right: 16px; }
  .check, .check thead, .check tbody, .check tr { display: block; } .check thead { display: none; }
  .check tbody tr { padding: 10px 0; border-bottom: 1px solid var(--line); } .check tbody th { display: block; padding: 0 0 4px; max-width: none; font-weight: 600; }
  .check tbody td { display: flex; gap: 12px; padding: 1px 0; border: 0; text-align: left; white-space: normal; } .check tbody tr > * { border: 0; } .check tbody tr:last-child { border: 0; }
  .check td::before { flex: 0 0 84px; color: var(--soft); font-size: 13px; } .check td:empty { display: none; }
  .check td:nth-child(2)::before { content: "mark"; } .check td:nth-child(3)::before { content: "measured"; } .check td:nth-child(4)::before { content: "spread"; }
  .check td:nth-child(5)::before { content: "verdict"; } .check td:nth-child(6)::before { content: "note"; } .check caption { display: block; }
  .results, .results tbody, .results tr { display: block; } .results thead { display: none; } .results caption { display: block; }
  .results tbody tr { padding: 10px 0; border-bottom: 1px solid var(--line); } .results tbody tr > * { border: 0; } .results tbody tr:last-child { border: 0; }
  .results tbody th { display: block; padding: 0 0 4px; } .results tbody td { display: flex; justify-content: space-between; gap: 12px; padding: 1px 0; text-align: right; white-space: normal; }
  .results td::before { content: attr(data-heading); color: var(--soft); font-size: 13px; text-align: left; } .results td small { display: inline; margin-left: 8px; }
}
@media print {
  :root { color-scheme: light; } body { font-size: 10.5pt; } main, footer { padding: 0; max-width: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } figure, tr, .sample { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .chart details, .tip, .controls button, .controls input { display: none; } .scroll { overflow: visible; } .grid { grid-template-columns: 1fr 1fr; }
}
)css";

// Reads the values off the drawn points; what it shows is set as text, never as HTML.
const char* const kReportScript = R"js(
for (const svg of document.querySelectorAll("svg[data-plot]")) {
  const [top, height, left, width, lo, hi, log] = svg.dataset.plot.split(" ").map(Number), percent = svg.dataset.unit === "%";
  const groups = [...svg.querySelectorAll("g[data-n]")].map(g => [g, [...g.querySelectorAll("polyline")].flatMap(p => [...p.points])]);
  const tip = document.createElement("div"), cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  tip.className = "tip"; tip.hidden = true; cursor.setAttribute("class", "cursor");
  svg.parentNode.append(tip);
  const value = y => { const s = 1 - (y - top) / height; return log ? lo * Math.pow(hi / lo, s) : lo + s * (hi - lo); };
  const hide = () => { tip.hidden = true; cursor.remove(); };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", event => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    if (at.x < left - 4 || at.x > left + width + 4) return hide();
    let near = null;
    for (const [, points] of groups) for (const p of points) if (!near || Math.abs(p.x - at.x) < Math.abs(near.x - at.x)) near = p;
    if (!near) return;
    tip.replaceChildren();
    for (const [g, points] of groups) {
      const p = points.find(q => Math.abs(q.x - near.x) < 0.6);
      if (!p || tip.children.length > 11) continue;
      const row = document.createElement("div"), name = document.createElement("span"), number = document.createElement("b"), v = value(p.y);
      row.className = g.getAttribute("class").split(" ")[0];
      name.textContent = g.dataset.n; number.textContent = percent ? (100 * v).toFixed(1) + " %" : Number(v.toPrecision(3)).toString();
      row.append(name, number); tip.append(row);
    }
    cursor.setAttribute("x1", near.x); cursor.setAttribute("x2", near.x); cursor.setAttribute("y1", top); cursor.setAttribute("y2", top + height);
    svg.prepend(cursor);
    tip.hidden = false;
    const box = svg.parentNode.getBoundingClientRect(), x = event.clientX - box.left;
    tip.style.top = event.clientY - box.top + 14 + "px";
    tip.style.left = Math.max(0, Math.min(x + 12, box.width - tip.offsetWidth)) + "px";
  });
}
const hints = () => {
  for (const hint of document.querySelectorAll(".sideways")) {
    const box = hint.parentNode.previousElementSibling;
    hint.hidden = box.scrollWidth <= box.clientWidth + 1;
  }
};
addEventListener("resize", hints);
hints();
for (const box of document.querySelectorAll(".scrubbed")) {
  const data = JSON.parse(box.querySelector("script").textContent), whole = Number(box.dataset.whole);
  const cells = [...box.querySelectorAll("rect.cell")], entries = [...box.querySelectorAll("td")];
  const slider = box.querySelector("input"), output = box.querySelector("output"), button = box.querySelector("button");
  let timer = 0;
  const show = at => {
    output.textContent = data.steps[at];
    slider.setAttribute("aria-valuetext", "step " + data.steps[at]);
    data.values[at].forEach((value, n) => {
      const text = value < 0 ? "–" : (value / 10).toFixed(1) + " %", shade = whole > 0 && value > 0 ? Math.min(value / whole, 1) : 0;
      const title = cells[n].parentNode.querySelector("title"), number = cells[n].parentNode.querySelector("text");
      cells[n].setAttribute("fill-opacity", (0.05 + 0.95 * shade).toFixed(3));
      title.textContent = title.textContent.replace(/: [^:]*$/, ": " + text);
      if (number) { number.textContent = text; number.setAttribute("class", shade > 0.75 ? "hi" : shade > 0.58 ? "mid" : "lo"); }
      if (entries[n]) entries[n].textContent = text;
    });
  };
  const stop = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (Number(slider.value) === data.steps.length - 1) slider.value = -1;
    button.textContent = "Stop";
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show(Number(slider.value));
      if (Number(slider.value) === data.steps.length - 1) stop();
    }, 300);
  });
  box.querySelector(".controls").hidden = false;
  show(Number(slider.value));
}
)js";

}  // namespace gw::inline report
