# SPDX-License-Identifier: Apache-2.0
"""Samples, their medians and spreads, and the two tables: what was measured, and the ratios against their targets."""

from statistics import median


def significant(value):
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


class Results:
    def __init__(self):
        self.series = {}  # (measure, quantity, server) -> {"unit", "samples"}
        self.checks = []
        self.tables_made = []  # rows of text, the first their heading: what is no series
        self.taken = 0  # samples that others could have disturbed
        self.disturbed = 0

    def add(self, measure, server, quantity, unit, value):
        entry = self.series.setdefault((measure, quantity, server), {"unit": unit, "samples": []})
        entry["samples"].append(value)

    def samples(self, measure, server, quantity):
        return self.series[(measure, quantity, server)]["samples"]

    def check(self, text, samples, relation, target, unit=""):
        """`relation` is ">=", "<=" or "=="; the median is judged."""
        middle = median(samples)
        good = {">=": middle >= target, "<=": middle <= target, "==": middle == target}[relation]
        self.checks.append({"text": text, "median": middle, "min": min(samples), "max": max(samples),
                            "target": f"{relation} {significant(target)}{unit}", "unit": unit, "good": good})

    def check_ratio(self, text, measure, quantity, servers, relation, target, measures=None):
        """Ratio of two servers, round by round, so that drift of the machine cancels out."""
        over, under = measures or (measure, measure)
        pairs = zip(self.samples(over, servers[0], quantity), self.samples(under, servers[1], quantity))
        self.check(text, [a / b for a, b in pairs], relation, target)

    def as_list(self):
        return [{"measure": m, "quantity": q, "server": s, **entry} for (m, q, s), entry in self.series.items()]

    def tables(self):
        rows = [("measure", "quantity", "server", "median", "min", "max", "unit", "runs")]
        for (measure, quantity, server), entry in self.series.items():
            values = entry["samples"]
            rows.append((measure, quantity, server, significant(median(values)), significant(min(values)),
                         significant(max(values)), entry["unit"], str(len(values))))
        checks = [("target", "median", "min", "max", "wanted", "")]
        for check in self.checks:
            numbers = (significant(check[key]) + check["unit"] for key in ("median", "min", "max"))
            checks.append((check["text"], *numbers, check["target"], "ok" if check["good"] else "MISSED"))
        return rows, checks


def format_text(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def format_markdown(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)
