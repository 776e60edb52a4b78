"""The style of the page of plans: one column on a phone, two of pictures on a screen, black on white in print."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #111;
  background: #fff; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.3rem; border-top: 2px solid #222; padding-top: .8rem; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem; }
nav a { margin-right: 1rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 1.5rem; }
figure { margin: 0; break-inside: avoid; }
figcaption { font-weight: 600; margin-bottom: .4rem; }
figure svg { width: 100%; height: auto; font: 14px system-ui, sans-serif; }
.patterns { position: absolute; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; overflow-wrap: normal; }
th, td { padding: .25rem .7rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
th { border-bottom: 1px solid #222; }
.right { text-align: right; white-space: nowrap; }
.heading td, .total td { font-weight: 600; }
.total td { border-top: 1px solid #222; }
code { font: .9em ui-monospace, monospace; }
dl { margin: .4rem 0; font-size: .9rem; }
dt { font-weight: 600; margin-top: .5rem; }
dd { margin: 0 0 0 1rem; }
.source { color: #555; }
@media print {
  body { font-size: 9pt; max-width: none; }
  nav { display: none; }
}
"""
