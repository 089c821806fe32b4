"""How many times as long as ours each takes: a dot on each server, the fastest above."""

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

# Text as text, and the same file from the same figures.
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmark", "font.family": "sans-serif", "font.size": 10})

COLOURS = ("#c2410c", "#1d4ed8")


def draw(figures, file):
    servers = list(dict.fromkeys(figure["server"] for figure in figures))
    fastest_first = sorted(figures, key=lambda figure: figure["ratio"])
    contenders = list(dict.fromkeys(figure["contender"] for figure in fastest_first))

    chart, axes = plt.subplots(figsize=(9, 0.55 * len(contenders) + 1.4), layout="constrained")
    for index, server in enumerate(servers):
        own = [figure for figure in figures if figure["server"] == server]
        ratios = [figure["ratio"] for figure in own]
        # Beside each other where there are two.
        places = [contenders.index(figure["contender"]) + (index - (len(servers) - 1) / 2) * 0.36 for figure in own]
        axes.scatter(ratios, places, color=COLOURS[index], label=server, zorder=2)
        for ratio, place, figure in zip(ratios, places, own):
            label = f"{ratio:,.{2 if ratio < 100 else 0}f}   ({figure['value']:,.0f} {figure['unit']})"
            axes.annotate(label, (ratio, place), (8, 0), textcoords="offset points", va="center", fontsize=8)

    axes.axvline(1, color="#94a3b8", linewidth=1, zorder=1)
    axes.set_xscale("log")
    axes.set_xlim(0.6, max(figure["ratio"] for figure in figures) * 12)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_yticks(range(len(contenders)), contenders)
    axes.invert_yaxis()
    axes.grid(axis="y", color="#e2e8f0", zorder=0)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(f"{figures[0]['ratio_of']} (logarithmic)")
    axes.set_title(figures[0]["case"], loc="left")
    axes.legend(loc="upper right", frameon=False)
    chart.savefig(file, metadata={"Date": None})
