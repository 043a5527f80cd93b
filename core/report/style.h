// The stylesheet of the page. Colours keep apart for those who see few of them (after Okabe and Ito), and every kind of
// mark has a shape of its own.
#pragma once

#include <string_view>

namespace forge::report {

inline constexpr std::string_view kStyle = R"css(
:root{color-scheme:light dark;--paper:#fdfdfb;--ink:#1b1c1e;--soft:#5c6066;--rule:#dcdcd6;--track:#ecece6;
--full:#0068a5;--delta:#3d94c9;--wal:#7d8792;--window:#00795a;--bad:#b84300;--warn:#8a5a00;--risk:#8f8ba6;--most:#b84300}
@media (prefers-color-scheme:dark){:root{--paper:#16181b;--ink:#e6e6e2;--soft:#a1a6ad;--rule:#33373d;--track:#25282d;
--full:#5cb3ec;--delta:#8cc9f0;--wal:#7f8a96;--window:#2fb88f;--bad:#ff8a4c;--warn:#e8b34a;--risk:#7d7996;--most:#ff8a4c}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:66rem;padding:1.6rem 1.2rem 3rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
a{color:inherit}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem}
:focus-visible{outline:2px solid var(--full);outline-offset:2px}
header p,.note,footer{color:var(--soft);margin:.2rem 0}
h1{font-size:1.05rem;font-weight:600;margin:0}
h2{font-size:1.05rem;font-weight:600;margin:2.4rem 0 .5rem;padding-top:.5rem;border-top:1px solid var(--rule)}
.answers{display:grid;grid-template-columns:repeat(3,1fr);gap:1.4rem;margin:1.4rem 0 0}
.answers dt{color:var(--soft)}
.answers dd{margin:0}
.answers .value{font-size:2rem;line-height:1.2;font-weight:600;letter-spacing:-.01em;overflow-wrap:normal}
.good{color:var(--window)}.warning{color:var(--warn)}.bad{color:var(--bad)}.unknown{color:var(--soft)}
.findings{list-style:none;margin:1.4rem 0 0;padding:0}
.findings li{padding:.35rem 0 .35rem .8rem;border-left:3px solid var(--warn);margin:.4rem 0}
.findings li.is-bad{border-color:var(--bad)}
.findings b{font-weight:600;margin-right:.4em}
.hint{display:block;color:var(--soft)}
.picture{display:block;overflow:visible;margin:.4rem 0}
.picture text{font-size:12px;fill:var(--ink)}
.picture .figure{text-anchor:end;fill:var(--soft)}
.picture .tick{text-anchor:middle;fill:var(--soft);font-size:11px}
.picture .tick.first{text-anchor:start}.picture .tick.last{text-anchor:end}
.grid{stroke:var(--rule);stroke-width:1}.base{stroke:var(--soft);stroke-width:1}.chain{stroke:var(--delta);stroke-width:1}
.track{fill:var(--track)}.window{fill:var(--window)}.wal{fill:var(--wal)}
.full,.size{fill:var(--full)}.delta,.size.delta{fill:var(--delta)}
.permanent{stroke:var(--ink);stroke-width:2}
.point{fill:var(--warn)}.point.lost{fill:var(--soft)}
.hole{fill:var(--bad)}.hole.old{fill:var(--soft)}
.broken{stroke:var(--bad);stroke-width:2.5;fill:none}.tip{fill:transparent}
.risk{fill:var(--risk)}.risk.most{fill:var(--most)}
.key{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;margin:.3rem 0;padding:0;list-style:none;color:var(--soft);font-size:13px}
.key svg{width:14px;height:14px;vertical-align:-2px;margin-right:.35em;overflow:visible}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:2rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px;overflow-wrap:normal}
caption{text-align:left;color:var(--soft);padding:.2rem 0 .4rem}
th,td{text-align:left;vertical-align:top;padding:.28rem .9rem .28rem 0;border-bottom:1px solid var(--rule)}
th{font-weight:600;white-space:nowrap}
td.n,th.n{text-align:right;white-space:nowrap}
td.t,td.mono{white-space:nowrap}
td.w{min-width:12rem;overflow-wrap:anywhere}
.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:12px}
footer{margin-top:2.4rem;padding-top:.6rem;border-top:1px solid var(--rule);font-size:13px}
@media (max-width:42rem){body{padding:1rem .9rem 2rem}.answers{grid-template-columns:1fr;gap:.9rem}.pair{grid-template-columns:1fr;gap:.6rem}
.answers .value{font-size:1.6rem}.minor{display:none}}
@media print{:root{color-scheme:light;--paper:#fff;--ink:#000;--soft:#444;--rule:#bbb;--track:#eee;--full:#0068a5;--delta:#3d94c9;
--wal:#7d8792;--window:#00795a;--bad:#b84300;--warn:#8a5a00;--risk:#8f8ba6;--most:#b84300}
body{max-width:none;padding:0;font-size:10pt}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
h2{break-after:avoid}tr,.picture,.findings li{break-inside:avoid}.scroll{overflow:visible}.skip{display:none}}
)css";

}  // namespace forge::report
