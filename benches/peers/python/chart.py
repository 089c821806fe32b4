"""How many times as long as ours each takes: a dot on each server, the fastest above. And what it costs to have much."""

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

# Text as text, and the same file from the same figures.
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmark", "font.family": "sans-serif", "font.size": 10})

COLOURS = ("#c2410c", "#1d4ed8")


def draw_peers(figures, file):
    servers = list(dict.fromkeys(figure["server"] for figure in figures))
    fastest_first = sorted(figures, key=lambda figure: figure["ratio"]["value"])
    contenders = list(dict.fromkeys(figure["contender"] for figure in fastest_first))

    chart, axes = plt.subplots(figsize=(9, 0.55 * len(contenders) + 1.4), layout="constrained")
    for index, server in enumerate(servers):
        own = [figure for figure in figures if figure["server"] == server]
        ratios = [figure["ratio"]["value"] for figure in own]
        # Beside each other where there are two.
        places = [contenders.index(figure["contender"]) + (index - (len(servers) - 1) / 2) * 0.36 for figure in own]
        axes.scatter(ratios, places, color=COLOURS[index], label=server, zorder=2)
        for ratio, place, figure in zip(ratios, places, own):
            label = f"{ratio:,.{2 if ratio < 100 else 0}f}   ({figure['value']:,.0f} {figure['unit']})"
            axes.annotate(label, (ratio, place), (8, 0), textcoords="offset points", va="center", fontsize=8)

    axes.axvline(1, color="#94a3b8", linewidth=1, zorder=1)
    axes.set_xscale("log")
    axes.set_xlim(0.6, max(figure["ratio"]["value"] for figure in figures) * 12)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_yticks(range(len(contenders)), contenders)
    axes.invert_yaxis()
    axes.grid(axis="y", color="#e2e8f0", zorder=0)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel(f"{figures[0]['ratio']['of']} (logarithmic)")
    axes.set_title(figures[0]["case"], loc="left")
    axes.legend(loc="upper right", frameon=False)
    save(chart, file)


def draw_scale(cases, file):
    """Cost against size: a panel for each case, a line for each server."""
    chart, panels = plt.subplots(2, 2, figsize=(9, 6.2), layout="constrained")
    for (case, figures), axes in zip(cases.items(), panels.flat, strict=True):
        for index, server in enumerate(dict.fromkeys(figure["server"] for figure in figures)):
            own = [figure for figure in figures if figure["server"] == server]
            sizes, costs = [figure["size"] for figure in own], [figure["value"] for figure in own]
            axes.plot(sizes, costs, "o-", color=COLOURS[index], label=server, linewidth=1.5, markersize=4)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.minorticks_off()
        axes.set_xticks(sizes)
        axes.set_ylim(0)
        axes.set_ylabel(figures[0]["unit"])
        axes.grid(axis="y", color="#e2e8f0")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(case, loc="left", fontsize=9)
    panels.flat[0].legend(frameon=False)
    save(chart, file)


def save(chart, file):
    chart.savefig(file, metadata={"Date": None})
