#!/usr/bin/env python
"""Count which queries enter which decoder layers over a data set (QR-DETR Table 2).

    python tools/analysis/query_routing.py CONFIG CHECKPOINT --out FILE.json

Prints the table; writes it with all counts, by class and size of the queries' objects
too, and draws the distribution of entering queries at each site (Fig. 4). The limit of
a routed slice can be changed without training:
--cfg-options model.query_routing.capacity=0.5.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

__arguments_first__ = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from rich.console import Console
from rich.table import Table

from mmdet_qrpaq.command_line import (
    add_detector_arguments,
    add_output_argument,
    load_package,
    run,
)

if TYPE_CHECKING:
    from mmdet_qrpaq.analysis.routing.decisions import LayerRouting

NAME = 'routing'
CONVENTION = (
    'std: standard deviation over the pictures; differ: share of decisions that differ '
    'between two random pictures (0: the picture does not matter, at most 50 %); a '
    "site's row is the mean of its layers."
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_detector_arguments(parser)
    add_output_argument(parser, NAME)
    return parser.parse_args(argv)


def render(layers: Sequence['LayerRouting']) -> Table:
    """One row a layer, then one a site."""
    from mmdet_qrpaq.analysis.routing.decisions import average_sites

    table = Table(
        title=f'queries that enter, of {len(layers[0].entries)}, '
        f'over {layers[0].num_images} pictures'
    )
    table.add_column('layer')
    table.add_column('site')
    for column in ('entered', 'std', 'share %', 'differ %'):
        table.add_column(column, justify='right')

    def add(layer: str, site: str, row: dict[str, float], style: str | None) -> None:
        cells = [f'{row[key]:.1f}' for key in ('entered', 'entered_std')]
        cells += [f'{100 * row[key]:.1f}' for key in ('share', 'differing')]
        table.add_row(layer, site, *cells, style=style)

    for layer in layers:
        style = 'red' if layer.collapsed else None
        add(f'd{layer.index}', layer.site, layer.numbers(), style)
    table.add_section()
    for site, row in average_sites(layers).items():
        add('mean', site, row, 'bold')
    return table


def render_objects(objects: dict) -> Table:
    """One row a size, then one a class, then the queries without an object."""
    table = Table(title='layers that a query enters, by its object')
    table.add_column('object')
    table.add_column('queries', justify='right')
    table.add_column('share of the layers %', justify='right')
    for group in (objects['sizes'], objects['classes'], [objects['background']]):
        for row in group:
            share = '-' if row['mean'] is None else f'{100 * row["mean"]:.1f}'
            table.add_row(row['name'], str(row['queries']), share)
        table.add_section()
    return table


def main(argv: list[str] | None = None) -> None:
    """Count, print and write.

    Raises:
        ConfigError: Config, checkpoint or data cannot work, or nothing is routed.
    """
    args = parse_args(argv)

    load_package()
    from checks import check_data
    from output import output_files

    from mmdet_qrpaq.analysis.routing.objects import (
        SCHEMA,
        collect_all,
        count_routing,
        draw_all,
    )
    from mmdet_qrpaq.analysis.routing.routing_hook import warn_of_collapse
    from mmdet_qrpaq.analysis.trained_detector import build_dataloader, load_detector
    from mmdet_qrpaq.records.provenance import describe_origin
    from mmdet_qrpaq.records.results import write_result
    from mmdet_qrpaq.runtime.configs import parse_settings, read_config

    table, picture = output_files(args.out, NAME, Path(args.checkpoint).parent)
    cfg = read_config(args.config, parse_settings(args.cfg_options))
    check_data(cfg, args.split)
    detector = load_detector(cfg, args.checkpoint)
    dataloader = build_dataloader(cfg, args.split)
    classes = dataloader.dataset.metainfo['classes']
    layers, objects = count_routing(detector, dataloader, classes)
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(render(layers))
    console.print(CONVENTION, highlight=False)
    console.print(render_objects(objects))
    for layer in layers:
        if layer.collapsed:
            console.print(f'warning: {warn_of_collapse(layer)}', highlight=False)
    origin = describe_origin(
        config=args.config, checkpoint=args.checkpoint, split=args.split
    )
    write_result(table, NAME, origin, collect_all(layers, objects), SCHEMA)
    draw_all(layers, objects).savefig(picture, dpi=200)
    print(table, picture, sep='\n')


if __name__ == '__main__':
    run(main)
