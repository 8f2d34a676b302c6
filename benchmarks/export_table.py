"""The table of exported detectors, from `export_parity.json`."""

from benchmarks.recording import RESULTS, load, setting
from mmdet_qrpaq.records.tables import markdown

RUNTIMES = dict(onnxruntime='ONNX Runtime', openvino='OpenVINO')


def parity_table() -> str:
    """Return how far both runtimes are from PyTorch, host by host."""
    if not (RESULTS / 'export_parity.json').exists():
        return 'Not measured yet.'
    result = load('export_parity')
    measured = result['measured']
    head = ['host', 'method']
    for name in RUNTIMES.values():
        head += [f'{name}: boxes, pixels', 'scores', 'free, %']
    rows = []
    for row in sorted(measured['rows'], key=lambda row: (row['host'], row['method'])):
        cells = [row['host'], row['method']]
        for key in RUNTIMES:
            found = row[key]
            most = 100 * max(found['changed'].values())
            cells += [f'{found["pixels"]:.0e}', f'{found["score"]:.0e}', f'{most:.2f}']
        rows.append(cells)
    parts = [markdown(head, rows, words=(0, 1)), '']
    trained = [
        [
            row['name'],
            str(row['images']),
            *(f'{row[key]["ap"]:.4f}' for key in ('torch', *RUNTIMES)),
        ]
        for row in measured['trained']
    ]
    if trained:
        head = ('trained', 'images', 'AP: PyTorch', *RUNTIMES.values())
        parts += [markdown(head, trained, words=(0,)), '']
    parts.append(
        'Hosts are small, with random weights, on digits for validation; *free* is the '
        f'largest of the shares. {setting(result)}.'
    )
    return '\n'.join(parts)
