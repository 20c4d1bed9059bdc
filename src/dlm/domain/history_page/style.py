"""How the page looks: one column of cards, light or dark as the reader's system is, plain on paper.

Colours are after Okabe and Ito, whose hues stay apart for all common kinds of colour vision, darkened or lightened
until they stand out at least 3 to 1 (text 4.5 to 1) from the ground. Where a colour tells things apart a dash, a
shape or a word does too.
"""

STYLE = """
:root{color-scheme:light dark;--ground:#f6f6f3;--card:#fff;--ink:#1b1f24;--soft:#59616b;--rule:#dfe1dc;--grid:#e9eae6;
--hover:#f0f3f6;--accent:#0a5ea8;--bad:#b3261e;--warn:#7a5600;--good:#19693f;--badground:#fdf0ee;--warnground:#fbf5e2;
--b0:#0a5ea8;--b1:#d98a1f;--d0:#b4bac2;--d1:#0a5ea8;--d2:#c9541a;
--s0:#0a5ea8;--s1:#c04a0b;--s2:#00755a;--s3:#a33c7c;--s4:#856200;--s5:#535b65;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;
--mono:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
@media (prefers-color-scheme:dark){:root{--ground:#121519;--card:#1a1e24;--ink:#e8eaed;--soft:#a3abb6;--rule:#333a43;
--grid:#272d35;--hover:#222830;--accent:#74b8ff;--bad:#ff9a8f;--warn:#e9c46a;--good:#7fd6a4;--badground:#331f1f;
--warnground:#2e2818;--b0:#5ba9f5;--b1:#eeb04e;--d0:#5b646f;--d1:#5ba9f5;--d2:#f0935c;
--s0:#74b8ff;--s1:#ff9f63;--s2:#4fd0a6;--s3:#eb9ccf;--s4:#e2c14c;--s5:#b5bcc6}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;background:var(--ground)}
body{margin:0 auto;max-width:1240px;padding:28px 24px 40px;background:var(--ground);color:var(--ink);
font:15px/1.5 var(--sans);font-variant-numeric:tabular-nums}
h1,h2,p,ul,figure,pre{margin:0}
h1{font-size:30px;line-height:1.2;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{font-size:20px;line-height:1.3;letter-spacing:-.005em}
section{margin-top:44px}
a{color:var(--accent)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:4px}
html:not(.has-js) .js{display:none}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.kind{color:var(--soft);font-size:13px;font-weight:600;letter-spacing:.06em;text-transform:uppercase}
header ul{display:flex;flex-wrap:wrap;gap:2px 22px;padding:0;margin-top:8px;list-style:none;color:var(--soft)}
.state{margin-top:18px;font-size:21px;line-height:1.4;max-width:80ch}
.failure{margin-top:14px;padding:10px 14px;border-left:4px solid var(--bad);border-radius:4px;
background:var(--badground);overflow-wrap:anywhere}
.failure.is-cancelled{border-left-style:dashed;border-color:var(--warn);background:var(--warnground)}
header details{margin-top:14px}
header details ul{display:block;padding-left:20px;list-style:disc;color:var(--ink);overflow-wrap:anywhere}
summary{cursor:pointer;color:var(--accent);width:fit-content;max-width:100%}
small{color:var(--soft);font-size:12.5px}
.about{margin-top:2px;color:var(--soft);max-width:90ch}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(270px,1fr));gap:14px;margin-top:14px}
@media (min-width:980px){.of-8{grid-template-columns:repeat(4,1fr)}.of-6{grid-template-columns:repeat(3,1fr)}
.of-5{grid-template-columns:repeat(6,1fr)}
.of-5>*{grid-column:span 2}.of-5>:nth-child(-n+2){grid-column:span 3}}
.panel,.curve,.empty{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:14px 16px 10px}
.panel{display:flex;flex-direction:column}
.panel figcaption{display:grid;grid-template-columns:auto 1fr;column-gap:10px;align-items:baseline;flex:1;
align-content:start;line-height:1.35;padding-bottom:12px}
.panel b{font-weight:600}
.panel small,.panel .legend,.now{grid-column:1/-1}
.panel .when{grid-column:auto;text-align:right;white-space:nowrap}
.now{font-size:18px;font-weight:600;line-height:1.45;color:var(--accent);white-space:nowrap;overflow:hidden;
text-overflow:ellipsis}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;padding:0;list-style:none;color:var(--soft);font-size:12.5px}
.panel .legend{margin-top:4px}
.legend li{display:flex;align-items:center;gap:6px}
.legend i{width:11px;height:11px;border-radius:2px}
.plot{display:grid;grid-template-columns:auto 1fr;grid-template-rows:var(--high,104px) 20px;column-gap:8px}
.y{position:relative;width:var(--yw,46px);font-size:11.5px;color:var(--soft)}
.y span{position:absolute;right:0;transform:translateY(50%);line-height:1;white-space:nowrap}
.x{grid-column:2;position:relative;font-size:11.5px;color:var(--soft)}
.x span{position:absolute;top:7px;transform:translateX(-50%);line-height:1;white-space:nowrap}
.area{position:relative;min-width:0;touch-action:pan-y}
.has-js .area{cursor:crosshair}
.area svg{display:block;position:absolute;inset:0;width:100%;height:100%;overflow:visible}
.area path{vector-effect:non-scaling-stroke;fill:none}
.grid{stroke:var(--grid);stroke-width:1;shape-rendering:crispEdges}
.line{stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}
.dot{stroke-width:6;stroke-linecap:round}
[data-panel=seconds]{--yw:64px}
.c1{stroke:var(--accent)}
.area .fill{stroke:none}
.area .b0{fill:var(--b0)}.area .b1{fill:var(--b1)}i.b0{background:var(--b0)}i.b1{background:var(--b1)}
[data-panel=delta] .area .b0{fill:var(--d0)}[data-panel=delta] .area .b1{fill:var(--d1)}
[data-panel=delta] .area .b2{fill:var(--d2)}
[data-panel=delta] i.b0{background:var(--d0)}[data-panel=delta] i.b1{background:var(--d1)}
[data-panel=delta] i.b2{background:var(--d2)}
.cross{position:absolute;top:-2px;bottom:0;width:0;border-left:1px solid var(--ink);opacity:.65;pointer-events:none}
.numbers{margin-top:14px}
.controls{display:flex;flex-wrap:wrap;gap:10px 18px;align-items:center;margin-top:14px}
.controls label{display:flex;align-items:center;gap:7px;color:var(--soft)}
.group{display:inline-flex;gap:6px}
button,select,input[type=search]{font:inherit;color:var(--ink);background:var(--card);border:1px solid var(--rule);
border-radius:6px;padding:5px 10px;min-height:34px;max-width:100%}
select,input[type=search],.controls button{border-color:color-mix(in srgb,var(--soft) 70%,var(--card))}
button{cursor:pointer}
button:hover:enabled{background:var(--hover)}
button:disabled{opacity:.45;cursor:default}
input[type=checkbox]{width:17px;height:17px;margin:0;accent-color:var(--accent)}
#add{width:15em}
.curve{margin-top:14px;--high:320px;--yw:52px}
.curve .legend{margin-bottom:16px;min-height:20px}
.curve .plot{margin-right:26px}
.axis{text-align:center;color:var(--soft);font-size:12.5px;margin:2px 0 12px}
.legend .k-train,.legend .k-val,.legend .k-kept{width:26px;height:0;border-radius:0;border-top:2px solid var(--ink)}
.legend .k-val{border-top-style:dashed}.legend .k-kept{border-top-style:dotted}
.curve .k-val.line{stroke-dasharray:7 5}.curve .k-kept.line{stroke-dasharray:1 5;stroke-width:2.5}
.curve .k-kept.dot{stroke-linecap:square}
.curve .s0{stroke:var(--s0)}.curve .s1{stroke:var(--s1)}.curve .s2{stroke:var(--s2)}
.curve .s3{stroke:var(--s3)}.curve .s4{stroke:var(--s4)}.curve .s5{stroke:var(--s5)}
.end{position:absolute;margin-left:7px;font-size:11.5px;font-weight:600;line-height:1;white-space:nowrap;
transform:translateY(-50%)}
.end.s0,.swatch.s0{color:var(--s0)}.end.s1,.swatch.s1{color:var(--s1)}.end.s2,.swatch.s2{color:var(--s2)}
.end.s3,.swatch.s3{color:var(--s3)}.end.s4,.swatch.s4{color:var(--s4)}.end.s5,.swatch.s5{color:var(--s5)}
.swatch{display:inline-block;width:11px;height:11px;border-radius:50%;background:currentColor;margin-right:7px}
.scroll{overflow:auto;max-width:100%}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{padding:7px 12px 7px 0;text-align:left;vertical-align:baseline;border-bottom:1px solid var(--rule);
white-space:nowrap}
thead th{color:var(--soft);font-weight:600;font-size:13px}
tbody th{font-weight:600}
#reading td,#reading thead th:not(:first-child),.numbers td,#points td,.numbers thead th:not(:first-child),
#points thead th:not(:first-child){text-align:right}
#reading tbody tr:last-child>*{border-bottom:0}
#reading .drop{width:44px;padding-right:0}
#reading .drop button{min-height:26px;padding:0 8px;border-color:transparent;color:var(--soft)}
#points .scroll,.numbers .scroll{max-height:420px;margin-top:8px;background:var(--card);border:1px solid var(--rule);
border-radius:10px;padding:0 16px}
section>.scroll{margin-top:14px;max-height:80vh;background:var(--card);border:1px solid var(--rule);border-radius:10px}
section>.scroll thead th,#points thead th,.numbers thead th{position:sticky;top:0;z-index:1;background:var(--card);
box-shadow:0 1px var(--rule)}
#runs th:first-child,#runs td:first-child,html:not(.has-js) #runs .run{padding-left:16px}
#runs .pick{text-align:left;width:1%}
#runs .version,#runs .steps,#runs .loss,#runs .exam,#runs .drift,#runs .cost{text-align:right}
#runs .note{white-space:normal;min-width:220px;max-width:420px;width:32%;padding-left:12px;padding-right:16px;
overflow-wrap:anywhere}
#runs .note summary{color:inherit;width:auto}
#runs pre{white-space:pre-wrap;overflow-wrap:anywhere;font:12.5px/1.45 var(--mono);max-height:240px;overflow:auto;
margin-top:6px;padding:8px 10px;background:var(--ground);border-radius:6px}
#runs tbody tr:hover{background:var(--hover)}
#runs tr.shown>.run{box-shadow:none;color:var(--accent)}
.sign{display:inline-block;width:1.1em;text-align:center;font-weight:700}
.is-ok .sign{color:var(--good)}
.is-failed .status,.is-failed .note{color:var(--bad)}
.is-cancelled .status,.is-cancelled .note{color:var(--warn)}
#runs .is-failed>:first-child,#runs .is-cancelled>:first-child{position:relative}
#runs .is-failed>:first-child::before,#runs .is-cancelled>:first-child::before{content:"";position:absolute;left:0;
top:3px;bottom:3px;border-left:4px solid var(--bad)}
#runs .is-cancelled>:first-child::before{border-left:4px dashed var(--warn)}
th button.sort{all:unset;cursor:pointer;font:inherit;color:inherit;border-radius:4px;white-space:nowrap}
th button.sort:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
th button.sort::after{content:"";display:inline-block;width:1em;text-align:center}
th[data-sort=number]:not(.run,.start) button.sort::after{float:left}
th[aria-sort=ascending] button.sort::after{content:"↑"}
th[aria-sort=descending] button.sort::after{content:"↓"}
th button.sort:hover,th[aria-sort=ascending],th[aria-sort=descending]{color:var(--ink)!important}
output{color:var(--soft)}
.empty{padding:24px}
.empty pre{margin-top:10px;font:14px/1.4 var(--mono)}
footer{margin-top:44px;padding-top:14px;border-top:1px solid var(--rule);color:var(--soft);font-size:13px}
@media (max-width:640px){
body{padding:18px 14px 32px}
h1{font-size:25px}.state{font-size:18px}section{margin-top:34px}
.panels{grid-template-columns:minmax(0,1fr);gap:10px}
.curve{--high:240px;--yw:40px;padding-inline:12px}
#add{width:12em;min-width:0}
section>.scroll{max-height:none;border:0;background:none;border-radius:0}
#runs,#runs tbody{display:block}
#runs thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
#runs tr{display:grid;grid-template-columns:1fr 1fr;gap:1px 14px;margin-bottom:10px;padding:10px 14px;
background:var(--card);border:1px solid var(--rule);border-radius:10px;position:relative}
#runs tr[hidden]{display:none}
#runs th,#runs td{border:0;padding:1px 0!important;white-space:normal;text-align:left!important;min-width:0;width:auto}
#runs td[data-name]::before{content:attr(data-name) " ";color:var(--soft);font-size:12.5px;margin-right:5px}
#runs .pick{position:absolute!important;right:14px;top:10px}
#runs .run{grid-column:1/-1;font-size:16px}
#runs .run::before{content:"Run "}
#runs .note{grid-column:1/-1;max-width:none}
#runs .note:empty,#runs .note:has(bdi:empty){display:none}
#runs .is-failed>:first-child::before,#runs .is-cancelled>:first-child::before{display:none}
#runs tr.is-failed{border-left:4px solid var(--bad)}
#runs tr.is-cancelled{border-left:4px dashed var(--warn)}
}
@media (forced-colors:active){.c1,.line,.dot{stroke:CanvasText}.swatch{forced-color-adjust:none}}
@media print{
:root{color-scheme:light;--ground:#fff;--card:#fff;--ink:#000;--soft:#444;--rule:#bbb;--grid:#ddd;--accent:#0a5ea8;
--bad:#a01f18;--warn:#6b4b00;--good:#145c36;--badground:#fff;--warnground:#fff;--b0:#0a5ea8;--b1:#d98a1f;--d0:#b4bac2;
--d1:#0a5ea8;--d2:#c9541a;--s0:#0a5ea8;--s1:#c04a0b;--s2:#00755a;--s3:#a33c7c;--s4:#856200;--s5:#535b65}
body{max-width:none;padding:0;font-size:11pt}
.js,.numbers,#points,.drop{display:none!important}
.scroll{overflow:visible;max-height:none!important}
section{margin-top:22pt}
.panels{grid-template-columns:repeat(3,1fr)}
.panel,.curve,#runs tr{break-inside:avoid}
h2{break-after:avoid}
table{font-size:9pt}
#runs .note{min-width:0}
thead th{position:static!important}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""
