"""The tables of `gatewright fit`, letter by letter."""


def text_of(mixture):
    fit = mixture.description["fit"]
    text = f"{mixture.gate} gate, {mixture.family} experts, {fit['rows']} rows"
    text += f" ({mixture.dropped} left out: missing values)\n\n" if mixture.dropped else "\n\n"
    text += table(
        [["part", "coefficient", ">estimate", ">error", ">robust", ">df", ">t", ">p"]]
        + [_line(row) for row in mixture.coefficients()]
    )
    text += "\n"
    for term in mixture.description["schema"]["terms"]:
        if term.get("levels"):
            text += f"{term['name']}: against {term['levels'][0]}\n"
    text += table(mixture.sizes or _own_size(mixture))
    return text + "".join(f"note: {note}\n" for note in mixture.notes)


def table(rows):
    """Rows of text in columns; a heading that begins with ">" is of numbers, which stand right."""
    right = [head.startswith(">") for head in rows[0]]
    rows = [[head.removeprefix(">") for head in rows[0]], *rows[1:]]
    widths = [max(len(row[c]) for row in rows if c < len(row)) for c in range(len(right))]
    rows.insert(1, ["-" * width for width in widths])
    lines = []
    for row in rows:
        cells = [*row, *[""] * (len(widths) - len(row))]
        lines.append(
            "  ".join(
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(cells, widths, right, strict=False)
            ).rstrip()
        )
    return "\n".join(lines) + "\n"


def _line(row):
    def shown(name, form):
        return "–" if row[name] is None else format(row[name], form)

    return [
        row["part"],
        row["name"],
        format(row["estimate"], ".6g"),
        shown("error", ".4g"),
        shown("robust_error", ".4g"),
        shown("freedom", ".1f"),
        shown("t", ".2f"),
        shown("p", ".2g"),
    ]


def _own_size(mixture):
    criteria = mixture.description["criteria"]
    return [
        ["experts", ">log-likelihood", ">parameters", ">AIC", ">BIC", ">ICL"],
        [
            str(mixture.experts),
            f"{mixture.log_likelihood:.4f}",
            str(criteria["parameters"]),
            *(f"{criteria[name]:.2f}" for name in ("aic", "bic", "icl")),
        ],
    ]
