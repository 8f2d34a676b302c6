"""Shows on a terminal what was found."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..finding import Finding, Severity

_COLOURS = {
    Severity.ERROR: 'bold red',
    Severity.WARNING: 'yellow',
    Severity.NOTE: 'dim',
}


def show(described: dict[str, Any], findings: Sequence[Finding]) -> None:
    """Print the installation as a table, then each finding as a paragraph."""
    console = Console(highlight=False)
    table = Table(show_header=False, box=None)
    for name, value in described.items():
        table.add_row(name, escape(str(value)))
    console.print(table)
    for finding in findings:
        name, colour = finding.severity.name, _COLOURS[finding.severity]
        console.print(f'\n[{colour}]{name}[/] {escape(finding.kind)}', soft_wrap=True)
        for line in (finding.place, finding.what, f'-> {finding.remedy}'):
            console.print(f'  {escape(line)}', soft_wrap=True)
    counts = [
        f'{number} {severity.name.lower()}{"s" * (number > 1)}'
        for severity in sorted(Severity, reverse=True)
        if (number := sum(f.severity == severity for f in findings))
    ]
    console.print(f'\n{", ".join(counts) or "Nothing is wrong"}.')
