"""Draws docs/speed.svg from one run of `unils bench --json` and one of `pytorch_reference.py --time --json`.

    unils bench --preset paper --threads 2 --json > ours.json
    python scripts/pytorch_reference.py --time --threads 2 --json theirs.json
    python scripts/plot_speed.py ours.json theirs.json
"""

import json
import sys

ours, theirs = (json.load(open(path)) for path in sys.argv[1:3])
mine = ours["runs"][0]["fastest"]
parts = theirs["runs"][0]["parts"]
encoder = 2 * parts["encoder, both tracks once"]["min"]
whole = parts["both participants, in all"]["min"]
rows = [
    ("PyTorch reference", [encoder, whole - encoder]),
    ("UniLS in Rust", [mine["encoder"], mine["total"] - mine["encoder"]]),
]
colours = ("#3b6ea5", "#e08a3c")
scale = 560 / max(sum(times) for _, times in rows)
text = 'font-family="sans-serif" font-size="14" fill="{}"'
out = ['<svg xmlns="http://www.w3.org/2000/svg" width="860" height="200" viewBox="0 0 860 200">',
       '<rect width="860" height="200" fill="#ffffff" rx="8"/>',
       f'<text x="20" y="30" {text.format("#222")} font-weight="bold">Seconds for two faces of a '
       f'{ours["seconds"]:.0f} s conversation, full-size model, fp32, 2 CPU cores (less is better)</text>']
for index, (name, times) in enumerate(rows):
    y, x = 52 + 46 * index, 190.0
    out.append(f'<text x="20" y="{y + 21}" {text.format("#222")}>{name}</text>')
    for colour, time in zip(colours, times):
        out.append(f'<rect x="{x:.1f}" y="{y}" width="{time * scale:.1f}" height="32" fill="{colour}"/>')
        x += time * scale
    out.append(f'<text x="{x + 8:.1f}" y="{y + 21}" {text.format("#222")}>{sum(times):.1f} s</text>')
for x, colour, name in ((190, colours[0], "speech encoder"), (330, colours[1], "generator and codec")):
    out.append(f'<rect x="{x}" y="172" width="14" height="14" fill="{colour}"/>')
    out.append(f'<text x="{x + 20}" y="184" {text.format("#444")}>{name}</text>')
x = 190 + ours["seconds"] * scale
out.append(f'<line x1="{x:.1f}" y1="44" x2="{x:.1f}" y2="142" stroke="#888" stroke-dasharray="4 4"/>')
out.append(f'<text x="{x + 4:.1f}" y="140" {text.format("#666")}>real time</text>')
out.append("</svg>")
open("docs/speed.svg", "w").write("\n".join(out) + "\n")
print(f"PyTorch {sum(rows[0][1]):.1f} s, ours {sum(rows[1][1]):.1f} s, ratio {sum(rows[1][1]) / sum(rows[0][1]):.3f}")
